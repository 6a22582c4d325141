/* The text of Sign-In With Solana, byte for byte as wallet-standard-util composes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/scoped.h"
#include "services/auth/siws.h"
#include "tests/unit/auth/vectors.h"

#define RESOURCES_MAX 8

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

static struct siws fields_of(const json_t *input, const char *resources[RESOURCES_MAX + 1])
{
	const json_t *list = json_object_get(input, "resources");
	assert_true(json_array_size(list) <= RESOURCES_MAX);
	for (size_t i = 0; i < json_array_size(list); i++)
		resources[i] = json_string_value(json_array_get(list, i));
	resources[json_array_size(list)] = NULL;
	return (struct siws){
	    .domain = text_of(input, "domain"),
	    .address = text_of(input, "address"),
	    .statement = text_of(input, "statement"),
	    .uri = text_of(input, "uri"),
	    .version = text_of(input, "version"),
	    .chain_id = text_of(input, "chainId"),
	    .nonce = text_of(input, "nonce"),
	    .issued_at = text_of(input, "issuedAt"),
	    .expires_at = text_of(input, "expirationTime"),
	    .not_before = text_of(input, "notBefore"),
	    .request_id = text_of(input, "requestId"),
	    .resources = list ? resources : NULL,
	};
}

static void composes_every_vector_to_the_byte(void **state)
{
	(void)state;
	const json_t *vector, *list = json_object_get(json_object_get(vectors, "siws"), "valid");
	size_t i;
	json_array_foreach(list, i, vector)
	{
		const char *resources[RESOURCES_MAX + 1];
		struct siws fields = fields_of(json_object_get(vector, "input"), resources);
		char text[SIWS_TEXT_MAX + 1];
		struct error err;
		struct bytes message;
		assert_int_equal(siws_compose(&fields, text, &err), 0);
		assert_string_equal(text, text_of(vector, "text"));
		hex_of(vector, "message_hex", &message);
		assert_int_equal(strlen(text), message.len);
		assert_memory_equal(text, message.data, message.len);
	}
	assert_int_equal(i, 5);
}

static void refuses_what_the_reference_parser_reads_as_something_else(void **state)
{
	(void)state;
	const json_t *vector,
	    *list = json_object_get(json_object_get(vectors, "siws"), "ambiguous_parse");
	size_t i;
	json_array_foreach(list, i, vector)
	{
		const char *resources[RESOURCES_MAX + 1];
		struct siws fields = fields_of(json_object_get(vector, "input"), resources);
		char text[SIWS_TEXT_MAX + 1];
		struct error err = {0};
		assert_int_equal(siws_compose(&fields, text, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
	assert_int_equal(i, 2);
}

static const struct siws typical = {
    .domain = "claw.example:8443",
    .address = "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu",
    .statement = "Sign in to multiclaw. This does not send a transaction or cost anything.",
    .uri = "https://claw.example:8443",
    .version = "1",
    .chain_id = "mainnet",
    .nonce = "7f3a9c0de1b24586aa01",
    .issued_at = "2026-01-02T03:04:05.678Z",
    .expires_at = "2026-01-02T03:09:05.678Z",
};

static int compose(const struct siws *fields)
{
	char text[SIWS_TEXT_MAX + 1];
	struct error err;
	return siws_compose(fields, text, &err);
}

static void refuses_statements_that_begin_with_a_field(void **state)
{
	(void)state;
	static const char *const statements[] = {"URI: x", "Version: 2", "Chain ID: x", "Nonce: x",
	    "Issued At: x", "Expiration Time: x", "Not Before: x", "Request ID: x", "Resources:"};
	for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
		struct siws fields = typical;
		fields.statement = statements[i];
		assert_int_equal(compose(&fields), -1);
	}
	struct siws fields = typical;
	fields.statement = "Versions are fine. URI: inside is fine.";
	assert_int_equal(compose(&fields), 0);
}

static void refuses_control_and_foreign_characters_in_every_value(void **state)
{
	(void)state;
	static const char *const bad[] = {
	    "a\nb", "a\rb", "a\tb", "\x7f", "caf\xc3\xa9", "\xff", "\x1b[2J"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *const resources[] = {bad[i], NULL};
		struct siws all[12];
		for (size_t j = 0; j < ARRAY_LEN(all); j++)
			all[j] = typical;
		all[0].domain = bad[i];
		all[1].address = bad[i];
		all[2].statement = bad[i];
		all[3].uri = bad[i];
		all[4].version = bad[i];
		all[5].chain_id = bad[i];
		all[6].nonce = bad[i];
		all[7].issued_at = bad[i];
		all[8].expires_at = bad[i];
		all[9].not_before = bad[i];
		all[10].request_id = bad[i];
		all[11].resources = resources;
		for (size_t j = 0; j < ARRAY_LEN(all); j++)
			assert_int_equal(compose(&all[j]), -1);
	}
	assert_int_equal(compose(&typical), 0);
}

static void refuses_poor_nonces_and_missing_names(void **state)
{
	(void)state;
	static const char *const nonces[] = {"1234567", "12345678=", "12345678-", "1234 5678"};
	for (size_t i = 0; i < ARRAY_LEN(nonces); i++) {
		struct siws fields = typical;
		fields.nonce = nonces[i];
		assert_int_equal(compose(&fields), -1);
	}
	struct siws nameless = typical, nobody = typical;
	nameless.domain = "";
	nobody.address = NULL;
	assert_int_equal(compose(&nameless), -1);
	assert_int_equal(compose(&nobody), -1);
}

static void refuses_a_text_that_does_not_fit(void **state)
{
	(void)state;
	char uri[SIWS_TEXT_MAX + 1];
	struct siws fields = typical;
	fields.uri = uri;
	size_t others = 350 - strlen(typical.uri); /* the typical text is 350 bytes */
	memset(uri, 'x', sizeof(uri));
	uri[SIWS_TEXT_MAX - others] = '\0';
	assert_int_equal(compose(&fields), 0);
	uri[SIWS_TEXT_MAX - others] = 'x';
	uri[SIWS_TEXT_MAX - others + 1] = '\0';
	assert_int_equal(compose(&fields), -1);
}

static void names_the_cluster_by_its_genesis(void **state)
{
	(void)state;
	assert_string_equal(
	    siws_chain_id("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"), "mainnet");
	assert_string_equal(
	    siws_chain_id("EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"), "devnet");
	assert_string_equal(
	    siws_chain_id("4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY"), "testnet");
	assert_string_equal(siws_chain_id("11111111111111111111111111111111"), "localnet");
	assert_string_equal(siws_chain_id(""), "localnet");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(composes_every_vector_to_the_byte),
	    cmocka_unit_test(refuses_what_the_reference_parser_reads_as_something_else),
	    cmocka_unit_test(refuses_statements_that_begin_with_a_field),
	    cmocka_unit_test(refuses_control_and_foreign_characters_in_every_value),
	    cmocka_unit_test(refuses_poor_nonces_and_missing_names),
	    cmocka_unit_test(refuses_a_text_that_does_not_fit),
	    cmocka_unit_test(names_the_cluster_by_its_genesis),
	};
	return cmocka_run_group_tests(tests, open_vectors, close_vectors);
}
