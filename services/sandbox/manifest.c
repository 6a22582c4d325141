#include "services/sandbox/manifest.h"

#include <msgpack.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/wire.h"

#define FORMAT 1
#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN crypto_aead_xchacha20poly1305_ietf_ABYTES
#define FIELDS 11

static void derive(const uint8_t *key, uint8_t derived_r[32])
{
	static const char context[] = "multiclaw manifest v1";
	crypto_generichash(
	    derived_r, 32, (const uint8_t *)context, sizeof(context), key, VAULT_SNAPSHOT_KEY_LEN);
}

struct bound { /* no part of it may be read as another's */
	char agent[33], wallet[45];
	uint8_t numbers[16];
};

static void big_endian(uint64_t number, uint8_t bytes_r[8])
{
	for (int i = 7; i >= 0; i--, number >>= 8)
		bytes_r[i] = (uint8_t)number;
}

static struct bound bound_of(const struct manifest_of *of)
{
	struct bound bound;
	memset(&bound, 0, sizeof(bound));
	snprintf(bound.agent, sizeof(bound.agent), "%s", of->agent);
	snprintf(bound.wallet, sizeof(bound.wallet), "%s", of->wallet);
	big_endian(of->period, bound.numbers);
	big_endian(of->number, bound.numbers + 8);
	return bound;
}

void manifest_digest(const uint8_t *bytes, size_t len, uint8_t digest_r[VAULT_DIGEST_LEN])
{
	crypto_generichash(digest_r, VAULT_DIGEST_LEN, bytes, len, NULL, 0);
}

/* ---- writing */

static void pack_text(msgpack_packer *packer, const char *text)
{
	msgpack_pack_str(packer, strlen(text));
	msgpack_pack_str_body(packer, text, strlen(text));
}

static void pack_bytes(msgpack_packer *packer, const void *bytes, size_t len)
{
	msgpack_pack_bin(packer, len);
	msgpack_pack_bin_body(packer, bytes, len);
}

static void pack_version(msgpack_packer *packer, const struct version *version)
{
	msgpack_pack_array(packer, FIELDS);
	msgpack_pack_uint64(packer, version->number);
	msgpack_pack_uint64(packer, version->created_ms);
	msgpack_pack_uint64(packer, version->bytes);
	msgpack_pack_uint64(packer, version->files);
	msgpack_pack_uint64(packer, version->stored_bytes);
	pack_bytes(packer, version->digest, sizeof(version->digest));
	pack_bytes(packer, version->manifest, sizeof(version->manifest));
	version->is_damaged ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
	pack_text(packer, version->trigger);
	pack_text(packer, version->boot);
	pack_text(packer, version->object);
}

static size_t roots_count(const char *roots)
{
	size_t n = 0;
	for (const char *at = roots; *at; at += strlen(at) + 1)
		n++;
	return n;
}

size_t manifest_encode(const struct manifest_of *of, const struct manifest *manifest,
    uint8_t bytes_r[MANIFEST_BYTES_MAX])
{
	msgpack_sbuffer buf;
	msgpack_packer packer;
	uint8_t key[32];
	const struct bound bound = bound_of(of);
	unsigned long long len;
	msgpack_sbuffer_init(&buf);
	msgpack_packer_init(&packer, &buf, msgpack_sbuffer_write);
	msgpack_pack_array(&packer, 4);
	msgpack_pack_uint64(&packer, FORMAT);
	msgpack_pack_uint64(&packer, of->number);
	msgpack_pack_array(&packer, roots_count(manifest->roots));
	for (const char *at = manifest->roots; *at; at += strlen(at) + 1)
		pack_text(&packer, at);
	msgpack_pack_array(&packer, manifest->versions.n);
	for (size_t i = 0; i < manifest->versions.n; i++)
		pack_version(&packer, &manifest->versions.item[i]);
	bug_if(NONCE_LEN + buf.size + TAG_LEN > MANIFEST_BYTES_MAX);
	derive(of->key, key);
	randombytes_buf(bytes_r, NONCE_LEN);
	crypto_aead_xchacha20poly1305_ietf_encrypt(bytes_r + NONCE_LEN, &len,
	    (const uint8_t *)buf.data, buf.size, (const uint8_t *)&bound, sizeof(bound), NULL,
	    bytes_r, key);
	sodium_memzero(key, sizeof(key));
	msgpack_sbuffer_destroy(&buf);
	return NONCE_LEN + (size_t)len;
}

/* ---- reading */

static bool take_text(struct wire *wire, char *text_r, size_t size)
{
	size_t len;
	const char *text = wire_str(wire, &len);
	if (!text || len >= size)
		return false;
	memcpy(text_r, text, len);
	text_r[len] = '\0';
	return true;
}

static bool take_bytes(struct wire *wire, uint8_t *bytes_r, size_t size)
{
	size_t len;
	const uint8_t *bytes = wire_bin(wire, &len);
	if (!bytes || len != size)
		return false;
	memcpy(bytes_r, bytes, len);
	return true;
}

static bool take_version(struct wire *wire, struct version *version)
{
	if (wire_array(wire) != FIELDS)
		return false;
	version->number = wire_uint(wire);
	version->created_ms = wire_uint(wire);
	version->bytes = wire_uint(wire);
	version->files = wire_uint(wire);
	version->stored_bytes = wire_uint(wire);
	if (!take_bytes(wire, version->digest, sizeof(version->digest)) ||
	    !take_bytes(wire, version->manifest, sizeof(version->manifest)))
		return false;
	version->is_damaged = wire_bool(wire);
	return take_text(wire, version->trigger, sizeof(version->trigger)) &&
	       take_text(wire, version->boot, sizeof(version->boot)) &&
	       take_text(wire, version->object, sizeof(version->object)) && version->trigger[0] &&
	       strlen(version->boot) == VAULT_BOOT_ID_LEN &&
	       version_object_is_good(version->object);
}

static bool take_roots(struct wire *wire, char roots_r[WARDEN_ROOTS_BYTES])
{
	uint32_t n = wire_array(wire);
	size_t at = 0;
	for (uint32_t i = 0; i < n; i++) {
		size_t left = WARDEN_ROOTS_BYTES - 1 - at;
		if (left == 0 || !take_text(wire, roots_r + at, left) || !roots_r[at])
			return false;
		at += strlen(roots_r + at) + 1;
	}
	return true;
}

static bool take_versions(
    struct wire *wire, const struct manifest_of *of, struct versions *versions)
{
	uint32_t n = wire_array(wire);
	if (n == 0 || n > VERSIONS_MAX)
		return false;
	for (uint32_t i = 0; i < n; i++, versions->n++) {
		struct version *version = &versions->item[i];
		if (!take_version(wire, version) || version->number > of->number - (i > 0) ||
		    version->number == 0 || (i > 0 && version->number >= version[-1].number))
			return false;
	}
	return versions->item[0].number == of->number;
}

static bool take_all(
    const struct manifest_of *of, const uint8_t *text, size_t len, struct manifest *manifest_r)
{
	struct wire wire;
	wire_init(&wire, text, len);
	return wire_array(&wire) == 4 && wire_uint(&wire) == FORMAT &&
	       wire_uint(&wire) == of->number && take_roots(&wire, manifest_r->roots) &&
	       take_versions(&wire, of, &manifest_r->versions) && wire_at_end(&wire);
}

int manifest_decode(const struct manifest_of *of, const uint8_t *bytes, size_t len,
    struct manifest *manifest_r, struct error *err)
{
	uint8_t key[32], text[MANIFEST_BYTES_MAX];
	const struct bound bound = bound_of(of);
	unsigned long long text_len = 0;
	memset(manifest_r, 0, sizeof(*manifest_r));
	if (len < NONCE_LEN + TAG_LEN || len > MANIFEST_BYTES_MAX)
		return error_refuse(err, ERR_UNAVAILABLE, "snapshot_refused",
		    "the snapshot's manifest is of no length that one has");
	derive(of->key, key);
	int rc = crypto_aead_xchacha20poly1305_ietf_decrypt(text, &text_len, NULL,
	    bytes + NONCE_LEN, len - NONCE_LEN, (const uint8_t *)&bound, sizeof(bound), bytes, key);
	sodium_memzero(key, sizeof(key));
	if (rc == 0 && take_all(of, text, (size_t)text_len, manifest_r))
		return 0;
	memset(manifest_r, 0, sizeof(*manifest_r));
	return error_refuse(err, ERR_UNAVAILABLE, "snapshot_refused",
	    rc == 0 ? "the snapshot's manifest is of a form that is not known here"
		    : "the snapshot's manifest is altered, or another one's");
}
