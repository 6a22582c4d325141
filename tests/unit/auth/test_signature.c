/* What a wallet sends back, against the challenge it answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/scoped.h"
#include "proto/auth.h"
#include "services/auth/offchain.h"
#include "services/auth/signature.h"
#include "services/auth/siws.h"
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

struct wallet {
	char address[PUBKEY_TEXT_MAX + 1];
	uint8_t key[PUBKEY_LEN], secret[crypto_sign_SECRETKEYBYTES];
};

static void make_wallet(uint8_t seed_byte, struct wallet *wallet)
{
	uint8_t seed[crypto_sign_SEEDBYTES];
	memset(seed, seed_byte, sizeof(seed));
	crypto_sign_seed_keypair(wallet->key, wallet->secret, seed);
	pubkey_text(wallet->key, wallet->address);
}

static struct siws fields_for(const struct wallet *wallet)
{
	return (struct siws){
	    .domain = "claw.example:8443",
	    .address = wallet->address,
	    .statement =
		"Sign in to multiclaw agent 6bHSMBYvDL1r8cNsdjmzjmAdyjbGSn8n5ydrdGRcKCVm from "
		"203.0.113.7. This does not send a transaction or cost anything.",
	    .uri = "https://claw.example:8443",
	    .version = "1",
	    .chain_id = "mainnet",
	    .nonce = "0123456789abcdef0123456789abcdef",
	    .issued_at = "2026-01-02T03:04:05.678Z",
	    .expires_at = "2026-01-02T03:09:05.678Z",
	};
}

static void make_record(const struct wallet *wallet, struct nonce_record *record)
{
	struct siws fields = fields_for(wallet);
	struct error err;
	*record = (struct nonce_record){.expires_ms = 1};
	assert_int_equal(siws_compose(&fields, record->text, &err), 0);
	snprintf(record->wallet, sizeof(record->wallet), "%s", wallet->address);
}

/* The request with these bytes signed; is_sent: they go along. */
static void answer(const struct wallet *wallet, const void *bytes, size_t len, bool is_sent,
    struct auth_verify_req *req)
{
	*req = (struct auth_verify_req){.signature.len = SIGNATURE_LEN};
	snprintf(req->wallet, sizeof(req->wallet), "%s", wallet->address);
	crypto_sign_detached(req->signature.data, NULL, bytes, len, wallet->secret);
	if (is_sent) {
		memcpy(req->signed_message.data, bytes, len);
		req->signed_message.len = len;
	}
}

static const char *reason(const struct nonce_record *record, const struct auth_verify_req *req)
{
	static struct error err;
	const struct signed_text came = {
	    req->wallet, req->signature.data, req->signed_message.data, req->signed_message.len};
	err = (struct error){0};
	if (signature_check(record, &came, &err) == 0)
		return "";
	assert_int_equal(err.code, ERR_UNAUTHENTICATED);
	return err.reason;
}

static void accepts_the_text_in_every_form_with_and_without_the_bytes(void **state)
{
	(void)state;
	struct wallet wallet;
	struct nonce_record record;
	struct auth_verify_req req;
	uint8_t buf[OFFCHAIN_HEADER_MAX + OFFCHAIN_BODY_MAX];
	make_wallet(2, &wallet);
	make_record(&wallet, &record);
	for (int form = 0; form < OFFCHAIN_FORMS; form++) {
		size_t len = offchain_wrap(
		    (enum offchain_form)form, wallet.key, record.text, strlen(record.text), buf);
		answer(&wallet, buf, len, true, &req);
		assert_string_equal(reason(&record, &req), "");
		answer(&wallet, buf, len, false, &req);
		assert_string_equal(reason(&record, &req), "");
	}
}

static void accepts_the_typical_vector(void **state)
{
	(void)state;
	const json_t *vector, *list = json_object_get(json_object_get(vectors, "siws"), "valid");
	size_t i;
	json_array_foreach(list, i, vector)
	{
		struct nonce_record record = {.expires_ms = 1};
		struct auth_verify_req req = {.signature.len = SIGNATURE_LEN};
		struct bytes signature;
		hex_of(vector, "signature_hex", &signature);
		memcpy(req.signature.data, signature.data, SIGNATURE_LEN);
		snprintf(record.text, sizeof(record.text), "%s", text_of(vector, "text"));
		snprintf(record.wallet, sizeof(record.wallet), "%s",
		    text_of(json_object_get(vector, "input"), "address"));
		snprintf(req.wallet, sizeof(req.wallet), "%s", record.wallet);
		assert_string_equal(reason(&record, &req), "");
	}
}

/* Each of these is well signed by its signer, and verifySignIn passes five of them. */
static void refuses_every_vector_that_must_be_rejected(void **state)
{
	(void)state;
	struct wallet wallet;
	struct nonce_record record;
	const json_t *vector,
	    *list = json_object_get(json_object_get(vectors, "siws"), "must_reject");
	size_t i;
	make_wallet(2, &wallet);
	make_record(&wallet, &record);
	snprintf(record.text, sizeof(record.text), "%s",
	    text_of(json_array_get(json_object_get(json_object_get(vectors, "siws"), "valid"), 2),
		"text"));
	json_array_foreach(list, i, vector)
	{
		struct auth_verify_req req = {.signature.len = SIGNATURE_LEN};
		const char *message = text_of(vector, "message_text");
		snprintf(req.wallet, sizeof(req.wallet), "%s", wallet.address);
		assert_int_equal(base58_decode(text_of(vector, "signature_base58"),
				     req.signature.data, SIGNATURE_LEN),
		    0);
		assert_string_equal(reason(&record, &req), "signature_invalid");
		req.signed_message.len = strlen(message);
		memcpy(req.signed_message.data, message, strlen(message));
		if (strcmp(reason(&record, &req), "") == 0)
			fail_msg("accepted: %s", text_of(vector, "name"));
		snprintf(req.wallet, sizeof(req.wallet), "%s", text_of(vector, "signer_address"));
		if (strcmp(reason(&record, &req), "") == 0)
			fail_msg("accepted from its signer: %s", text_of(vector, "name"));
	}
	assert_int_equal(i, 8);
}

static void refuses_each_field_changed(void **state)
{
	(void)state;
	struct wallet wallet, other;
	struct nonce_record record;
	make_wallet(2, &wallet);
	make_wallet(3, &other);
	make_record(&wallet, &record);
	struct siws changed[9];
	for (size_t i = 0; i < ARRAY_LEN(changed); i++)
		changed[i] = fields_for(&wallet);
	changed[0].domain = "evil.example";
	changed[1].address = other.address;
	changed[2].statement = "Sign in to multiclaw.";
	changed[3].uri = "https://evil.example";
	changed[4].version = "2";
	changed[5].chain_id = "devnet";
	changed[6].nonce = "1123456789abcdef0123456789abcdef";
	changed[7].issued_at = "2026-01-02T03:04:05.679Z";
	changed[8].expires_at = "2027-01-02T03:09:05.678Z";
	for (size_t i = 0; i < ARRAY_LEN(changed); i++) {
		char text[SIWS_TEXT_MAX + 1];
		struct error err;
		struct auth_verify_req req;
		assert_int_equal(siws_compose(&changed[i], text, &err), 0);
		answer(&wallet, text, strlen(text), true, &req);
		assert_string_equal(reason(&record, &req), "message_mismatch");
		answer(&wallet, text, strlen(text), false, &req);
		assert_string_equal(reason(&record, &req), "signature_invalid");
	}
}

static void refuses_every_changed_bit_of_text_and_signature(void **state)
{
	(void)state;
	struct wallet wallet;
	struct nonce_record record;
	struct auth_verify_req req;
	make_wallet(2, &wallet);
	make_record(&wallet, &record);
	size_t len = strlen(record.text);
	for (size_t i = 0; i < len * 8; i++) {
		char text[SIWS_TEXT_MAX + 1];
		memcpy(text, record.text, len);
		text[i / 8] = (char)(text[i / 8] ^ (1 << i % 8));
		answer(&wallet, text, len, true, &req);
		assert_string_equal(reason(&record, &req), "message_mismatch");
	}
	answer(&wallet, record.text, len, true, &req);
	for (size_t i = 0; i < SIGNATURE_LEN * 8; i++) {
		req.signature.data[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_string_equal(reason(&record, &req), "signature_invalid");
		req.signature.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	assert_string_equal(reason(&record, &req), "");
}

static void refuses_another_wallet(void **state)
{
	(void)state;
	struct wallet wallet, other;
	struct nonce_record record;
	struct auth_verify_req req;
	make_wallet(2, &wallet);
	make_wallet(3, &other);
	make_record(&wallet, &record);
	answer(&other, record.text, strlen(record.text), false, &req);
	assert_string_equal(reason(&record, &req), "message_mismatch");
	snprintf(req.wallet, sizeof(req.wallet), "%s", wallet.address);
	assert_string_equal(reason(&record, &req), "signature_invalid");
}

/* Whatever the store says: a key of small order proves nothing, an address without a key cannot sign. */
static void refuses_keys_that_anybody_can_sign_for(void **state)
{
	(void)state;
	static const char *const addresses[] = {
	    "11111111111111111111111111111111", "4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM"};
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		struct wallet wallet;
		struct nonce_record record;
		make_wallet(2, &wallet);
		snprintf(wallet.address, sizeof(wallet.address), "%s", addresses[i]);
		make_record(&wallet, &record);
		struct auth_verify_req req = {.signature = {.len = SIGNATURE_LEN, .data = {1}}};
		memcpy(req.wallet, record.wallet, sizeof(req.wallet));
		assert_string_equal(reason(&record, &req), "signature_invalid");
	}
}

static void refuses_bytes_around_the_text(void **state)
{
	(void)state;
	struct wallet wallet;
	struct nonce_record record;
	struct auth_verify_req req;
	static const char *const tails[] = {"\n", "\r\n", " ", "\0", "\n\nResources:"};
	char text[SIWS_TEXT_MAX + 32];
	make_wallet(2, &wallet);
	make_record(&wallet, &record);
	size_t len = strlen(record.text);
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		size_t tail = i == 3 ? 1 : strlen(tails[i]);
		memcpy(text, record.text, len);
		memcpy(text + len, tails[i], tail);
		answer(&wallet, text, len + tail, true, &req);
		assert_string_equal(reason(&record, &req), "message_mismatch");
	}
	answer(&wallet, record.text, len - 1, true, &req);
	assert_string_equal(reason(&record, &req), "message_mismatch");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(accepts_the_text_in_every_form_with_and_without_the_bytes),
	    cmocka_unit_test(accepts_the_typical_vector),
	    cmocka_unit_test(refuses_every_vector_that_must_be_rejected),
	    cmocka_unit_test(refuses_each_field_changed),
	    cmocka_unit_test(refuses_every_changed_bit_of_text_and_signature),
	    cmocka_unit_test(refuses_another_wallet),
	    cmocka_unit_test(refuses_keys_that_anybody_can_sign_for),
	    cmocka_unit_test(refuses_bytes_around_the_text),
	};
	return cmocka_run_group_tests(tests, open_vectors, close_vectors);
}
