#include "services/secret-vault/grant.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>
#include <zmq.h>

#include "proto/vault.h"

#define GRANT_VERSION 3
#define MAC_LEN 32
#define ID_LEN 16
#define HOST_TEXT_LEN 40

static int texts_parse(const char *boot_id, const char *host_key, struct grant *grant_r)
{
	size_t len = 0;
	const char *end = NULL;
	if (strlen(boot_id) != VAULT_BOOT_ID_LEN || strlen(host_key) != HOST_TEXT_LEN)
		return -1;
	if (sodium_hex2bin(grant_r->boot_id, GRANT_BOOT_LEN, boot_id, VAULT_BOOT_ID_LEN, NULL, &len,
		&end) != 0 ||
	    len != GRANT_BOOT_LEN || *end)
		return -1;
	return zmq_z85_decode(grant_r->host_key, host_key) ? 0 : -1;
}

static int refuse_texts(struct error *err)
{
	return error_refuse(
	    err, ERR_INVALID, "grant_invalid", "boot_id is 32 hex digits, host_key a key in Z85");
}

int grant_check(const char *boot_id, const char *host_key, struct error *err)
{
	struct grant grant;
	return texts_parse(boot_id, host_key, &grant) == 0 ? 0 : refuse_texts(err);
}

int grant_fill(struct grant *grant_r, const struct holding *holding, const char *boot_id,
    const char *host_key, uint64_t expires_ms, struct error *err)
{
	*grant_r = (struct grant){.slot = holding->slot, .expires_ms = expires_ms};
	memcpy(grant_r->place, holding->place, PLACE_LEN);
	if (texts_parse(boot_id, host_key, grant_r) != 0)
		return refuse_texts(err);
	if (pubkey_parse(holding->asset, grant_r->asset) != 0 ||
	    pubkey_parse(holding->wallet, grant_r->wallet) != 0)
		return error_set(err, ERR_INTERNAL, "a holding that names no addresses");
	return 0;
}

static uint8_t *put_bytes(uint8_t *at, const uint8_t *bytes, size_t len)
{
	memcpy(at, bytes, len);
	return at + len;
}

static uint8_t *put_number(uint8_t *at, uint64_t number)
{
	number = htole64(number);
	memcpy(at, &number, sizeof(number));
	return at + sizeof(number);
}

static const uint8_t *take_bytes(const uint8_t *at, uint8_t *bytes_r, size_t len)
{
	memcpy(bytes_r, at, len);
	return at + len;
}

static const uint8_t *take_number(const uint8_t *at, uint64_t *number_r)
{
	memcpy(number_r, at, sizeof(*number_r));
	*number_r = le64toh(*number_r);
	return at + sizeof(*number_r);
}

/* Behind the body: a random id, so that no two are the same, and the MAC of all before it. */
static void close_body(const struct secret *key, uint8_t *bytes, size_t body_len)
{
	randombytes_buf(bytes + body_len - ID_LEN, ID_LEN);
	bug_if(crypto_generichash(bytes + body_len, MAC_LEN, bytes, body_len, secret_bytes(key),
		   secret_len(key)) != 0);
}

static bool is_ours(
    const struct secret *key, const uint8_t *bytes, size_t body_len, uint8_t version)
{
	uint8_t expected[MAC_LEN];
	bug_if(crypto_generichash(
		   expected, MAC_LEN, bytes, body_len, secret_bytes(key), secret_len(key)) != 0);
	bool ours = sodium_memcmp(expected, bytes + body_len, MAC_LEN) == 0;
	sodium_memzero(expected, sizeof(expected));
	return ours && bytes[0] == version;
}

void grant_sign(const struct secret *key, const struct grant *grant, uint8_t bytes_r[GRANT_LEN])
{
	uint8_t *at = bytes_r;
	*at++ = GRANT_VERSION;
	at = put_bytes(at, grant->asset, PUBKEY_LEN);
	at = put_bytes(at, grant->wallet, PUBKEY_LEN);
	at = put_number(at, grant->slot);
	at = put_bytes(at, grant->boot_id, GRANT_BOOT_LEN);
	at = put_bytes(at, grant->host_key, GRANT_HOST_LEN);
	at = put_bytes(at, grant->place, PLACE_LEN);
	put_number(at, grant->expires_ms);
	close_body(key, bytes_r, GRANT_BODY_LEN);
}

bool grant_open(const struct secret *key, const void *bytes, size_t len, struct grant *grant_r)
{
	const uint8_t *at = bytes;
	if (len != GRANT_LEN || !is_ours(key, at++, GRANT_BODY_LEN, GRANT_VERSION))
		return false;
	at = take_bytes(at, grant_r->asset, PUBKEY_LEN);
	at = take_bytes(at, grant_r->wallet, PUBKEY_LEN);
	at = take_number(at, &grant_r->slot);
	at = take_bytes(at, grant_r->boot_id, GRANT_BOOT_LEN);
	at = take_bytes(at, grant_r->host_key, GRANT_HOST_LEN);
	at = take_bytes(at, grant_r->place, PLACE_LEN);
	take_number(at, &grant_r->expires_ms);
	return true;
}

/* One answer for what is wrong with it: the owner's host has nothing to learn from the difference. Too far ahead is none of ours either: a clock was set back. */
int grant_judge(const struct grant *grant, const char *boot_id, const char *host_key,
    uint64_t now_ms, struct error *err)
{
	struct grant shown;
	if (texts_parse(boot_id, host_key, &shown) != 0 ||
	    memcmp(shown.boot_id, grant->boot_id, GRANT_BOOT_LEN) != 0 ||
	    memcmp(shown.host_key, grant->host_key, GRANT_HOST_LEN) != 0)
		return error_refuse(err, ERR_DENIED, "grant_refused",
		    "the grant is not for this start on this host");
	if (now_ms >= grant->expires_ms || grant->expires_ms - now_ms > VAULT_GRANT_MS + 5000)
		return error_refuse(err, ERR_DENIED, "grant_expired", "the grant has expired");
	return 0;
}

void grant_holding(const struct grant *grant, struct holding *holding_r)
{
	*holding_r = (struct holding){.slot = grant->slot};
	memcpy(holding_r->place, grant->place, PLACE_LEN);
	pubkey_text(grant->asset, holding_r->asset);
	pubkey_text(grant->wallet, holding_r->wallet);
}

int placement_fill(struct placement *placement_r, const struct holding *holding,
    const char *host_key, struct error *err)
{
	*placement_r = (struct placement){.slot = holding->slot};
	memcpy(placement_r->place, holding->place, PLACE_LEN);
	if (strlen(host_key) != HOST_TEXT_LEN || !zmq_z85_decode(placement_r->host_key, host_key))
		return error_set(err, ERR_INTERNAL, "a peer whose key is none");
	if (pubkey_parse(holding->asset, placement_r->asset) != 0 ||
	    pubkey_parse(holding->wallet, placement_r->wallet) != 0)
		return error_set(err, ERR_INTERNAL, "a holding that names no addresses");
	return 0;
}

void placement_sign(const struct secret *key, const struct placement *placement,
    enum placement_kind kind, uint8_t bytes_r[PLACEMENT_LEN])
{
	uint8_t *at = bytes_r;
	*at++ = (uint8_t)kind;
	at = put_bytes(at, placement->asset, PUBKEY_LEN);
	at = put_bytes(at, placement->wallet, PUBKEY_LEN);
	at = put_number(at, placement->slot);
	at = put_bytes(at, placement->host_key, GRANT_HOST_LEN);
	put_bytes(at, placement->place, PLACE_LEN);
	close_body(key, bytes_r, PLACEMENT_BODY_LEN);
}

bool placement_read(
    const void *bytes, size_t len, enum placement_kind kind, struct placement *placement_r)
{
	const uint8_t *at = bytes;
	if (len != PLACEMENT_LEN || *at++ != (uint8_t)kind)
		return false;
	at = take_bytes(at, placement_r->asset, PUBKEY_LEN);
	at = take_bytes(at, placement_r->wallet, PUBKEY_LEN);
	at = take_number(at, &placement_r->slot);
	at = take_bytes(at, placement_r->host_key, GRANT_HOST_LEN);
	take_bytes(at, placement_r->place, PLACE_LEN);
	return true;
}

bool placement_open(const struct secret *key, const void *bytes, size_t len,
    enum placement_kind kind, struct placement *placement_r)
{
	return placement_read(bytes, len, kind, placement_r) &&
	       is_ours(key, bytes, PLACEMENT_BODY_LEN, (uint8_t)kind);
}

int placement_judge(const struct placement *placement, const char *host_key, struct error *err)
{
	uint8_t shown[GRANT_HOST_LEN];
	if (strlen(host_key) != HOST_TEXT_LEN || !zmq_z85_decode(shown, host_key) ||
	    memcmp(shown, placement->host_key, GRANT_HOST_LEN) != 0)
		return error_refuse(
		    err, ERR_DENIED, "grant_refused", "the placement is not on this host");
	return 0;
}

void placement_holding(const struct placement *placement, struct holding *holding_r)
{
	*holding_r = (struct holding){.slot = placement->slot};
	memcpy(holding_r->place, placement->place, PLACE_LEN);
	pubkey_text(placement->asset, holding_r->asset);
	pubkey_text(placement->wallet, holding_r->wallet);
}
