/* grant.h's bytes, and vault.grant. */
#include "services/secret-vault/grant.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>
#include <zmq.h>

#include "common/clock.h"
#include "services/secret-vault/asking.h"

#define VERSION 1
#define MAC_LEN 32
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

static void mac(const struct secret *key, const uint8_t *body, uint8_t mac_r[MAC_LEN])
{
	bug_if(crypto_generichash(
		   mac_r, MAC_LEN, body, GRANT_BODY_LEN, secret_bytes(key), secret_len(key)) != 0);
}

void grant_sign(const struct secret *key, const struct grant *grant, uint8_t bytes_r[GRANT_LEN])
{
	uint8_t *at = bytes_r;
	*at++ = VERSION;
	at = put_bytes(at, grant->asset, PUBKEY_LEN);
	at = put_bytes(at, grant->wallet, PUBKEY_LEN);
	at = put_number(at, grant->slot);
	at = put_bytes(at, grant->boot_id, GRANT_BOOT_LEN);
	at = put_bytes(at, grant->host_key, GRANT_HOST_LEN);
	at = put_number(at, grant->expires_ms);
	randombytes_buf(at, 16);
	mac(key, bytes_r, at + 16);
}

bool grant_open(const struct secret *key, const void *bytes, size_t len, struct grant *grant_r)
{
	const uint8_t *at = bytes;
	uint8_t expected[MAC_LEN];
	if (len != GRANT_LEN)
		return false;
	mac(key, at, expected);
	bool ours = sodium_memcmp(expected, at + GRANT_BODY_LEN, MAC_LEN) == 0;
	sodium_memzero(expected, sizeof(expected));
	if (!ours || *at++ != VERSION)
		return false;
	at = take_bytes(at, grant_r->asset, PUBKEY_LEN);
	at = take_bytes(at, grant_r->wallet, PUBKEY_LEN);
	at = take_number(at, &grant_r->slot);
	at = take_bytes(at, grant_r->boot_id, GRANT_BOOT_LEN);
	at = take_bytes(at, grant_r->host_key, GRANT_HOST_LEN);
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
	pubkey_text(grant->asset, holding_r->asset);
	pubkey_text(grant->wallet, holding_r->wallet);
}

/* Who has stored nothing has nothing to be released, and no chain that it could be noted in; a container starts all the same. */
static int note(struct asking *asking, struct desk *desk, struct error *err)
{
	const struct vault_grant_req *req = asking->req;
	char detail[160 + 1];
	scoped_open_period struct open_period period = {0};
	int found = records_open_period(desk, &asking->holding, &period, err);
	if (found <= 0)
		return found;
	snprintf(detail, sizeof(detail), "boot %s host %s", req->boot_id, req->host_key);
	const struct audit_note entry = {.act = "grant", .by = asking->by, .detail = detail};
	return records_audit(desk, &period.row.period, &entry, err);
}

/* Signed on the loop, where the keys are: they change with the master key. While that is under way the next one signs, so that a grant outlives the end of it. After
 * it, what is kept beside the one in use is the old one: it opens, and signs nothing. */
static int sign(struct asking *asking, struct error *err)
{
	const struct vault_grant_req *req = asking->req;
	struct vault_grant_rsp *rsp = asking->rsp;
	const struct vault *vault = asking->vault;
	const struct secret *key = vault->next_key_id[0] ? vault->next_grant_key : vault->grant_key;
	struct grant grant;
	if (!key)
		return error_refuse(err, ERR_UNAVAILABLE, "vault_sealed", "the vault is not open");
	rsp->expires_ms = clock_unix_ms() + VAULT_GRANT_MS;
	if (grant_fill(
		&grant, &asking->holding, req->boot_id, req->host_key, rsp->expires_ms, err) != 0)
		return -1;
	grant_sign(key, &grant, rsp->grant.data);
	rsp->grant.len = GRANT_LEN;
	return 0;
}

void vault_grant(struct vault *self, const struct vault_grant_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {.call = &vault_grant_call,
	    .kind = WORKER_WRITE,
	    .releases = true,
	    .limit_kind = "vault-grant",
	    .work = note,
	    .finish = sign};
	struct error err;
	if (grant_check(req->boot_id, req->host_key, &err) != 0)
		bus_fail(request, &err);
	else
		asking_begin(self, &plan, req->token, NULL, req, request, NULL, 0);
}
