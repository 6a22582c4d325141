#include "services/auth/offchain.h"

#include <sodium.h>
#include <string.h>

#include "common/error.h"
#include "common/wire.h"

#define DOMAIN_LEN 16
static const uint8_t signing_domain[DOMAIN_LEN] = "\xffsolana offchain";

enum { FORMAT_ASCII, FORMAT_UTF8, FORMAT_UTF8_LONG };

/* Reads forward; once something is missing, everything after it is. */
struct reader {
	const uint8_t *at;
	size_t left;
	bool is_bad;
};

static const uint8_t *take(struct reader *reader, size_t len)
{
	if (reader->is_bad || len > reader->left) {
		reader->is_bad = true;
		return NULL;
	}
	const uint8_t *bytes = reader->at;
	reader->at += len;
	reader->left -= len;
	return bytes;
}

static unsigned take_byte(struct reader *reader)
{
	const uint8_t *byte = take(reader, 1);
	return byte ? byte[0] : 0;
}

static bool is_ascii(const uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((text[i] < 0x20 || text[i] > 0x7e) && text[i] != '\n')
			return false;
	}
	return true;
}

static bool fits_format(unsigned format, const uint8_t *body, size_t len)
{
	if (len == 0 || (format != FORMAT_UTF8_LONG && len > OFFCHAIN_BODY_MAX))
		return false;
	if (format == FORMAT_ASCII)
		return is_ascii(body, len);
	return (format == FORMAT_UTF8 || format == FORMAT_UTF8_LONG) &&
	       utf8_is_valid((const char *)body, len);
}

/* n signers, none twice, ours among them; version 1 wants them in ascending order. */
static bool take_signers(struct reader *reader, const uint8_t ours[PUBKEY_LEN], bool is_sorted)
{
	size_t count = take_byte(reader);
	const uint8_t *keys = take(reader, count * PUBKEY_LEN);
	if (!keys || count == 0)
		return false;
	bool found = false;
	for (size_t i = 0; i < count; i++) {
		const uint8_t *key = keys + i * PUBKEY_LEN;
		found = found || memcmp(key, ours, PUBKEY_LEN) == 0;
		if (i > 0 && is_sorted && memcmp(key - PUBKEY_LEN, key, PUBKEY_LEN) >= 0)
			return false;
		for (size_t j = 0; j < i; j++) {
			if (memcmp(keys + j * PUBKEY_LEN, key, PUBKEY_LEN) == 0)
				return false;
		}
	}
	return found;
}

/* A little-endian length, and exactly that much to the end. */
static bool is_sized_body(struct reader *reader, unsigned format, const void *text, size_t len)
{
	const uint8_t *size = take(reader, 2);
	return size && reader->left == (size_t)(size[0] | size[1] << 8) &&
	       fits_format(format, reader->at, reader->left) && reader->left == len &&
	       memcmp(reader->at, text, len) == 0;
}

static bool is_v0(
    struct reader reader, const uint8_t signer[PUBKEY_LEN], const void *text, size_t len)
{
	const uint8_t *application = take(&reader, 32);
	/* the text names our domain; an application domain that we never asked for was meant for somebody else */
	if (!application || !sodium_is_zero(application, 32))
		return false;
	unsigned format = take_byte(&reader);
	return take_signers(&reader, signer, false) && is_sized_body(&reader, format, text, len);
}

static bool is_legacy(struct reader reader, const void *text, size_t len)
{
	unsigned format = take_byte(&reader);
	return is_sized_body(&reader, format, text, len);
}

static bool is_v1(
    struct reader reader, const uint8_t signer[PUBKEY_LEN], const void *text, size_t len)
{
	return take_signers(&reader, signer, true) && reader.left == len &&
	       fits_format(FORMAT_UTF8_LONG, reader.at, reader.left) &&
	       memcmp(reader.at, text, len) == 0;
}

bool offchain_holds(const uint8_t *buf, size_t buf_len, const uint8_t signer[PUBKEY_LEN],
    const void *text, size_t len)
{
	struct reader reader = {.at = buf, .left = buf_len};
	const uint8_t *domain = take(&reader, DOMAIN_LEN);
	if (!domain || memcmp(domain, signing_domain, DOMAIN_LEN) != 0 || reader.left == 0)
		return false;
	switch (take_byte(&reader)) {
	case 0:
		return is_v0(reader, signer, text, len) || is_legacy(reader, text, len);
	case 1:
		return is_v1(reader, signer, text, len);
	default:
		return false;
	}
}

static size_t put(uint8_t *buf, size_t at, const void *bytes, size_t len)
{
	memcpy(buf + at, bytes, len);
	return at + len;
}

size_t offchain_wrap(enum offchain_form form, const uint8_t signer[PUBKEY_LEN], const void *text,
    size_t len, uint8_t buf[OFFCHAIN_HEADER_MAX + OFFCHAIN_BODY_MAX])
{
	static const uint8_t application[32];
	bug_if(len > OFFCHAIN_BODY_MAX);
	if (form == OFFCHAIN_RAW)
		return put(buf, 0, text, len);
	size_t at = put(buf, 0, signing_domain, DOMAIN_LEN);
	buf[at++] = form == OFFCHAIN_V1;
	if (form == OFFCHAIN_V0_ASCII || form == OFFCHAIN_V0_UTF8)
		at = put(buf, at, application, sizeof(application));
	if (form != OFFCHAIN_V1)
		buf[at++] = form == OFFCHAIN_V0_ASCII ? FORMAT_ASCII : FORMAT_UTF8;
	if (form != OFFCHAIN_LEGACY) {
		buf[at++] = 1;
		at = put(buf, at, signer, PUBKEY_LEN);
	}
	if (form != OFFCHAIN_V1) {
		buf[at++] = (uint8_t)(len & 0xff);
		buf[at++] = (uint8_t)(len >> 8);
	}
	return put(buf, at, text, len);
}

bool offchain_signature_is_good(const uint8_t signature[SIGNATURE_LEN],
    const uint8_t signer[PUBKEY_LEN], const void *buf, size_t len)
{
	return crypto_sign_verify_detached(signature, buf, len, signer) == 0;
}

bool offchain_is_signed(const uint8_t signature[SIGNATURE_LEN], const uint8_t signer[PUBKEY_LEN],
    const void *text, size_t len)
{
	uint8_t buf[OFFCHAIN_HEADER_MAX + OFFCHAIN_BODY_MAX];
	for (int form = 0; form < OFFCHAIN_FORMS; form++) {
		size_t size = offchain_wrap((enum offchain_form)form, signer, text, len, buf);
		if (offchain_signature_is_good(signature, signer, buf, size))
			return true;
	}
	return false;
}
