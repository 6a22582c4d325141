#include "services/packer/scan_pem.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "services/packer/scan.h"
#include "services/packer/scan_encode.h"

#define CHUNK 32  /* characters of the body: any 64 in a row hold one whole */
#define SHARED 48 /* characters at the front: version, algorithm, lengths */
#define BETWEEN_MIN 16
#define LINES 6 /* in all forms */
#define LINE 64
#define DER_PARTS 4 /* in all forms */
#define DER_PART 45

struct key {
	char *body; /* base64 without white space */
	size_t len;
	uint8_t *der;
	size_t der_len;
	uint8_t *public_bytes; /* NULL: not known */
	size_t public_len;
	size_t shared; /* bytes of der at the front that are no secret */
};

static void key_clear(struct key *key)
{
	if (key->body)
		sodium_memzero(key->body, key->len);
	if (key->der)
		sodium_memzero(key->der, key->der_len);
	free(key->body);
	free(key->der);
	free(key->public_bytes);
}

/* Is what is known of the public half. */
static bool is_public(const struct key *key, size_t at, size_t len)
{
	if (at + len <= key->shared)
		return true;
	return key->public_bytes &&
	       memmem(key->public_bytes, key->public_len, key->der + at, len) != NULL;
}

static uint32_t number(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* OpenSSH's own format (PROTOCOL.key): magic, three strings, how many keys, the public key. */
static bool read_openssh(struct key *key)
{
	static const char magic[] = "openssh-key-v1";
	size_t at = sizeof(magic);

	if (key->der_len < at || memcmp(key->der, magic, at) != 0)
		return false;
	for (int i = 0; i < 4; i++) {
		at += i == 3 ? 4 : 0;
		if (key->der_len < at + 4 || number(key->der + at) > key->der_len - at - 4)
			return true;
		size_t len = number(key->der + at);

		if (i == 3) {
			key->public_bytes = malloc(len + 1);
			bug_if(!key->public_bytes);
			memcpy(key->public_bytes, key->der + at + 4, len);
			key->public_len = len;
		}
		at += 4 + len;
	}
	key->shared = at;
	return true;
}

static void read_public(struct key *key)
{
	const unsigned char *at = key->der;
	unsigned char *made = NULL;

	key->shared = SHARED * 3 / 4;
	if (key->der_len <= 2 * key->shared)
		key->shared = 16; /* an Ed25519 key is that short */
	if (read_openssh(key))
		return;
	EVP_PKEY *pkey = d2i_AutoPrivateKey(NULL, &at, (long)key->der_len);
	int len = pkey ? i2d_PUBKEY(pkey, &made) : 0;
	if (len > 0) {
		key->public_bytes = malloc((size_t)len);
		bug_if(!key->public_bytes);
		memcpy(key->public_bytes, made, (size_t)len);
		key->public_len = (size_t)len;
	}
	OPENSSL_free(made);
	EVP_PKEY_free(pkey);
}

/* Lines of base64 only: not those of RFC 1421's headers ("Proc-Type: ..."). */
static void read_body(struct key *key, const char *from, size_t len)
{
	static const char base64[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
	const char *end = from + len, *next;

	key->body = malloc(len + 1);
	key->der = malloc(len + 1);
	bug_if(!key->body || !key->der);
	for (; from < end; from = next) {
		const char *newline = memchr(from, '\n', (size_t)(end - from));
		size_t line = (size_t)((newline ? newline : end) - from);

		next = newline ? newline + 1 : end;
		while (line > 0 && strchr("\r \t", from[line - 1]))
			line--;
		while (line > 0 && strchr(" \t", *from))
			from++, line--;
		size_t i = 0;
		while (i < line && from[i] && strchr(base64, from[i]))
			i++;
		if (i < line)
			continue;
		memcpy(key->body + key->len, from, line);
		key->len += line;
	}
	key->body[key->len] = '\0';
	if (sodium_base642bin(key->der, len, key->body, key->len, NULL, &key->der_len, NULL,
		sodium_base64_VARIANT_ORIGINAL) != 0)
		key->der_len = 0;
}

/* Characters of the body: what they hold whole is public. */
static bool is_public_text(const struct key *key, size_t at, size_t len)
{
	size_t first = (at * 6 + 7) / 8, last = (at + len) * 6 / 8;

	return last <= key->der_len && is_public(key, first, last - first);
}

static void add_body(struct values *values, uint32_t name, const struct key *key)
{
	struct pattern_of raw = {PATTERN_RAW, name, false};
	size_t step = 1 + key->len / LINE / LINES, n = 0;

	for (size_t at = 0; at + CHUNK <= key->len; at += CHUNK)
		if (!is_public_text(key, at, CHUNK))
			patterns_add(&values->patterns, raw, key->body + at, CHUNK);
	for (size_t at = 0; at < key->len; at += LINE) {
		size_t left = key->len - at, len = left < LINE ? left : LINE;

		if (len >= 40 && !is_public_text(key, at, len) && n++ % step == 0)
			values_add(values, name, key->body + at, len, n > 2);
	}
}

static void add_der(struct values *values, uint32_t name, const struct key *key)
{
	size_t stride = key->der_len / DER_PARTS, n = 0;

	if (stride < DER_PART)
		stride = DER_PART;
	/* from the end: what comes last is private in most kinds */
	for (size_t end = key->der_len; end >= DER_PART; end -= stride) {
		if (!is_public(key, end - DER_PART, DER_PART))
			values_add(values, name, key->der + end - DER_PART, DER_PART, n++ > 0);
		if (end < stride)
			break;
	}
}

static bool is_private(const char *label, size_t len)
{
	return memmem(label, len, "PRIVATE KEY", 11) != NULL;
}

static void add_block(struct values *values, const char *path, const char *body, size_t len)
{
	struct key key = {.body = NULL};

	read_body(&key, body, len);
	if (key.der_len > 0)
		read_public(&key);
	add_body(values, values_name(values, path, "PEM"), &key);
	add_der(values, values_name(values, path, "DER"), &key);
	key_clear(&key);
}

/* What stands beside the blocks: other lines of an .env file, or remarks. */
static void add_between(struct values *values, const char *path, const char *from, const char *end)
{
	size_t len = (size_t)(end - from);
	bool is_good = false;

	if (len < BETWEEN_MIN)
		return;
	size_t at = scan_encode_window((const uint8_t *)from, len, CHUNK, &is_good);
	if (is_good)
		values_add(values, values_name(values, path, "beside PEM"), from + at,
		    len - at < CHUNK ? len - at : CHUNK, false);
}

static const char *find(const char *from, const char *end, const char *text)
{
	return from ? memmem(from, (size_t)(end - from), text, strlen(text)) : NULL;
}

bool scan_pem_add(struct values *values, const char *path, const uint8_t *bytes, size_t len)
{
	const char *at = (const char *)bytes, *end = at + len;
	const char *done = at;
	bool is_pem = false;

	while ((at = find(at, end, "-----BEGIN ")) != NULL) {
		const char *label = at + 11, *body = find(label, end, "-----");
		const char *stop = body ? find(body + 5, end, "-----END ") : NULL;

		if (!body)
			break;
		is_pem = true;
		add_between(values, path, done, at);
		if (is_private(label, (size_t)(body - label)))
			add_block(values, path, body + 5, (size_t)((stop ? stop : end) - body - 5));
		done = stop ? find(stop + 9, end, "-----") : NULL;
		done = done ? done + 5 : end;
		at = done;
	}
	if (is_pem)
		add_between(values, path, done, end);
	return is_pem;
}
