/* Orders for the agent's wallet as agent-wallet takes them, and its answers in the API's words: no digit of an amount is lost either way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/scoped.h"
#include "services/router/wallet_json.h"

#define KEY "11111111111111111111111111111111"
#define MINT "So11111111111111111111111111111111111111112"
#define TO "\"to\":\"" KEY "\""
#define PROOF "\"dangerous\":true,\"nonce\":\"n\",\"signature\":\"" SIGNATURE "\""
#define SIGNATURE "1111111111111111111111111111111111111111111111111111111111111111"

static int read_order(const char *text, struct wallet_build_req *req, struct error *err)
{
	scoped_json json_t *body = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	memset(req, 0, sizeof(*req));
	assert_non_null(body);
	return wallet_json_order(body, req, err);
}

static void an_amount_is_a_whole_number_and_keeps_its_digits(void **state)
{
	static const struct {
		const char *text;
		uint64_t amount;
		bool taken, all;
	} cases[] = {
	    {"0", 0, true, false},
	    {"1", 1, true, false},
	    {"9007199254740993", 9007199254740993, true, false},
	    {"9223372036854775807", INT64_MAX, true, false},
	    {"\"9007199254740993\"", 9007199254740993, true, false},
	    {"\"18446744073709551615\"", UINT64_MAX, true, false},
	    {"\"0\"", 0, true, false},
	    {"\"all\"", 0, true, true},
	    {"\"18446744073709551616\"", 0, false, false},
	    {"\"99999999999999999999\"", 0, false, false},
	    {"-1", 0, false, false},
	    {"1.0", 0, false, false},
	    {"1e9", 0, false, false},
	    {"\"1.5\"", 0, false, false},
	    {"\"-1\"", 0, false, false},
	    {"\"+1\"", 0, false, false},
	    {"\" 1\"", 0, false, false},
	    {"\"01\"", 0, false, false},
	    {"\"1e9\"", 0, false, false},
	    {"\"\"", 0, false, false},
	    {"\"ALL\"", 0, false, false},
	    {"null", 0, false, false},
	    {"true", 0, false, false},
	    {"[1]", 0, false, false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct wallet_build_req req;
		struct error err = {0};
		char text[256];
		snprintf(text, sizeof(text),
		    "{\"operation\":\"transfer_sol\"," TO ",\"lamports\":%s}", cases[i].text);
		if ((read_order(text, &req, &err) == 0) != cases[i].taken)
			fail_msg("%s: %s", cases[i].text, err.text);
		assert_true(!cases[i].taken || req.amount == cases[i].amount);
		assert_true(!cases[i].taken || req.all == cases[i].all);
		if (!cases[i].taken)
			assert_non_null(strstr(err.text, "lamports"));
	}
}

static void each_operation_has_its_members_and_no_others(void **state)
{
	static const struct {
		const char *text, *reason; /* NULL: taken */
	} cases[] = {
	    {"{\"operation\":\"transfer_sol\"," TO ",\"lamports\":1}", NULL},
	    {"{\"operation\":\"transfer_sol\"," TO ",\"lamports\":1,\"allow_off_curve\":true}",
		NULL},
	    {"{\"operation\":\"transfer_token\"," TO ",\"mint\":\"" MINT "\",\"amount\":1}", NULL},
	    {"{\"operation\":\"transfer_token\"," TO ",\"mint\":\"" MINT
	     "\",\"amount\":1,\"account\":\"" KEY "\"}",
		NULL},
	    {"{\"operation\":\"transfer_nft\"," TO ",\"nft\":\"" KEY "\"}", NULL},
	    {"{\"operation\":\"close_accounts\",\"accounts\":[\"" KEY "\"]}", NULL},
	    {"{\"operation\":\"revoke_delegate\",\"record\":\"" KEY "\"}", NULL},
	    {"{\"operation\":\"revoke_delegate\",\"account\":\"" KEY "\"}", NULL},
	    {"{\"operation\":\"instructions\"," PROOF ",\"instructions\":[{\"program\":\"" KEY
	     "\",\"accounts\":[],\"data\":\"\"}]}",
		NULL},
	    {"{}", "operation_invalid"},
	    {"{\"operation\":\"steal\"}", "operation_invalid"},
	    {"{\"operation\":7}", "operation_invalid"},
	    {"{\"operation\":\"transfer_sol\"," TO "}", "body_invalid"},
	    {"{\"operation\":\"transfer_sol\",\"lamports\":1}", "body_invalid"},
	    {"{\"operation\":\"transfer_sol\"," TO ",\"lamports\":1,\"mint\":\"" MINT "\"}",
		"body_invalid"},
	    {"{\"operation\":\"transfer_sol\"," TO ",\"lamports\":1,\"token\":\"t\"}",
		"body_invalid"},
	    {"{\"operation\":\"transfer_sol\"," TO ",\"lamports\":1,\"allow_off_curve\":1}",
		"body_invalid"},
	    {"{\"operation\":\"transfer_sol\",\"to\":\"0OIl\",\"lamports\":1}", "address_invalid"},
	    {"{\"operation\":\"transfer_sol\",\"to\":7,\"lamports\":1}", "address_invalid"},
	    {"{\"operation\":\"close_accounts\",\"accounts\":[]}", "body_invalid"},
	    {"{\"operation\":\"close_accounts\",\"accounts\":[7]}", "address_invalid"},
	    {"{\"operation\":\"close_accounts\",\"accounts\":[\"" KEY "\",\"" KEY "\",\"" KEY
	     "\",\"" KEY "\",\"" KEY "\",\"" KEY "\",\"" KEY "\",\"" KEY "\",\"" KEY "\"]}",
		"body_invalid"},
	    {"{\"operation\":\"revoke_delegate\"}", "body_invalid"},
	    {"{\"operation\":\"revoke_delegate\",\"record\":\"" KEY "\",\"account\":\"" KEY "\"}",
		"body_invalid"},
	    {"{\"operation\":\"instructions\",\"dangerous\":true,\"instructions\":[]}",
		"body_invalid"},
	    {"{\"operation\":\"instructions\"," PROOF ",\"instructions\":[{\"program\":\"" KEY
	     "\",\"accounts\":[],\"data\":\"\",\"more\":1}]}",
		"body_invalid"},
	    {"{\"operation\":\"instructions\"," PROOF ",\"instructions\":[{\"program\":\"" KEY
	     "\",\"accounts\":[{\"address\":\"" KEY "\",\"signs\":true}],\"data\":\"\"}]}",
		"body_invalid"},
	    {"{\"operation\":\"instructions\"," PROOF ",\"instructions\":[{\"program\":\"" KEY
	     "\",\"accounts\":[],\"data\":\"*\"}]}",
		"body_invalid"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct wallet_build_req req;
		struct error err = {0};
		int rc = read_order(cases[i].text, &req, &err);
		if ((rc == 0) != (cases[i].reason == NULL))
			fail_msg("%s: %s", cases[i].text, err.text);
		assert_string_equal(err.reason, cases[i].reason ? cases[i].reason : "");
	}
}

static void raw_instructions_keep_their_accounts_and_flags(void **state)
{
	struct wallet_build_req req;
	struct error err = {0};

	(void)state;
	assert_int_equal(read_order("{\"operation\":\"instructions\"," PROOF
				    ",\"instructions\":[{\"program\":\"" MINT
				    "\",\"accounts\":[{\"address\":\"" KEY
				    "\",\"signer\":true},{\"address\":\"" MINT
				    "\",\"writable\":true}],\"data\":\"AQI=\"},{\"program\":\"" KEY
				    "\",\"accounts\":[{\"address\":\"" KEY "\"}],\"data\":\"\"}]}",
			     &req, &err),
	    0);
	assert_int_equal(req.instructions.len, 2);
	assert_int_equal(req.instructions.item[0].accounts, 2);
	assert_int_equal(req.instructions.item[0].data.len, 2);
	assert_int_equal(req.instructions.item[1].accounts, 1);
	assert_int_equal(req.metas.len, 3);
	assert_true(req.metas.item[0].signs && !req.metas.item[0].written);
	assert_true(!req.metas.item[1].signs && req.metas.item[1].written);
	assert_true(!req.metas.item[2].signs && !req.metas.item[2].written);
	assert_int_equal(req.signature.len, 64);
	assert_true(req.dangerous);
}

static void more_accounts_than_fit_are_refused(void **state)
{
	scoped_json json_t *body = json_loads("{\"operation\":\"instructions\"," PROOF
					      ",\"instructions\":[{\"program\":\"" KEY
					      "\",\"data\":\"\",\"accounts\":[]}]}",
	    0, NULL);
	json_t *accounts =
	    json_object_get(json_array_get(json_object_get(body, "instructions"), 0), "accounts");
	struct wallet_build_req req = {0};
	struct error err = {0};

	(void)state;
	for (int i = 0; i < 40; i++)
		json_array_append_new(accounts, json_pack("{s:s}", "address", KEY));
	assert_int_equal(wallet_json_order(body, &req, &err), 0);
	json_array_append_new(accounts, json_pack("{s:s}", "address", KEY));
	req = (struct wallet_build_req){0};
	assert_int_equal(wallet_json_order(body, &req, &err), -1);
	assert_string_equal(err.reason, "body_invalid");
}

static const char *text_of(const json_t *doc, const char *name)
{
	const char *text = json_string_value(json_object_get(doc, name));

	assert_non_null(text);
	return text;
}

static void answers_keep_every_digit(void **state)
{
	scoped_free struct wallet_show_rsp *shown = calloc(1, sizeof(*shown));
	(void)state;

	snprintf(shown->state, sizeof(shown->state), "clean");
	snprintf(shown->address, sizeof(shown->address), KEY);
	shown->lamports = 9007199254740993;
	shown->nodes = 2;
	shown->holdings.len = 1;
	snprintf(shown->holdings.item[0].mint, sizeof(shown->holdings.item[0].mint), MINT);
	shown->holdings.item[0].amount = UINT64_MAX;
	scoped_json json_t *json = wallet_json_shown(shown, NULL);
	assert_non_null(json);
	assert_string_equal(text_of(json, "lamports"), "9007199254740993");
	assert_null(json_object_get(json, "hot_wallet"));
	const json_t *token = json_array_get(json_object_get(json, "tokens"), 0);
	assert_string_equal(text_of(token, "amount"), "18446744073709551615");
	/* a mint that is not known has no decimals */
	assert_true(json_is_null(json_object_get(token, "decimals")));
	assert_true(json_is_null(json_object_get(token, "delegate")));
	scoped_json json_t *without = wallet_json_shown(shown, "");
	assert_true(json_is_null(json_object_get(without, "hot_wallet")));
	scoped_json json_t *with = wallet_json_shown(shown, KEY);
	assert_string_equal(text_of(json_object_get(with, "hot_wallet"), "address"), KEY);
}

static void what_no_json_can_say_is_none(void **state)
{
	scoped_free struct wallet_show_rsp *shown = calloc(1, sizeof(*shown));
	scoped_free struct wallet_build_rsp *built = calloc(1, sizeof(*built));
	struct wallet_status_rsp status = {.state = "sent", .operation = "transfer_sol"};

	(void)state;
	snprintf(shown->state, sizeof(shown->state), "\xff");
	assert_null(wallet_json_shown(shown, NULL));
	snprintf(built->sim_node, sizeof(built->sim_node), "\xff");
	assert_null(wallet_json_built(built));
	snprintf(status.error, sizeof(status.error), "\xff");
	assert_null(wallet_json_state("id", &status));
}

static void a_log_is_lines(void **state)
{
	scoped_free struct wallet_build_rsp *built = calloc(1, sizeof(*built));

	(void)state;
	snprintf(built->id, sizeof(built->id), "0123456789abcdef0123456789abcdef");
	snprintf(built->sim_node, sizeof(built->sim_node), "passes");
	snprintf(built->sim_logs, sizeof(built->sim_logs), "one\ntwo\n");
	built->transaction.len = 3;
	scoped_json json_t *json = wallet_json_built(built);
	assert_non_null(json);
	assert_string_equal(text_of(json, "transaction"), "AAAA");
	assert_int_equal(
	    json_array_size(json_object_get(json_object_get(json, "simulation"), "logs")), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_amount_is_a_whole_number_and_keeps_its_digits),
	    cmocka_unit_test(each_operation_has_its_members_and_no_others),
	    cmocka_unit_test(raw_instructions_keep_their_accounts_and_flags),
	    cmocka_unit_test(more_accounts_than_fit_are_refused),
	    cmocka_unit_test(answers_keep_every_digit),
	    cmocka_unit_test(what_no_json_can_say_is_none),
	    cmocka_unit_test(a_log_is_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
