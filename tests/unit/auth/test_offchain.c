/* Off-chain envelopes: every vector, every truncation, every byte changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/error.h"
#include "common/scoped.h"
#include "services/auth/offchain.h"
#include "tests/unit/auth/vectors.h"

static json_t *vectors;

static int open_vectors(void **state)
{
	(void)state;
	vectors = json_load_file(VECTORS, 0, NULL);
	return vectors && sodium_init() >= 0 ? 0 : -1;
}

static int close_vectors(void **state)
{
	(void)state;
	json_decref(vectors);
	return 0;
}

struct envelope_vector {
	const char *name, *body;
	uint8_t signer[PUBKEY_LEN];
	struct bytes envelope, signature;
};

/* Calls test with each of the envelope vectors. */
static void each_vector(void (*test)(const struct envelope_vector *vector))
{
	const json_t *entry, *list = json_object_get(vectors, "offchain");
	size_t i;
	json_array_foreach(list, i, entry)
	{
		struct envelope_vector vector = {
		    .name = text_of(entry, "name"), .body = text_of(entry, "body")};
		key_of(entry, "address", vector.signer);
		hex_of(entry, "envelope_hex", &vector.envelope);
		hex_of(entry, "signature_hex", &vector.signature);
		test(&vector);
	}
	assert_int_equal(i, 6);
}

static bool holds(const struct envelope_vector *vector, const uint8_t *buf, size_t len)
{
	return offchain_holds(buf, len, vector->signer, vector->body, strlen(vector->body));
}

static void accept(const struct envelope_vector *vector)
{
	assert_true(holds(vector, vector->envelope.data, vector->envelope.len));
	assert_true(offchain_signature_is_good(
	    vector->signature.data, vector->signer, vector->envelope.data, vector->envelope.len));
	assert_false(offchain_signature_is_good(
	    vector->signature.data, vector->signer, vector->body, strlen(vector->body)));
}

static void accepts_every_vector_over_the_whole_buffer(void **state)
{
	(void)state;
	each_vector(accept);
}

static void cut(const struct envelope_vector *vector)
{
	for (size_t len = 0; len < vector->envelope.len; len++) {
		scoped_free uint8_t *copy = malloc(len + 1);
		memcpy(copy, vector->envelope.data, len);
		if (holds(vector, copy, len))
			fail_msg("%s: accepted the first %zu bytes", vector->name, len);
	}
	struct bytes longer = vector->envelope;
	longer.data[longer.len++] = '\n';
	assert_false(holds(vector, longer.data, longer.len));
}

static void refuses_every_truncation_and_a_byte_more(void **state)
{
	(void)state;
	each_vector(cut);
}

/* A changed byte either breaks the envelope or is the format, which another reading may share; the signature then fails. */
static void change(const struct envelope_vector *vector)
{
	struct bytes changed = vector->envelope;
	for (size_t i = 0; i < changed.len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			changed.data[i] ^= (uint8_t)(1 << bit);
			bool passes = holds(vector, changed.data, changed.len) &&
				      offchain_signature_is_good(vector->signature.data,
					  vector->signer, changed.data, changed.len);
			if (passes)
				fail_msg("%s: byte %zu may change", vector->name, i);
			changed.data[i] ^= (uint8_t)(1 << bit);
		}
	}
}

static void refuses_every_changed_bit(void **state)
{
	(void)state;
	each_vector(change);
}

static void refuse_others(const struct envelope_vector *vector)
{
	uint8_t stranger[PUBKEY_LEN];
	memset(stranger, 7, sizeof(stranger));
	bool names_signers = strstr(vector->name, "legacy") == NULL;
	bool accepted = offchain_holds(vector->envelope.data, vector->envelope.len, stranger,
	    vector->body, strlen(vector->body));
	assert_int_equal(accepted, !names_signers);
	assert_false(offchain_holds(
	    vector->envelope.data, vector->envelope.len, vector->signer, "other", 5));
	assert_false(offchain_signature_is_good(
	    vector->signature.data, stranger, vector->envelope.data, vector->envelope.len));
}

static void refuses_another_signer_and_another_text(void **state)
{
	(void)state;
	each_vector(refuse_others);
}

static void wraps_like_the_vectors_with_one_signer(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		enum offchain_form form;
	} forms[] = {
	    {"v0 (85-byte header, 1 signer, zero app domain), format 0", OFFCHAIN_V0_ASCII},
	    {"v0, format 1 (UTF-8), SIWS text with LF", OFFCHAIN_V0_UTF8},
	    {"v0, format 0 with LF in body", OFFCHAIN_V0_ASCII},
	    {"v1, 1 signer, SIWS text", OFFCHAIN_V1},
	};
	const json_t *entry, *list = json_object_get(vectors, "offchain");
	size_t i, found = 0;
	json_array_foreach(list, i, entry)
	{
		for (size_t j = 0; j < ARRAY_LEN(forms); j++) {
			if (strcmp(forms[j].name, text_of(entry, "name")) != 0)
				continue;
			uint8_t signer[PUBKEY_LEN], buf[OFFCHAIN_HEADER_MAX + OFFCHAIN_BODY_MAX];
			struct bytes envelope, signature;
			const char *body = text_of(entry, "body");
			key_of(entry, "address", signer);
			hex_of(entry, "envelope_hex", &envelope);
			hex_of(entry, "signature_hex", &signature);
			assert_int_equal(
			    offchain_wrap(forms[j].form, signer, body, strlen(body), buf),
			    envelope.len);
			assert_memory_equal(buf, envelope.data, envelope.len);
			assert_true(offchain_is_signed(signature.data, signer, body, strlen(body)));
			found++;
		}
	}
	assert_int_equal(found, ARRAY_LEN(forms));
}

static void finds_the_form_from_the_signature_alone(void **state)
{
	(void)state;
	static const char text[] = "a text\nof two lines";
	uint8_t signer[PUBKEY_LEN], other[PUBKEY_LEN], secret[crypto_sign_SECRETKEYBYTES];
	uint8_t seed[32] = {2}, buf[OFFCHAIN_HEADER_MAX + OFFCHAIN_BODY_MAX],
		signature[SIGNATURE_LEN];
	crypto_sign_seed_keypair(other, secret, seed);
	seed[0] = 3;
	crypto_sign_seed_keypair(signer, secret, seed);
	for (int form = 0; form < OFFCHAIN_FORMS; form++) {
		size_t len =
		    offchain_wrap((enum offchain_form)form, signer, text, strlen(text), buf);
		crypto_sign_detached(signature, NULL, buf, len, secret);
		assert_true(offchain_is_signed(signature, signer, text, strlen(text)));
		assert_false(offchain_is_signed(signature, signer, text, strlen(text) - 1));
		assert_false(offchain_is_signed(signature, other, text, strlen(text)));
		if (form != OFFCHAIN_RAW)
			assert_true(offchain_holds(buf, len, signer, text, strlen(text)));
	}
}

/* One v0 envelope after another with one thing wrong. */
struct v0 {
	uint8_t application, format, signers;
	const char *text;
	int lie; /* about the length */
};

static size_t build_v0(const struct v0 *v0, const uint8_t *keys, uint8_t *buf)
{
	size_t len = strlen(v0->text), at = 0;
	memcpy(buf, "\xffsolana offchain\0", 17);
	at = 17;
	memset(buf + at, 0, 32);
	buf[at + 31] = v0->application;
	at += 32;
	buf[at++] = v0->format;
	buf[at++] = v0->signers;
	memcpy(buf + at, keys, (size_t)v0->signers * PUBKEY_LEN);
	at += (size_t)v0->signers * PUBKEY_LEN;
	buf[at++] = (uint8_t)((int)len + v0->lie);
	buf[at++] = 0;
	memcpy(buf + at, v0->text, len);
	return at + len;
}

static void reads_version_0_strictly(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct v0 v0;
		bool good;
	} cases[] = {
	    {"format 0", {0, 0, 1, "abc\ndef", 0}, true},
	    {"format 1", {0, 1, 1, "caf\xc3\xa9", 0}, true},
	    {"format 2", {0, 2, 1, "caf\xc3\xa9", 0}, true},
	    {"format 3", {0, 3, 1, "abc", 0}, false},
	    {"format 0 with UTF-8", {0, 0, 1, "caf\xc3\xa9", 0}, false},
	    {"format 0 with a tab", {0, 0, 1, "a\tb", 0}, false},
	    {"format 1 with bad UTF-8", {0, 1, 1, "caf\xe9", 0}, false},
	    {"empty text", {0, 0, 1, "", 0}, false},
	    {"somebody's application domain", {1, 0, 1, "abc", 0}, false},
	    {"no signer", {0, 0, 0, "abc", 0}, false},
	    {"three signers, ours last", {0, 0, 3, "abc", 0}, true},
	    {"a signer twice", {0, 0, 4, "abc", 0}, false},
	    {"length too small", {0, 0, 1, "abc", -1}, false},
	    {"length too large", {0, 0, 1, "abc", 1}, false},
	};
	uint8_t keys[4 * PUBKEY_LEN], buf[512];
	memset(keys, 1, PUBKEY_LEN);
	memset(keys + PUBKEY_LEN, 9, PUBKEY_LEN);
	memset(keys + 2 * PUBKEY_LEN, 5, PUBKEY_LEN);
	memset(keys + 3 * PUBKEY_LEN, 1, PUBKEY_LEN);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const uint8_t *ours = cases[i].v0.signers == 3 ? keys + 2 * PUBKEY_LEN : keys;
		size_t len = build_v0(&cases[i].v0, keys, buf);
		const char *text = cases[i].v0.text;
		if (offchain_holds(buf, len, ours, text, strlen(text)) != cases[i].good)
			fail_msg("%s", cases[i].name);
	}
}

static void reads_version_1_strictly(void **state)
{
	(void)state;
	uint8_t buf[256] = "\xffsolana offchain\1";
	uint8_t low[PUBKEY_LEN], high[PUBKEY_LEN];
	memset(low, 1, sizeof(low));
	memset(high, 2, sizeof(high));
	buf[17] = 2;
	memcpy(buf + 18, low, 32);
	memcpy(buf + 50, high, 32);
	memcpy(buf + 82, "abc", 3);
	assert_true(offchain_holds(buf, 85, low, "abc", 3));
	assert_true(offchain_holds(buf, 85, high, "abc", 3));
	memcpy(buf + 18, high, 32);
	assert_false(offchain_holds(buf, 85, high, "abc", 3)); /* twice */
	memcpy(buf + 50, low, 32);
	assert_false(offchain_holds(buf, 85, high, "abc", 3)); /* not ascending */
	buf[16] = 2;
	assert_false(offchain_holds(buf, 85, high, "abc", 3)); /* no such version */
	buf[16] = 1;
	buf[17] = 0;
	assert_false(offchain_holds(buf, 18, high, "", 0));
}

static void verifies_plain_messages(void **state)
{
	(void)state;
	const json_t *entry;
	size_t i;
	json_array_foreach(json_object_get(vectors, "sign_message"), i, entry)
	{
		uint8_t signer[PUBKEY_LEN];
		struct bytes message, signature;
		key_of(entry, "address", signer);
		hex_of(entry, "message_hex", &message);
		hex_of(entry, "signature_hex", &signature);
		assert_true(offchain_is_signed(signature.data, signer, message.data, message.len));
	}
	json_array_foreach(json_object_get(vectors, "ed25519_valid"), i, entry)
	{
		struct bytes key, message, signature;
		hex_of(entry, "pubkey_hex", &key);
		hex_of(entry, "message_hex", &message);
		hex_of(entry, "signature_hex", &signature);
		assert_true(offchain_signature_is_good(
		    signature.data, key.data, message.data, message.len));
	}
}

static void refuses_forged_and_malleated_signatures(void **state)
{
	(void)state;
	const json_t *entry, *list = json_object_get(vectors, "ed25519_must_reject");
	size_t i;
	json_array_foreach(list, i, entry)
	{
		struct bytes key, message, signature;
		hex_of(entry, "pubkey_hex", &key);
		hex_of(entry, "message_hex", &message);
		hex_of(entry, "signature_hex", &signature);
		if (offchain_is_signed(signature.data, key.data, message.data, message.len))
			fail_msg("accepted: %s", text_of(entry, "name"));
	}
	assert_int_equal(i, 4);
}

static void agrees_with_wycheproof(void **state)
{
	(void)state;
	scoped_json json_t *file = json_load_file("tests/vectors/wycheproof_ed25519.json", 0, NULL);
	assert_non_null(file);
	const json_t *group, *test;
	size_t i, j, ran = 0;
	json_array_foreach(json_object_get(file, "testGroups"), i, group)
	{
		struct bytes key;
		hex_of(json_object_get(group, "publicKey"), "pk", &key);
		json_array_foreach(json_object_get(group, "tests"), j, test)
		{
			struct bytes message, signature;
			bool valid = strcmp(text_of(test, "result"), "valid") == 0;
			hex_of(test, "msg", &message);
			hex_of(test, "sig", &signature);
			/* signatures of another length never get here: the message's field is exactly 64 bytes */
			bool accepted = signature.len == SIGNATURE_LEN &&
					offchain_signature_is_good(
					    signature.data, key.data, message.data, message.len);
			if (accepted != valid)
				fail_msg("test %d",
				    (int)json_integer_value(json_object_get(test, "tcId")));
			ran++;
		}
	}
	assert_true(ran >= 150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(accepts_every_vector_over_the_whole_buffer),
	    cmocka_unit_test(refuses_every_truncation_and_a_byte_more),
	    cmocka_unit_test(refuses_every_changed_bit),
	    cmocka_unit_test(refuses_another_signer_and_another_text),
	    cmocka_unit_test(wraps_like_the_vectors_with_one_signer),
	    cmocka_unit_test(finds_the_form_from_the_signature_alone),
	    cmocka_unit_test(reads_version_0_strictly),
	    cmocka_unit_test(reads_version_1_strictly),
	    cmocka_unit_test(verifies_plain_messages),
	    cmocka_unit_test(refuses_forged_and_malleated_signatures),
	    cmocka_unit_test(agrees_with_wycheproof),
	};
	return cmocka_run_group_tests(tests, open_vectors, close_vectors);
}
