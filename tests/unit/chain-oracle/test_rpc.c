/* What is asked of a node, and the battery of what a node may answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/scoped.h"
#include "services/chain-oracle/rpc_answer.h"
#include "services/chain-oracle/rpc_json.h"
#include "services/chain-oracle/rpc_request.h"
#include "tests/unit/chain-oracle/fixtures.h"

#define ID 7
#define ACCOUNT(space) \
	"{\"data\":[\"AA==\",\"base64\"],\"executable\":false,\"lamports\":2738880,\"owner\":" \
	"\"" CORE_PROGRAM "\",\"rentEpoch\":18446744073709551615,\"space\":" space "}"
#define RESULT(slot, value) \
	"{\"jsonrpc\":\"2.0\",\"result\":{\"context\":{\"apiVersion\":\"2.0.1\",\"slot\":" slot \
	"},\"value\":" value "},\"id\":7}"

static int setup(void **arg)
{
	(void)arg;
	return sodium_init() < 0;
}

static void answer_to(
    long status, const char *body, unsigned retry_after_s, struct rpc_answer *answer_r)
{
	/* of exactly that size, so that a sanitizer sees a read behind it */
	size_t len = strlen(body);
	scoped_free uint8_t *copy = malloc(len + !len);
	for (size_t i = 0; i < len; i++)
		copy[i] = (uint8_t)body[i];
	struct http_answer http = {status, (const char *)copy, len, retry_after_s};
	rpc_answer_read(&http, NULL, ID, answer_r);
}

static json_t *params_of(char *request, const char *method)
{
	scoped_free char *text = request;
	json_t *message = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(message);
	assert_string_equal(json_string_value(json_object_get(message, "jsonrpc")), "2.0");
	assert_string_equal(json_string_value(json_object_get(message, "method")), method);
	assert_int_equal(json_integer_value(json_object_get(message, "id")), ID);
	json_t *params = json_incref(json_object_get(message, "params"));
	json_decref(message);
	return params;
}

static void asks_for_accounts_and_the_clock_at_the_commitment_it_is_told(void **arg)
{
	(void)arg;
	static const char *const names[] = {
	    [RPC_CONFIRMED] = "confirmed", [RPC_FINALIZED] = "finalized"};
	const char *keys[] = {ASSET};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		scoped_json json_t *params = params_of(
		    rpc_request_accounts(ID, keys, 1, 1234567890123, (enum rpc_commitment)i),
		    "getMultipleAccounts");
		scoped_json json_t *expected =
		    json_pack("[[s, s], {s:s, s:s, s:I, s:{s:i, s:i}}]", ASSET, RPC_CLOCK,
			"encoding", "base64", "commitment", names[i], "minContextSlot",
			(json_int_t)1234567890123, "dataSlice", "offset", 0, "length", 134);
		assert_true(json_equal(params, expected));
	}
}

static void asks_for_the_collection_by_the_filters_of_the_vectors(void **arg)
{
	(void)arg;
	uint8_t collection[PUBKEY_LEN];
	assert_int_equal(pubkey_parse(COLLECTION, collection), 0);
	scoped_json json_t *vectors = vectors_solana();
	const json_t *filters =
	    rpc_json_at(vectors, "filters", "all_assets_of_collection", (char *)0);
	assert_non_null(filters);
	char *requests[] = {rpc_request_collection(ID, collection),
	    rpc_request_subscribe_collection(ID, collection)};
	const char *methods[] = {"getProgramAccounts", "programSubscribe"};
	for (size_t i = 0; i < 2; i++) {
		scoped_json json_t *params = params_of(requests[i], methods[i]);
		const json_t *config = json_array_get(params, 1);
		assert_string_equal(json_string_value(json_array_get(params, 0)), CORE_PROGRAM);
		assert_true(json_equal(json_object_get(config, "filters"), filters));
		assert_string_equal(
		    json_string_value(json_object_get(config, "encoding")), "base64");
		assert_string_equal(
		    json_string_value(json_object_get(config, "commitment")), "confirmed");
	}
}

static void keeps_subscriptions_small(void **arg)
{
	(void)arg;
	uint8_t collection[PUBKEY_LEN];
	memset(collection, 0xff, sizeof(collection));
	scoped_free char *program = rpc_request_subscribe_collection(INT64_MAX, collection);
	scoped_free char *account = rpc_request_subscribe_account(INT64_MAX, COLLECTION);
	assert_true(strlen(program) < 1024 && strlen(account) < 1024);
}

static const struct {
	const char *name;
	long status;
	const char *body;
	enum rpc_outcome outcome;
} battery[] = {
    {"an answer", 200, RESULT("5", "[]"), RPC_OK},
    {"unknown members", 200, "{\"jsonrpc\":\"2.0\",\"new\":{\"a\":[1]},\"result\":[],\"id\":7}",
	RPC_OK},
    {"a null error beside the result", 200, "{\"result\":1,\"error\":null,\"id\":7}", RPC_OK},
    {"HTML", 200, "<html><body>Service temporarily unavailable</body></html>", RPC_BROKEN},
    {"nothing", 200, "", RPC_BROKEN},
    {"half a body", 200, "{\"jsonrpc\":\"2.0\",\"result\":{\"context\":{\"slot\":5},\"val",
	RPC_BROKEN},
    {"an open string", 200, "{\"jsonrpc\":\"2.0", RPC_BROKEN},
    {"a backslash at the end", 200, "{\"jsonrpc\":\"2.0\\", RPC_BROKEN},
    {"a list", 200, "[]", RPC_BROKEN},
    {"a number", 200, "18446744073709551615", RPC_BROKEN},
    {"a wrong id", 200, "{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":8}", RPC_BROKEN},
    {"no id", 200, "{\"jsonrpc\":\"2.0\",\"result\":1}", RPC_BROKEN},
    {"an id as text", 200, "{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":\"7\"}", RPC_BROKEN},
    {"neither result nor error", 200, "{\"jsonrpc\":\"2.0\",\"id\":7}", RPC_BROKEN},
    {"both", 200, "{\"result\":1,\"error\":{\"code\":-32005},\"id\":7}", RPC_FAILED},
    {"an error that is none", 200, "{\"result\":1,\"error\":\"no\",\"id\":7}", RPC_BROKEN},
    {"an error without a code", 200, "{\"error\":{},\"id\":7}", RPC_BROKEN},
    {"a repeated member", 200, "{\"result\":1,\"result\":2,\"id\":7}", RPC_BROKEN},
    {"a NUL", 200, "{\"result\":\"a\\u0000b\",\"id\":7}", RPC_BROKEN},
    {"trailing bytes", 200, "{\"result\":1,\"id\":7}x", RPC_BROKEN},
    {"429 by status", 429, "<html>", RPC_LIMITED},
    {"429 as an error, with its own id", 200,
	"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":429,\"message\":\"slow down\"},\"id\":1}",
	RPC_LIMITED},
    {"429 as -32429", 200, "{\"error\":{\"code\":-32429,\"message\":\"m\"},\"id\":7}", RPC_LIMITED},
    {"429 as -32029", 200, "{\"error\":{\"code\":-32029},\"id\":null}", RPC_LIMITED},
    {"behind", 200,
	"{\"error\":{\"code\":-32016,\"message\":\"m\",\"data\":{\"contextSlot\":41}},\"id\":7}",
	RPC_BEHIND},
    {"behind, to somebody else", 200, "{\"error\":{\"code\":-32016},\"id\":8}", RPC_BROKEN},
    {"unhealthy", 200, "{\"error\":{\"code\":-32005,\"data\":{\"numSlotsBehind\":42}},\"id\":7}",
	RPC_FAILED},
    {"an unknown method", 200, "{\"error\":{\"code\":-32601},\"id\":7}", RPC_REFUSED},
    {"a key excluded from the index", 200, "{\"error\":{\"code\":-32010},\"id\":7}", RPC_REFUSED},
    {"blocked", 403, "<html>", RPC_UNREACHABLE},
    {"a gateway", 502, "<html>", RPC_UNREACHABLE},
    {"a redirect", 302, "", RPC_UNREACHABLE},
};

static void sorts_every_kind_of_answer(void **arg)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(battery); i++) {
		struct rpc_answer answer;
		answer_to(battery[i].status, battery[i].body, 3, &answer);
		if (answer.outcome != battery[i].outcome)
			fail_msg("%s: %s", battery[i].name, rpc_outcome_text(answer.outcome));
		assert_true((answer.result != NULL) == (answer.outcome == RPC_OK));
		assert_true((answer.err.text[0] != '\0') == (answer.outcome != RPC_OK));
		rpc_answer_wipe(&answer);
	}
}

static void learns_where_a_lagging_node_is_and_how_long_to_wait(void **arg)
{
	(void)arg;
	struct rpc_answer answer;
	answer_to(200,
	    "{\"error\":{\"code\":-32016,\"data\":{\"contextSlot\":18446744073709551615}},\"id\":"
	    "7}",
	    0, &answer);
	assert_true(answer.slot == UINT64_MAX);
	rpc_answer_wipe(&answer);
	answer_to(429, "", 17, &answer);
	assert_int_equal(answer.retry_after_s, 17);
	const struct error err = {.code = ERR_TIMEOUT, .text = "no answer in 3000 ms"};
	rpc_answer_read(NULL, &err, ID, &answer);
	assert_int_equal(answer.outcome, RPC_UNREACHABLE);
	assert_string_equal(answer.err.text, err.text);
}

static int accounts_of(
    const char *body, size_t len, struct rpc_account *accounts_r, uint64_t *slot_r)
{
	struct rpc_answer answer;
	struct error err = {0};
	answer_to(200, body, 0, &answer);
	assert_int_equal(answer.outcome, RPC_OK);
	int rc = rpc_answer_accounts(&answer, len, accounts_r, slot_r, &err);
	assert_true((rc < 0) == (err.text[0] != '\0'));
	rpc_answer_wipe(&answer);
	return rc;
}

static void reads_slots_exactly_and_lives_with_rent_epochs(void **arg)
{
	(void)arg;
	static const struct {
		const char *body;
		uint64_t slot;
	} slots[] = {
	    {RESULT("0", "[null," ACCOUNT("1") "]"), 0},
	    {RESULT("9007199254740993", "[null," ACCOUNT("1") "]"), 9007199254740993},
	    {RESULT("9223372036854775807", "[null," ACCOUNT("1") "]"), INT64_MAX},
	    {RESULT("9223372036854775808", "[null," ACCOUNT("1") "]"),
		UINT64_C(9223372036854775808)},
	    {RESULT("18446744073709551615", "[null," ACCOUNT("1") "]"), UINT64_MAX},
	};
	for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
		struct rpc_account accounts[2];
		uint64_t slot;
		assert_int_equal(accounts_of(slots[i].body, 2, accounts, &slot), 0);
		assert_true(slot == slots[i].slot);
		assert_false(accounts[0].core.exists);
		assert_int_equal(accounts[1].core.len, 1);
		assert_int_equal(accounts[1].core.lamports, 2738880);
	}
}

static void refuses_slots_that_are_none(void **arg)
{
	(void)arg;
	static const char *const bodies[] = {RESULT("-1", "[]"), RESULT("1.0", "[]"),
	    RESULT("1e3", "[]"), RESULT("\"5\"", "[]"), RESULT("null", "[]"),
	    RESULT("18446744073709551616", "[]"), RESULT("-9223372036854775809", "[]"),
	    RESULT("99999999999999999999999999999999", "[]"),
	    RESULT("\"0000000000000000000x\"", "[]"), "{\"result\":{\"value\":[]},\"id\":7}",
	    "{\"result\":[],\"id\":7}", RESULT("5", "null"), RESULT("5", "{}")};
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		uint64_t slot;
		assert_int_equal(accounts_of(bodies[i], 0, NULL, &slot), -1);
	}
}

static void refuses_accounts_that_are_none(void **arg)
{
	(void)arg;
	static const char *const accounts[] = {"1", "[]", "{}", "\"\"", ACCOUNT("0"), ACCOUNT("2"),
	    ACCOUNT("-1"), ACCOUNT("\"1\""),
	    "{\"data\":\"AA==\",\"lamports\":1,\"owner\":\"" CORE_PROGRAM "\"}",
	    "{\"data\":[\"AA==\",\"base58\"],\"lamports\":1,\"owner\":\"" CORE_PROGRAM "\"}",
	    "{\"data\":[\"AA=\",\"base64\"],\"lamports\":1,\"owner\":\"" CORE_PROGRAM "\"}",
	    "{\"data\":[\"A===\",\"base64\"],\"lamports\":1,\"owner\":\"" CORE_PROGRAM "\"}",
	    "{\"data\":[\"====\",\"base64\"],\"lamports\":1,\"owner\":\"" CORE_PROGRAM "\"}",
	    "{\"data\":[\"A A=\",\"base64\"],\"lamports\":1,\"owner\":\"" CORE_PROGRAM "\"}",
	    "{\"data\":[\"AB==\",\"base64\"],\"lamports\":1,\"owner\":\"" CORE_PROGRAM "\"}",
	    "{\"data\":[1,\"base64\"],\"lamports\":1,\"owner\":\"" CORE_PROGRAM "\"}",
	    "{\"data\":[\"AA==\",\"base64\"],\"owner\":\"" CORE_PROGRAM "\"}",
	    "{\"data\":[\"AA==\",\"base64\"],\"lamports\":-1,\"owner\":\"" CORE_PROGRAM "\"}",
	    "{\"data\":[\"AA==\",\"base64\"],\"lamports\":1,\"owner\":\"O0Il\"}",
	    "{\"data\":[\"AA==\",\"base64\"],\"lamports\":1,\"owner\":null}"};
	for (size_t i = 0; i < ARRAY_LEN(accounts); i++) {
		scoped_json json_t *value = json_loads(accounts[i], JSON_DECODE_ANY, NULL);
		struct rpc_account account;
		if (value && rpc_account_read(value, &account) == 0)
			fail_msg("read %s", accounts[i]);
	}
	struct rpc_account two[2];
	uint64_t slot;
	assert_int_equal(accounts_of(RESULT("5", "[null]"), 2, two, &slot), -1);
	assert_int_equal(accounts_of(RESULT("5", "[null,null,null]"), 2, two, &slot), -1);
}

/* An account of n bytes, as a node that knows dataSlice (or not) shows it. */
static json_t *account_of(size_t n, size_t shown, bool with_space)
{
	uint8_t bytes[512];
	char text[1024];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	sodium_bin2base64(text, sizeof(text), bytes, shown, sodium_base64_VARIANT_ORIGINAL);
	json_t *account = json_pack(
	    "{s:[s, s], s:i, s:s}", "data", text, "base64", "lamports", 1, "owner", CORE_PROGRAM);
	if (with_space)
		json_object_set_new(account, "space", json_integer((json_int_t)n));
	return account;
}

static void keeps_the_beginning_of_the_data_only(void **arg)
{
	(void)arg;
	for (size_t n = 0; n <= 300; n++) {
		scoped_json json_t *whole = account_of(n, n, true);
		scoped_json json_t *sliced = account_of(n, n < CORE_SLICE ? n : CORE_SLICE, true);
		struct rpc_account a, b;
		assert_int_equal(rpc_account_read(whole, &a), 0);
		assert_int_equal(rpc_account_read(sliced, &b), 0);
		assert_int_equal(a.core.len, n < CORE_SLICE ? n : CORE_SLICE);
		assert_int_equal(a.core.space, n);
		assert_memory_equal(a.bytes, b.bytes, CORE_SLICE);
		assert_int_equal(b.core.len, a.core.len);
	}
}

static void refuses_less_than_was_asked_for(void **arg)
{
	(void)arg;
	for (size_t shown = 0; shown < CORE_SLICE; shown++) {
		scoped_json json_t *cut = account_of(300, shown, true);
		struct rpc_account account;
		assert_int_equal(rpc_account_read(cut, &account), -1);
	}
	scoped_json json_t *old = account_of(300, CORE_SLICE, false);
	struct rpc_account account;
	assert_int_equal(rpc_account_read(old, &account), 0);
	assert_true(account.core.space == UINT64_MAX);
}

static void refuses_more_than_the_account_is_said_to_hold(void **arg)
{
	(void)arg;
	for (size_t n = 0; n < 300; n++) {
		scoped_json json_t *longer = account_of(n, n + 1, true);
		struct rpc_account account;
		/* what lies behind the slice is not looked at */
		assert_int_equal(rpc_account_read(longer, &account), n < CORE_SLICE ? -1 : 0);
	}
}

static void reads_the_clock(void **arg)
{
	(void)arg;
	struct rpc_account account = {.core = {.exists = true, .len = 40, .space = 40}};
	int64_t unix_s;
	assert_int_equal(
	    pubkey_parse("Sysvar1111111111111111111111111111111111111", account.core.program), 0);
	memcpy(account.bytes + 32, "\x15\xcd\x5b\x07\x00\x00\x00\x00", 8);
	assert_int_equal(rpc_account_clock(&account, &unix_s), 0);
	assert_int_equal(unix_s, 123456789);
	account.core.len = 39;
	assert_int_equal(rpc_account_clock(&account, &unix_s), -1);
	account.core.len = 40;
	account.core.program[0] ^= 1;
	assert_int_equal(rpc_account_clock(&account, &unix_s), -1);
	memset(&account, 0, sizeof(account));
	assert_int_equal(rpc_account_clock(&account, &unix_s), -1);
}

static void count_account(
    void *arg, const uint8_t key[PUBKEY_LEN], const struct rpc_account *account, uint64_t slot)
{
	(void)key;
	assert_true(account->core.exists);
	assert_int_equal(slot, 5);
	++*(size_t *)arg;
}

static void passes_over_unreadable_accounts_of_a_collection(void **arg)
{
	(void)arg;
	struct rpc_answer answer;
	struct error err = {0};
	size_t read = 0, unread;
	answer_to(200,
	    RESULT("5", "[{\"pubkey\":\"" ASSET
			"\",\"account\":" ACCOUNT("1") "},{\"pubkey\":\"x\",\"account\":" ACCOUNT(
			    "1") "},{\"pubkey\":\"" ASSET "\",\"account\":null},7]"),
	    0, &answer);
	assert_int_equal(rpc_answer_collection(&answer, count_account, &read, &unread, &err), 0);
	assert_int_equal(read, 1);
	assert_int_equal(unread, 3);
	rpc_answer_wipe(&answer);
}

static void reads_a_genesis_hash(void **arg)
{
	(void)arg;
	struct rpc_answer answer;
	struct error err = {0};
	char text[PUBKEY_TEXT_MAX + 1];
	answer_to(200, "{\"result\":\"5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d\",\"id\":7}", 0,
	    &answer);
	assert_int_equal(rpc_answer_genesis(&answer, text, &err), 0);
	assert_string_equal(text, "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d");
	rpc_answer_wipe(&answer);
	answer_to(200, "{\"result\":{\"a\":1},\"id\":7}", 0, &answer);
	assert_int_equal(rpc_answer_genesis(&answer, text, &err), -1);
	rpc_answer_wipe(&answer);
}

/* ---- for agent-wallet ---- */

static void says_how_a_transaction_failed_in_words(void **arg)
{
	(void)arg;
	static const struct {
		const char *json, *words;
	} rows[] = {
	    {"null", ""},
	    {"\"BlockhashNotFound\"", "BlockhashNotFound"},
	    {"{\"InsufficientFundsForRent\":{\"account_index\":3}}", "InsufficientFundsForRent 3"},
	    {"{\"DuplicateInstruction\":2}", "DuplicateInstruction 2"},
	    {"{\"InstructionError\":[2,{\"Custom\":26}]}", "InstructionError 2 Custom 26"},
	    {"{\"InstructionError\":[0,{\"Custom\":4294967295}]}",
		"InstructionError 0 Custom 4294967295"},
	    {"{\"InstructionError\":[0,\"MissingRequiredSignature\"]}",
		"InstructionError 0 MissingRequiredSignature"},
	    {"{\"InstructionError\":[0,{\"BorshIoError\":\"what it likes\"}]}",
		"InstructionError 0 BorshIoError"},
	    {"{}", "Unknown"},
	    {"7", "Unknown"},
	    {"true", "Unknown"},
	    {"\"\"", "Unknown"},
	    {"\"two words\"", "Unknown"},
	    {"\"line\\nbreak\"", "Unknown"},
	    {"{\"A\":1,\"B\":2}", "Unknown"},
	    {"{\"A\":\"text\"}", "Unknown"},
	    {"{\"InstructionError\":\"text\"}", "Unknown"},
	    {"{\"InstructionError\":[]}", "Unknown"},
	    {"{\"InstructionError\":[-1,\"A\"]}", "Unknown"},
	    {"{\"InstructionError\":[1,{\"Custom\":1,\"B\":2}]}", "Unknown"},
	    {"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", "Unknown"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[RPC_TRANSACTION_ERROR_MAX + 1];
		scoped_json json_t *error =
		    rpc_json_parse(rows[i].json, strlen(rows[i].json), NULL);
		rpc_transaction_error(error, text);
		assert_string_equal(text, rows[i].words);
	}
	char text[RPC_TRANSACTION_ERROR_MAX + 1];
	rpc_transaction_error(NULL, text);
	assert_string_equal(text, "");
}

static void keeps_what_an_error_carries(void **arg)
{
	(void)arg;
	struct rpc_answer answer;
	answer_to(200,
	    "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32002,\"message\":\"no\",\"data\":{"
	    "\"err\":\"AlreadyProcessed\"}},\"id\":7}",
	    0, &answer);
	assert_int_equal(answer.outcome, RPC_FAILED);
	assert_int_equal(answer.code, -32002);
	assert_string_equal(
	    json_string_value(json_object_get(answer.data, "err")), "AlreadyProcessed");
	rpc_answer_wipe(&answer);
	assert_null(answer.data);
}

static void reads_a_slice_of_any_length_and_not_a_byte_more(void **arg)
{
	(void)arg;
	static const char json[] =
	    "{\"data\":[\"AQIDBAU=\",\"base64\"],\"executable\":true,\"lamports\":9,\"owner\":"
	    "\"" CORE_PROGRAM "\",\"rentEpoch\":0,\"space\":5}";
	scoped_json json_t *value = rpc_json_parse(json, strlen(json), NULL);
	assert_non_null(value);
	for (size_t slice = 0; slice <= 8; slice++) {
		struct core_account account;
		scoped_free uint8_t *bytes = malloc(slice + !slice);
		assert_int_equal(rpc_account_read_slice(value, bytes, slice, &account), 0);
		assert_int_equal(account.len, slice < 5 ? slice : 5);
		assert_int_equal(account.space, 5);
		assert_true(account.executable);
		for (size_t i = 0; i < account.len; i++)
			assert_int_equal(bytes[i], i + 1);
	}
}

static void sends_a_transaction_as_it_is_and_only_once(void **arg)
{
	(void)arg;
	for (int skip = 0; skip <= 1; skip++) {
		scoped_json json_t *params = params_of(
		    rpc_request_send(ID, (const uint8_t *)"abc", 3, skip), "sendTransaction");
		scoped_json json_t *expected =
		    json_pack("[s, {s:s, s:s, s:b, s:i}]", "YWJj", "encoding", "base64",
			"preflightCommitment", "confirmed", "skipPreflight", skip, "maxRetries", 0);
		assert_true(json_equal(params, expected));
	}
}

static void asks_for_the_records_of_one_asset_only(void **arg)
{
	(void)arg;
	scoped_json json_t *params =
	    params_of(rpc_request_records(ID, ASSET, 5), "getProgramAccounts");
	assert_string_equal(json_string_value(json_array_get(params, 0)), RPC_RECORD_PROGRAM);
	const json_t *filters = json_object_get(json_array_get(params, 1), "filters");
	scoped_json json_t *expected =
	    json_pack("[{s:i}, {s:{s:i, s:s, s:s}}, {s:{s:i, s:s, s:s}}]", "dataSize", 104,
		"memcmp", "offset", 0, "bytes", "3", "encoding", "base58", "memcmp", "offset", 72,
		"bytes", ASSET, "encoding", "base58");
	assert_true(json_equal(filters, expected));
}

static void a_slot_beyond_any_stays_one(void **arg)
{
	(void)arg;
	scoped_json json_t *params =
	    params_of(rpc_request_blockhash(ID, UINT64_MAX), "getLatestBlockhash");
	assert_int_equal(
	    json_integer_value(json_object_get(json_array_get(params, 0), "minContextSlot")),
	    INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(asks_for_accounts_and_the_clock_at_the_commitment_it_is_told),
	    cmocka_unit_test(asks_for_the_collection_by_the_filters_of_the_vectors),
	    cmocka_unit_test(keeps_subscriptions_small),
	    cmocka_unit_test(sorts_every_kind_of_answer),
	    cmocka_unit_test(learns_where_a_lagging_node_is_and_how_long_to_wait),
	    cmocka_unit_test(reads_slots_exactly_and_lives_with_rent_epochs),
	    cmocka_unit_test(refuses_slots_that_are_none),
	    cmocka_unit_test(refuses_accounts_that_are_none),
	    cmocka_unit_test(keeps_the_beginning_of_the_data_only),
	    cmocka_unit_test(refuses_less_than_was_asked_for),
	    cmocka_unit_test(refuses_more_than_the_account_is_said_to_hold),
	    cmocka_unit_test(reads_the_clock),
	    cmocka_unit_test(passes_over_unreadable_accounts_of_a_collection),
	    cmocka_unit_test(reads_a_genesis_hash),
	    cmocka_unit_test(says_how_a_transaction_failed_in_words),
	    cmocka_unit_test(keeps_what_an_error_carries),
	    cmocka_unit_test(reads_a_slice_of_any_length_and_not_a_byte_more),
	    cmocka_unit_test(sends_a_transaction_as_it_is_and_only_once),
	    cmocka_unit_test(asks_for_the_records_of_one_asset_only),
	    cmocka_unit_test(a_slot_beyond_any_stays_one),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
