/* put, list, delete, resolve, the trail and the operators' keys, as their callers see them. */
#include "tests/unit/secret-vault/calls_world.h"

#define KEY "sk-ant-0123456789abcdefghijklmnopqrstuv"

static void a_secret_goes_in_and_its_first_characters_come_out(void **state)
{
	(void)state;
	put("llm", "anthropic", KEY);
	assert_answered();
	assert_int_equal(world.rsp.put.version, 1);
	assert_string_equal(world.limited, "vault-put");
	put("custom", "short", "0123456789012345678");
	put("bot", "telegram", "123:abc");
	ASK(list, .token = "t");
	assert_answered();
	assert_int_equal(world.rsp.list.secrets.len, 3);
	const struct secrets_item *item = world.rsp.list.secrets.item;
	assert_string_equal(item[0].kind, "bot");
	assert_string_equal(item[0].preview, "");
	assert_string_equal(item[1].name, "short");
	assert_string_equal(item[1].preview, "");
	assert_string_equal(item[2].name, "anthropic");
	assert_string_equal(item[2].preview, "sk-ant-0");
	assert_int_equal(item[2].version, 1);
	assert_true(item[2].updated_ms == NOW);
}

static void a_second_value_replaces_the_first_and_counts_on(void **state)
{
	(void)state;
	put("custom", "x", "one");
	put("custom", "x", "two");
	assert_int_equal(world.rsp.put.version, 2);
	ASK(delete, .token = "t", .kind = "custom", .name = "x");
	assert_true(world.rsp.delete.existed);
	ASK(delete, .token = "t", .kind = "custom", .name = "x");
	assert_answered();
	assert_false(world.rsp.delete.existed);
	put("custom", "x", "three");
	assert_int_equal(world.rsp.put.version, 4);
	assert_string_equal(
	    trail(0), "put custom/x v1; put custom/x v2; delete custom/x v0; put custom/x v4");
}

static void nothing_stored_is_nothing_shown(void **state)
{
	(void)state;
	ASK(list, .token = "t");
	assert_answered();
	assert_int_equal(world.rsp.list.secrets.len, 0);
	ASK(delete, .token = "t", .kind = "custom", .name = "x");
	assert_answered();
	assert_false(world.rsp.delete.existed);
	ASK(audit, .token = "t", .after = 0);
	assert_answered();
	assert_int_equal(world.rsp.audit.entries.len, 0);
	assert_int_equal(world.rsp.audit.head_seq, 0);
	assert_true(sodium_is_zero(world.rsp.audit.head.data, 32));
	ASK(hot, .token = "t");
	assert_answered();
	assert_string_equal(world.rsp.hot.address, "");
}

static void refuses_what_may_not_be_stored(void **state)
{
	(void)state;
	static char long_token[BUFSIZ];
	memset(long_token, 'x', 4097);
	const struct {
		const char *kind, *name, *value, *reason;
	} cases[] = {
	    {"llm", "no-such-provider", KEY, "provider_unknown"},
	    {"llm", "Anthropic", KEY, "secret_name_invalid"},
	    {"wallet", "hot", KEY, "secret_name_invalid"},
	    {"other", "x", KEY, "secret_name_invalid"},
	    {"custom", "../x", KEY, "secret_name_invalid"},
	    {"custom", "x", "", "secret_value_invalid"},
	    {"custom", "x", "\xff\xfe", "secret_value_invalid"},
	    {"llm", "openai", "key\n", "secret_value_invalid"},
	    {"bot", "telegram", "two\nlines", "secret_value_invalid"},
	    {"bot", "telegram", long_token, "secret_value_invalid"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put(cases[i].kind, cases[i].name, cases[i].value);
		assert_refused(ERR_INVALID, cases[i].reason);
		assert_null(*cases[i].value ? strstr(world.err.text, cases[i].value) : NULL);
	}
	put_bytes("custom", "x", "a\0b", 3);
	assert_refused(ERR_INVALID, "secret_value_invalid");
	ASK(list, .token = "t");
	assert_int_equal(world.rsp.list.secrets.len, 0);
}

static void a_wallet_is_not_deleted_as_a_secret(void **state)
{
	(void)state;
	ASK(delete, .token = "t", .kind = "wallet", .name = "hot");
	assert_refused(ERR_INVALID, "secret_name_invalid");
}

static void every_provider_is_told_from_user_over_global_to_none(void **state)
{
	(void)state;
	put("llm", "anthropic", KEY);
	put_global("anthropic", "sk-global-anthropic-000000000000");
	put_global("openai", "sk-global-openai-000000000000000");
	put("llm", "openai", KEY);
	ASK(delete, .token = "t", .kind = "llm", .name = "openai");
	ASK(resolve, .token = "t");
	assert_answered();
	static const char *const expected[][4] = {{"anthropic", "user", "set", "sk-ant-0"},
	    {"gemini", "none", "none", ""}, {"openai", "global", "deleted", ""}};
	assert_int_equal(world.rsp.resolve.providers.len, ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		const struct providers_item *item = &world.rsp.resolve.providers.item[i];
		assert_string_equal(item->provider, expected[i][0]);
		assert_string_equal(item->source, expected[i][1]);
		assert_string_equal(item->own, expected[i][2]);
		assert_string_equal(item->preview, expected[i][3]);
	}
}

static bool change(const char *statement)
{
	struct error err;
	uint64_t changed = 0;
	assert_int_equal(db_begin(world.desk.db, true, &err), 0);
	if (db_run(world.desk.db, statement, NULL, 0, NULL, NULL, &changed, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(db_commit(world.desk.db, &err), 0);
	return changed > 0;
}

static void a_key_that_does_not_open_is_an_error_that_names_it(void **state)
{
	(void)state;
	put_global("anthropic", "sk-global-anthropic-000000000000");
	put("llm", "openai", KEY);
	put("llm", "anthropic", KEY);
	/* two records swapped */
	assert_true(
	    change("UPDATE records SET value = (SELECT r.value FROM records r WHERE r.name = "
		   "'openai' AND r.period_id = records.period_id) WHERE name = 'anthropic' AND "
		   "period_id = (SELECT r.period_id FROM records r WHERE r.name = 'openai')"));
	ASK(resolve, .token = "t");
	assert_refused(ERR_INTERNAL, "secret_undecryptable");
	assert_non_null(strstr(world.err.text, "anthropic"));
	assert_null(strstr(world.err.text, "sk-"));
}

static void a_buyer_sees_nothing_of_the_seller(void **state)
{
	(void)state;
	put("llm", "anthropic", KEY);
	put("custom", "diary", "it was the butler who did it");
	world.holding =
	    (struct holding){.asset = ASSET, .wallet = BUYER, .slot = 2000, .other_slot = 1500};
	ASK(list, .token = "t");
	assert_int_equal(world.rsp.list.secrets.len, 0);
	assert_string_equal(trail(0), "");
	ASK(resolve, .token = "t");
	assert_string_equal(world.rsp.resolve.providers.item[0].source, "none");
	put("custom", "diary", "mine");
	assert_int_equal(world.rsp.put.version, 1);
	assert_string_equal(trail(0), "put custom/diary v1");
}

static void a_buy_back_finds_nothing(void **state)
{
	(void)state;
	put("custom", "diary", "it was the butler who did it");
	world.holding.slot = 3000;
	world.holding.other_slot = 2000;
	ASK(list, .token = "t");
	assert_int_equal(world.rsp.list.secrets.len, 0);
	put("custom", "new", "x");
	ASK(list, .token = "t");
	assert_int_equal(world.rsp.list.secrets.len, 1);
	assert_string_equal(world.rsp.list.secrets.item[0].name, "new");
}

static void audit_entries_chain_and_hide_the_place_among_all(void **state)
{
	(void)state;
	put("custom", "a", "1");
	put("custom", "b", "2");
	put_global("openai", KEY);
	ASK(audit, .token = "t", .after = 0);
	const struct vault_audit_rsp *rsp = &world.rsp.audit;
	assert_int_equal(rsp->entries.len, 3); /* period, put, put */
	for (size_t i = 0; i < rsp->entries.len; i++) {
		const struct entries_item *item = &rsp->entries.item[i];
		assert_int_equal(item->seq, i + 1);
		assert_int_equal(item->all_seq, 0);
		assert_int_equal(item->all_hash.len, 0);
		if (i > 0)
			assert_memory_equal(item->prev.data, item[-1].hash.data, 32);
	}
	assert_int_equal(rsp->head_seq, 3);
	assert_memory_equal(rsp->head.data, rsp->entries.item[2].hash.data, 32);
	assert_string_equal(trail(2), "put custom/b v1");
	assert_string_equal(trail(3), "");
	assert_int_equal(world.rsp.audit.head_seq, 3);
}

static void operators_export_every_chain_even_of_a_sealed_vault(void **state)
{
	(void)state;
	put("custom", "a", "1");
	put_global("openai", KEY);
	world.vault.state = VAULT_SEALED;
	ASK(export, .after = 0);
	assert_answered();
	const struct vault_export_rsp *rsp = &world.rsp.export;
	assert_true(rsp->entries.len >= 3);
	for (size_t i = 0; i < rsp->entries.len; i++) {
		assert_int_equal(rsp->entries.item[i].all_seq, i + 1);
		assert_int_equal(rsp->entries.item[i].all_hash.len, 32);
	}
	assert_int_equal(rsp->head_seq, rsp->entries.len);
	assert_memory_equal(
	    rsp->head.data, rsp->entries.item[rsp->entries.len - 1].all_hash.data, 32);
}

static void global_keys_are_put_listed_and_deleted_by_a_named_operator(void **state)
{
	(void)state;
	put_global("openai", "sk-global-openai-000000000000000");
	assert_answered();
	ASK(global_list);
	assert_answered();
	assert_int_equal(world.rsp.global_list.secrets.len, 1);
	assert_string_equal(world.rsp.global_list.secrets.item[0].name, "openai");
	assert_string_equal(world.rsp.global_list.secrets.item[0].preview, "sk-globa");
	ASK(global_delete, .provider = "openai");
	assert_true(world.rsp.delete.existed);
	ASK(global_delete, .provider = "openai");
	assert_false(world.rsp.delete.existed);
	ASK(global_list);
	assert_int_equal(world.rsp.global_list.secrets.len, 0);
	ASK(export, .after = 0);
	size_t acts = 0;
	for (size_t i = 0; i < world.rsp.export.entries.len; i++) {
		const struct entries_item *item = &world.rsp.export.entries.item[i];
		if (strcmp(item->name, "openai") != 0)
			continue;
		acts++;
		assert_string_equal(item->chain, "global");
		assert_string_equal(item->by, "operator " HOST);
	}
	assert_int_equal(acts, 2);
	assert_true(world.vault.head_seq == world.rsp.export.head_seq);
	assert_memory_equal(world.vault.head, world.rsp.export.head.data, 32);
}

static void global_keys_need_an_open_vault_and_a_known_provider(void **state)
{
	(void)state;
	put_global("no-such", KEY);
	assert_refused(ERR_INVALID, "provider_unknown");
	put_global("openai", "");
	assert_refused(ERR_INVALID, "secret_value_invalid");
	world.vault.state = VAULT_CATCHING_UP;
	put_global("openai", KEY);
	assert_refused(ERR_UNAVAILABLE, "vault_sealed");
	ASK(global_list);
	assert_refused(ERR_UNAVAILABLE, "vault_sealed");
	ASK(global_delete, .provider = "openai");
	assert_refused(ERR_UNAVAILABLE, "vault_sealed");
}

static void a_thousand_secrets_are_listed_and_no_more_are_taken(void **state)
{
	(void)state;
	char name[8];
	for (unsigned i = 0; i < VAULT_SECRETS_MAX; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		put("custom", name, "a value that is long enough to be shown");
		assert_answered();
	}
	put("custom", "one-more", "x");
	assert_refused(ERR_CONFLICT, "secrets_exhausted");
	put("custom", "n7", "replaced");
	assert_answered();
	ASK(list, .token = "t");
	assert_answered();
	assert_int_equal(world.rsp.list.secrets.len, VAULT_SECRETS_MAX);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_secret_goes_in_and_its_first_characters_come_out),
	    TEST(a_second_value_replaces_the_first_and_counts_on),
	    TEST(nothing_stored_is_nothing_shown),
	    TEST(refuses_what_may_not_be_stored),
	    TEST(a_wallet_is_not_deleted_as_a_secret),
	    TEST(every_provider_is_told_from_user_over_global_to_none),
	    TEST(a_key_that_does_not_open_is_an_error_that_names_it),
	    TEST(a_buyer_sees_nothing_of_the_seller),
	    TEST(a_buy_back_finds_nothing),
	    TEST(audit_entries_chain_and_hide_the_place_among_all),
	    TEST(operators_export_every_chain_even_of_a_sealed_vault),
	    TEST(global_keys_are_put_listed_and_deleted_by_a_named_operator),
	    TEST(global_keys_need_an_open_vault_and_a_known_provider),
	    TEST(a_thousand_secrets_are_listed_and_no_more_are_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
