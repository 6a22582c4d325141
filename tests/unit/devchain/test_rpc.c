#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/scoped.h"
#include "tests/devchain/rpc.h"
#include "tests/unit/devchain/fixtures.h"

/* A node with the vectors' accounts: the asset at key 1, the collection at 2, 200 bytes of another program at 3. */
struct world {
	struct chain *chain;
	struct node node;
	struct rpc rpc;
	json_t *vectors;
};

static const uint64_t lags[COMMITMENTS] = {0, 2, 32};

static void seed(struct world *world, uint8_t at, const struct account_state *state)
{
	uint8_t key[PUBKEY_LEN];

	fill_key(key, at);
	chain_seed(world->chain, key, 1, state);
}

static int open_world(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct account_state scoped_state asset = {0}, collection = {0}, other = {.lamports = 5};

	world->vectors = vectors_solana();
	world->chain = chain_new(1000, 400, lags, 1700000000000);
	node_open(&world->node, "a", world->chain, 1700000000000);
	world->rpc.node = &world->node;
	fill_key(world->rpc.genesis, 42);
	asset = fixture(world->vectors, "asset in collection, Attributes");
	collection = fixture(world->vectors, "collection after one mint");
	account_state_resize(&other, 200);
	seed(world, 1, &asset);
	seed(world, 2, &collection);
	seed(world, 3, &other);
	*state = world;
	return 0;
}

static int close_world(void **state)
{
	struct world *world = *state;

	node_reset(&world->node);
	chain_destroy(&world->chain);
	json_decref(world->vectors);
	free(world);
	return 0;
}

/* the reply's text; consumes message. Caller frees. */
static char *ask(struct world *world, json_t *message)
{
	struct evbuffer *out scoped_evbuffer = evbuffer_new();
	char *text;

	assert_non_null(message);
	rpc_answer(&world->rpc, message, out);
	evbuffer_add(out, "", 1);
	text = strdup((const char *)evbuffer_pullup(out, -1));
	json_decref(message);
	return text;
}

static json_t *call(const char *method, json_t *params)
{
	return json_pack(
	    "{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id", 1, "method", method, "params", params);
}

static char *key_of(uint8_t with)
{
	static char text[PUBKEY_TEXT_MAX + 1];
	uint8_t key[PUBKEY_LEN];

	fill_key(key, with);
	return pubkey_text(key, text);
}

static void assert_error(struct world *world, json_t *message, int code)
{
	scoped_free char *text = ask(world, message);
	scoped_json json_t *reply = json_loads(text, 0, NULL);

	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(reply, "error"), "code")), code);
}

static void answers_an_account_in_the_true_shape(void **state)
{
	struct world *world = *state;
	const json_t *vector = json_array_get(json_object_get(world->vectors, "accounts"), 2);
	scoped_free char *want = NULL, *got = NULL;

	assert_true(
	    asprintf(&want,
		"{\"jsonrpc\":\"2.0\",\"result\":{\"context\":{\"apiVersion\":\"2.3.8\",\"slot\":"
		"998},"
		"\"value\":{\"data\":[\"%s\",\"base64\"],\"executable\":false,\"lamports\":3525360,"
		"\"owner\":\"" CORE_PROGRAM
		"\",\"rentEpoch\":18446744073709551615,\"space\":163}},\"id\":1}",
		vectors_str(vector, "data_base64")) > 0);
	got = ask(world, call("getAccountInfo", json_pack("[s, {s:s, s:s}]", key_of(1), "encoding",
						    "base64", "commitment", "confirmed")));
	assert_string_equal(got, want);
}

static void answers_null_for_what_does_not_exist(void **state)
{
	struct world *world = *state;
	scoped_free char *got = ask(world,
	    call("getAccountInfo", json_pack("[s, {s:s}]", key_of(9), "encoding", "base64")));

	assert_non_null(strstr(got, "\"slot\":968},\"value\":null}"));
}

static void refuses_base58_of_long_data_and_gives_a_bare_string_without_encoding(void **state)
{
	struct world *world = *state;
	scoped_free char *got = ask(world, call("getAccountInfo", json_pack("[s]", key_of(2))));

	assert_non_null(strstr(got, "\"value\":{\"data\":\""));
	assert_error(world, call("getAccountInfo", json_pack("[s]", key_of(1))), -32600);
	assert_error(world,
	    call("getAccountInfo", json_pack("[s, {s:s}]", key_of(1), "encoding", "base58")),
	    -32600);
}

static void cuts_a_slice_and_tells_the_full_length(void **state)
{
	struct world *world = *state;
	scoped_free char *got = ask(world,
	    call("getAccountInfo", json_pack("[s, {s:s, s:{s:i, s:i}}]", key_of(1), "encoding",
				       "base64", "dataSlice", "offset", 0, "length", 3)));
	scoped_free char *beyond = ask(world,
	    call("getAccountInfo", json_pack("[s, {s:s, s:{s:i, s:i}}]", key_of(1), "encoding",
				       "base64", "dataSlice", "offset", 500, "length", 3)));

	assert_non_null(strstr(got, "\"data\":[\"AYE5\",\"base64\"]"));
	assert_non_null(strstr(got, "\"space\":163"));
	assert_non_null(strstr(beyond, "\"data\":[\"\",\"base64\"]"));
}

static void refuses_bad_requests_with_the_true_codes(void **state)
{
	struct world *world = *state;
	json_t *keys = json_array();

	for (int i = 0; i < 101; i++)
		json_array_append_new(keys, json_string(key_of(1)));
	assert_error(world, call("getMultipleAccounts", json_pack("[o]", keys)), -32602);
	assert_error(world, call("getAccountInfo", json_pack("[s]", "0OIl")), -32602);
	assert_error(world, call("getAccountInfo", json_pack("[s]", "abc")), -32602);
	assert_error(world, call("getAccountInfo", json_array()), -32602);
	assert_error(world, call("getAccountInfo", json_pack("[i]", 5)), -32602);
	assert_error(
	    world, call("getSlot", json_pack("[{s:s}]", "commitment", "sometimes")), -32602);
	assert_error(world, call("getBlock", json_pack("[i]", 5)), -32601);
	assert_error(world, json_pack("{s:i, s:s}", "id", 1, "method", "getSlot"), -32600);
	assert_error(world, json_array(), -32600);
	assert_error(world, json_string("getSlot"), -32600);
}

static void refuses_a_slot_it_has_not_reached(void **state)
{
	struct world *world = *state;
	scoped_free char *got = ask(world,
	    call("getSlot",
		json_pack("[{s:s, s:i}]", "commitment", "confirmed", "minContextSlot", 999)));
	scoped_free char *largest = ask(world,
	    call("getSlot",
		json_pack("[{s:s, s:f}]", "commitment", "confirmed", "minContextSlot", 0x1p64)));
	scoped_free char *lower = NULL;

	assert_non_null(strstr(got,
	    "{\"code\":-32016,\"message\":\"Minimum context slot has not been reached\","
	    "\"data\":{\"contextSlot\":998}}"));
	assert_non_null(strstr(largest, "-32016"));
	world->node.faults.lower = 50;
	lower = ask(world, call("getSlot", json_pack("[{s:s, s:i}]", "commitment", "confirmed",
					       "minContextSlot", 999)));
	assert_non_null(strstr(lower, "\"result\":948"));
}

/* The slot that counts is that of the commitment asked for: 1000 is the newest here, 998 confirmed, 968 finalized. */
static void a_slot_may_be_confirmed_and_not_yet_finalized(void **state)
{
	static const struct {
		int min_slot;
		const char *commitment, *said;
	} rows[] = {
	    {969, "confirmed", "\"slot\":998},\"value\":["},
	    {969, "finalized", "-32016"},
	    {969, "finalized", "{\"contextSlot\":968}"},
	    {968, "finalized", "\"slot\":968},\"value\":["},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		scoped_free char *got = ask(world,
		    call("getMultipleAccounts",
			json_pack("[[s], {s:s, s:s, s:i}]", key_of(1), "encoding", "base64",
			    "commitment", rows[i].commitment, "minContextSlot", rows[i].min_slot)));
		if (!strstr(got, rows[i].said))
			fail_msg("%zu: %s", i, got);
	}
}

static void answers_a_batch_and_stays_silent_to_notifications(void **state)
{
	struct world *world = *state;
	scoped_free char *got =
	    ask(world, json_pack("[{s:s, s:s, s:s}, {s:s, s:s}, {s:s, s:n, s:s}]", "jsonrpc", "2.0",
			   "id", "x", "method", "getSlot", "jsonrpc", "2.0", "method", "getSlot",
			   "jsonrpc", "2.0", "id", "method", "getHealth"));
	scoped_free char *nothing =
	    ask(world, json_pack("{s:s, s:s}", "jsonrpc", "2.0", "method", "getSlot"));

	assert_string_equal(got, "[{\"jsonrpc\":\"2.0\",\"result\":968,\"id\":\"x\"},"
				 "{\"jsonrpc\":\"2.0\",\"result\":\"ok\",\"id\":null}]");
	assert_string_equal(nothing, "");
}

static size_t found(struct world *world, json_t *filters)
{
	scoped_free char *got =
	    ask(world, call("getProgramAccounts", json_pack("[s, {s:s, s:o}]", CORE_PROGRAM,
						      "encoding", "base64", "filters", filters)));
	size_t n = 0;

	assert_null(strstr(got, "error"));
	for (const char *at = got; (at = strstr(at, "\"pubkey\"")); at++)
		n++;
	return n;
}

static void filters_as_the_vectors_do(void **state)
{
	struct world *world = *state;
	const json_t *filters = json_object_get(world->vectors, "filters");
	json_t *collection = json_deep_copy(json_object_get(filters, "all_assets_of_collection"));
	const json_t *owner = json_object_get(filters, "all_assets_of_owner");
	const json_t *both = json_object_get(filters, "owner_and_collection");

	assert_int_equal(found(world, collection), 1);
	assert_int_equal(found(world, json_deep_copy(json_object_get(
					  filters, "all_assets_of_collection_base64"))),
	    1);
	assert_int_equal(found(world, json_deep_copy(owner)), 1);
	assert_int_equal(found(world, json_deep_copy(both)), 1);
	assert_int_equal(
	    found(world, json_deep_copy(json_object_get(filters, "all_collections"))), 1);
	assert_int_equal(found(world, json_pack("[{s:i}]", "dataSize", 163)), 1);
	assert_int_equal(found(world, json_pack("[{s:i}]", "dataSize", 164)), 0);
	assert_int_equal(found(world, json_array()), 2);
	/* past the end: no match */
	assert_int_equal(
	    found(world, json_pack("[{s:{s:i, s:s}}]", "memcmp", "offset", 163, "bytes", "2")), 0);
}

static void refuses_filters_beyond_the_limits(void **state)
{
	struct world *world = *state;
	json_t *five = json_array();
	char text[400];

	for (int i = 0; i < 5; i++)
		json_array_append_new(five, json_pack("{s:i}", "dataSize", 1));
	memset(text, 'z', sizeof(text));
	text[180] = '\0';
	assert_error(world,
	    call("getProgramAccounts", json_pack("[s, {s:o}]", CORE_PROGRAM, "filters", five)),
	    -32602);
	assert_error(world,
	    call("getProgramAccounts", json_pack("[s, {s:[{s:{s:i, s:s}}]}]", CORE_PROGRAM,
					   "filters", "memcmp", "offset", 0, "bytes", text)),
	    -32602);
	assert_error(world,
	    call("getProgramAccounts",
		json_pack("[s, {s:[{s:i}]}]", CORE_PROGRAM, "filters", "unknown", 0)),
	    -32602);
}

static void tells_the_clock_of_the_slot_it_shows(void **state)
{
	struct world *world = *state;
	struct reading reading;
	uint8_t key[PUBKEY_LEN];

	assert_int_equal(pubkey_parse(SYSVAR_CLOCK, key), 0);
	assert_true(node_read(&world->node, key, 900, &reading));
	assert_int_equal(reading.len, 40);
	assert_int_equal(reading.data[0] | reading.data[1] << 8, 900);
	assert_int_equal(*(const uint32_t *)(const void *)(reading.data + 32), 1700000000 - 40);
	world->node.faults.skew_s = 600;
	assert_true(node_read(&world->node, key, 900, &reading));
	assert_int_equal(*(const uint32_t *)(const void *)(reading.data + 32), 1700000000 - 640);
}

static void breaks_ids_and_slots_when_told_to(void **state)
{
	struct world *world = *state;
	scoped_free char *wrong = NULL, *bad = NULL;

	world->node.faults.wrong_id = true;
	wrong = ask(world, call("getSlot", json_array()));
	assert_string_equal(wrong, "{\"jsonrpc\":\"2.0\",\"result\":968,\"id\":2}");
	node_reset(&world->node);
	world->node.faults.bad_slot = true;
	bad = ask(world, call("getSlot", json_array()));
	assert_string_equal(bad, "{\"jsonrpc\":\"2.0\",\"result\":18446744073709551615,\"id\":1}");
}

static void says_that_it_is_behind(void **state)
{
	struct world *world = *state;
	scoped_free char *got = NULL;

	world->node.faults.lag = 200;
	got = ask(world, call("getHealth", json_array()));
	assert_non_null(strstr(got, "{\"code\":-32005,\"message\":\"Node is behind by 200 slots\","
				    "\"data\":{\"numSlotsBehind\":200}}"));
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    in_world(answers_an_account_in_the_true_shape),
	    in_world(answers_null_for_what_does_not_exist),
	    in_world(refuses_base58_of_long_data_and_gives_a_bare_string_without_encoding),
	    in_world(cuts_a_slice_and_tells_the_full_length),
	    in_world(refuses_bad_requests_with_the_true_codes),
	    in_world(refuses_a_slot_it_has_not_reached),
	    in_world(a_slot_may_be_confirmed_and_not_yet_finalized),
	    in_world(answers_a_batch_and_stays_silent_to_notifications),
	    in_world(filters_as_the_vectors_do),
	    in_world(refuses_filters_beyond_the_limits),
	    in_world(tells_the_clock_of_the_slot_it_shows),
	    in_world(breaks_ids_and_slots_when_told_to),
	    in_world(says_that_it_is_behind),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
