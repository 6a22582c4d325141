/* materialise: what a starting container gets, page by page, who gets it, and what is noted before it does. */
#include "tests/unit/secret-vault/calls_world.h"

#include "common/scoped.h"
#include "services/secret-vault/channels.h"
#include "services/secret-vault/grant.h"
#include "services/secret-vault/page.h"

#define KEY "sk-ant-0123456789abcdefghijklmnopqrstuv"

#define OTHER_BOOT "ffeeddccbbaa99887766554433221100"

static uint8_t the_grant[256];
static size_t the_grant_len;

static void get_grant(void)
{
	ASK(grant, .token = "t", .boot_id = BOOT, .host_key = HOST);
	assert_answered();
	assert_true(world.rsp.grant.expires_ms == clock_unix_ms() + VAULT_GRANT_MS);
	the_grant_len = world.rsp.grant.grant.len;
	memcpy(the_grant, world.rsp.grant.grant.data, the_grant_len);
}

static void ask_page(uint64_t page, const char *after)
{
	struct vault_materialise_req req = {.boot_id = BOOT, .page = page};
	memcpy(req.grant.data, the_grant, the_grant_len);
	req.grant.len = the_grant_len;
	snprintf(req.after, sizeof(req.after), "%s", after);
	world.answers = 0;
	world.message = &vault_materialise_rsp_message;
	vault_materialise(&world.vault, &req, &world.request);
	assert_int_equal(world.answers, 1);
}

/* All files of all pages, as a host would keep them. */
static struct got {
	struct {
		char path[129];
		uint8_t *bytes;
		size_t len;
	} file[1100];
	size_t len, pages;
} got;

static void drop(void)
{
	for (size_t i = 0; i < got.len; i++)
		free(got.file[i].bytes);
	got = (struct got){0};
}

static void keep_page(void)
{
	const struct vault_materialise_rsp *rsp = &world.rsp.materialise;
	size_t at = 0;
	assert_true(rsp->files.len <= PAGE_FILES_MAX);
	for (size_t i = 0; i < rsp->files.len; i++) {
		const struct files_item *file = &rsp->files.item[i];
		assert_int_equal(file->mode, 0400);
		assert_true(at + file->size <= rsp->bytes.len);
		snprintf(got.file[got.len].path, sizeof(got.file[0].path), "%s", file->path);
		got.file[got.len].bytes = malloc(file->size + 1);
		memcpy(got.file[got.len].bytes, rsp->bytes.data + at, file->size);
		got.file[got.len].bytes[file->size] = '\0';
		got.file[got.len++].len = file->size;
		at += file->size;
	}
	assert_int_equal(at, rsp->bytes.len);
	got.pages++;
}

static void start_container(void)
{
	drop();
	get_grant();
	ask_page(0, "");
	assert_answered();
	keep_page();
	while (world.rsp.materialise.next) {
		assert_int_equal(world.rsp.materialise.next, got.pages);
		ask_page(world.rsp.materialise.next, got.file[got.len - 1].path);
		assert_answered();
		keep_page();
	}
}

static const char *file(const char *path)
{
	const char *found = NULL;
	for (size_t i = 0; i < got.len; i++) {
		if (strcmp(got.file[i].path, path) != 0)
			continue;
		assert_null(found); /* twice */
		found = (const char *)got.file[i].bytes;
	}
	return found;
}

/* A provider's key whose owner wants it in the container. */
static void put_file(const char *provider, const char *value)
{
	struct vault_put_req req = {.token = "t", .kind = "llm", .delivery = "file"};
	snprintf(req.name, sizeof(req.name), "%s", provider);
	req.value.len = strlen(value);
	memcpy(req.value.data, value, req.value.len);
	world.answers = 0;
	world.message = &vault_put_rsp_message;
	vault_put(&world.vault, &req, &world.request);
	assert_int_equal(world.answers, 1);
}

static void who_stored_nothing_gets_a_gateway_token_and_no_channels(void **state)
{
	(void)state;
	start_container();
	assert_int_equal(got.len, 2);
	assert_string_equal(file("channels.json"), "{\"channels\":{}}\n");
	assert_int_equal(strlen(file("gateway-token")), 64);
	assert_int_equal(strspn(file("gateway-token"), "0123456789abcdef"), 64);
	assert_int_equal(world.rsp.materialise.providers.len, 3);
	assert_string_equal(world.rsp.materialise.asset, ASSET);
	assert_string_equal(world.rsp.materialise.wallet, WALLET);
	assert_true(world.rsp.materialise.slot == 1000);
	assert_true(world.rsp.materialise.period == 1000);
	assert_int_equal(world.rsp.materialise.volume_key.len, 32);
	assert_string_equal(trail(0), "grant / v0; materialise / v0");
}

static void every_boot_has_another_gateway_token(void **state)
{
	(void)state;
	start_container();
	scoped_free char *first = strdup(file("gateway-token"));
	start_container();
	assert_string_not_equal(first, file("gateway-token"));
}

static void each_kind_of_secret_is_in_its_place(void **state)
{
	(void)state;
	put_file("anthropic", KEY);
	put_file("gemini", "gemini-key");
	put("bot", "telegram", "123:abc\"");
	put("bot", "slack", "xoxb");
	put("bot", "slack_app", "xapp");
	put("bot", "signal", "+4917");
	put("custom", "diary", "two\nlines\n");
	put("llm", "openai", "the gateway's");
	start_container();
	assert_string_equal(file("llm/ANTHROPIC_API_KEY"), KEY);
	assert_string_equal(file("llm/GEMINI_API_KEY"), "gemini-key");
	assert_null(file("llm/OPENAI_API_KEY"));
	assert_string_equal(file("bot/signal"), "+4917");
	assert_string_equal(file("custom/diary"), "two\nlines\n");
	assert_null(file("bot/telegram"));
	assert_null(file("wallet/hot.json"));
	assert_int_equal(got.len, 6);
	scoped_json json_t *json = json_loads(file("channels.json"), 0, NULL);
	assert_non_null(json);
	const char *bot, *app, *telegram;
	assert_int_equal(json_unpack(json, "{s:{s:{s:s},s:{s:s,s:s}}}", "channels", "telegram",
			     "botToken", &telegram, "slack", "botToken", &bot, "appToken", &app),
	    0);
	assert_string_equal(telegram, "123:abc\"");
	assert_string_equal(bot, "xoxb");
	assert_string_equal(app, "xapp");
}

static void global_keys_are_named_and_never_files(void **state)
{
	(void)state;
	put_global("openai", "sk-global-openai-000000000000000");
	put_global("anthropic", "sk-global-anthropic-000000000000");
	put_file("anthropic", KEY);
	start_container();
	assert_int_equal(got.len, 3);
	assert_string_equal(file("llm/ANTHROPIC_API_KEY"), KEY);
	const struct providers_item *item = world.rsp.materialise.providers.item;
	assert_string_equal(item[0].source, "user");
	assert_string_equal(item[1].source, "none");
	assert_string_equal(item[2].source, "global");
	for (size_t i = 0; i < got.len; i++)
		assert_null(strstr((const char *)got.file[i].bytes, "global"));
}

static void each_released_secret_is_noted_before_it_leaves(void **state)
{
	(void)state;
	put_file("anthropic", KEY);
	put("bot", "telegram", "123:abc");
	put("custom", "a", "1");
	put("custom", "a", "2");
	start_container();
	assert_string_equal(trail(5),
	    "grant / v0; release bot/telegram v1; release custom/a v2; release llm/anthropic v1; "
	    "materialise / v0");
	const struct entries_item *item = world.rsp.audit.entries.item;
	assert_string_equal(item[0].by, "owner " WALLET);
	assert_string_equal(item[0].detail, "boot " BOOT " host " HOST);
	for (size_t i = 1; i < world.rsp.audit.entries.len; i++)
		assert_string_equal(item[i].by, "sandbox " HOST);
	assert_string_equal(item[1].detail, "boot " BOOT);
	assert_string_equal(item[4].detail, "boot " BOOT " page 0: 3 secrets");
}

static void a_deleted_secret_is_no_file(void **state)
{
	(void)state;
	put("custom", "a", "1");
	put("bot", "discord", "token");
	ASK(delete, .token = "t", .kind = "custom", .name = "a");
	ASK(delete, .token = "t", .kind = "bot", .name = "discord");
	start_container();
	assert_int_equal(got.len, 2);
	assert_string_equal(file("channels.json"), "{\"channels\":{}}\n");
}

static void a_provider_that_left_the_data_file_is_no_file(void **state)
{
	(void)state;
	put_file("gemini", "gemini-key");
	put_file("openai", KEY);
	world.vault.providers->provider[1] = world.vault.providers->provider[2];
	world.vault.providers->len = 2;
	start_container();
	assert_int_equal(got.len, 3);
	assert_string_equal(file("llm/OPENAI_API_KEY"), KEY);
}

static void a_thousand_secrets_come_in_pages_each_once(void **state)
{
	(void)state;
	char name[16], value[16];
	for (unsigned i = 0; i < VAULT_SECRETS_MAX; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		snprintf(value, sizeof(value), "value %u", i);
		put("custom", name, value);
		assert_answered();
	}
	start_container();
	assert_int_equal(got.len, VAULT_SECRETS_MAX + 2);
	assert_int_equal(got.pages, (VAULT_SECRETS_MAX + 2 + PAGE_FILES_MAX - 1) / PAGE_FILES_MAX);
	for (unsigned i = 0; i < VAULT_SECRETS_MAX; i += 37) {
		snprintf(name, sizeof(name), "custom/n%u", i);
		snprintf(value, sizeof(value), "value %u", i);
		assert_string_equal(file(name), value);
	}
}

static void the_longest_values_come_three_to_a_page(void **state)
{
	(void)state;
	static char value[VAULT_VALUE_MAX];
	for (int c = 'a'; c < 'k'; c++) {
		const char name[] = {(char)c, '\0'};
		memset(value, c, sizeof(value));
		put_bytes("custom", name, value, sizeof(value));
		assert_answered();
	}
	memset(value, '"', BOT_TOKEN_MAX);
	for (unsigned i = 0; i < 4; i++) {
		static const char *const bots[] = {"telegram", "discord", "slack", "slack_app"};
		put_bytes("bot", bots[i], value, BOT_TOKEN_MAX);
		assert_answered();
	}
	start_container();
	assert_int_equal(got.len, 12);
	assert_int_equal(got.pages, 4);
	for (int c = 'a'; c < 'k'; c++) {
		const char path[] = {'c', 'u', 's', 't', 'o', 'm', '/', (char)c, '\0'};
		const char *bytes = file(path);
		assert_non_null(bytes);
		assert_int_equal(strlen(bytes), VAULT_VALUE_MAX);
		assert_int_equal(bytes[VAULT_VALUE_MAX - 1], c);
	}
}

/* What is put or deleted between two pages shifts nothing. */
static void a_change_between_pages_loses_no_file(void **state)
{
	(void)state;
	char name[16];
	for (unsigned i = 100; i < 200; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		put("custom", name, "x");
	}
	drop();
	get_grant();
	ask_page(0, "");
	keep_page();
	char last[129];
	snprintf(last, sizeof(last), "%s", got.file[got.len - 1].path);
	ASK(delete, .token = "t", .kind = "custom", .name = "n100");
	ASK(delete, .token = "t", .kind = "custom", .name = "n161"); /* the last one itself */
	put("custom", "a", "new, before the page");
	put("bot", "aa", "new, before the page");
	ask_page(1, last);
	assert_answered();
	keep_page();
	for (unsigned i = 100; i < 200; i++) {
		snprintf(name, sizeof(name), "custom/n%u", i);
		assert_non_null(file(name));
	}
	assert_int_equal(got.len, 102);
}

static void a_grant_is_no_good_elsewhere_later_or_changed(void **state)
{
	(void)state;
	put("custom", "a", "1");
	get_grant();
	world.request.peer = OTHER_HOST;
	ask_page(0, "");
	assert_refused(ERR_DENIED, "grant_refused");
	world.request.peer = HOST;
	the_grant[70] ^= 1;
	ask_page(0, "");
	assert_refused(ERR_DENIED, "grant_refused");
	the_grant[70] ^= 1;
	clock_fake(NOW + VAULT_GRANT_MS, 1000);
	ask_page(0, "");
	assert_refused(ERR_DENIED, "grant_expired");
	clock_fake(NOW + VAULT_GRANT_MS - 1, 1000);
	ask_page(0, "");
	assert_answered();
	world.vault.state = VAULT_CATCHING_UP;
	ask_page(0, "");
	assert_refused(ERR_UNAVAILABLE, "vault_sealed");
}

/* Within its half a minute a host may ask as often as it likes, and each time is written down for good. */
static void pages_are_limited(void **state)
{
	(void)state;
	get_grant();
	ask_page(0, "");
	assert_answered();
	assert_non_null(world.limited);
	assert_string_equal(world.limited, "vault-release");
}

static void a_grant_is_for_the_start_that_it_names(void **state)
{
	(void)state;
	get_grant();
	struct vault_materialise_req req = {.boot_id = "ffffffffffffffffffffffffffffffff"};
	memcpy(req.grant.data, the_grant, the_grant_len);
	req.grant.len = the_grant_len;
	vault_materialise(&world.vault, &req, &world.request);
	assert_refused(ERR_DENIED, "grant_refused");
}

static void a_grant_outlives_a_change_of_the_master_key(void **state)
{
	(void)state;
	/* made before it */
	get_grant();
	world.vault.next_grant_key = secret_new("another key of thirty-two bytes..", 32);
	snprintf(world.vault.next_key_id, sizeof(world.vault.next_key_id), "its id");
	ask_page(0, "");
	assert_answered();
	/* made while it was under way */
	get_grant();
	ask_page(0, "");
	assert_answered();
	struct secret *old = world.vault.grant_key;
	world.vault.grant_key = world.vault.next_grant_key;
	world.vault.next_grant_key = old;
	world.vault.next_key_id[0] = '\0';
	ask_page(0, "");
	assert_answered();
	/* made after it: the old key opens what is on its way and signs nothing, it is about to be forgotten */
	get_grant();
	secret_destroy(&world.vault.next_grant_key);
	ask_page(0, "");
	assert_answered();
	/* another vault's, of no key that is known here */
	secret_destroy(&world.vault.grant_key);
	world.vault.grant_key = secret_new("a third key of thirty-two bytes..", 32);
	ask_page(0, "");
	assert_refused(ERR_DENIED, "grant_refused");
}

static void the_sellers_grant_brings_the_seller_nothing_after_the_sale(void **state)
{
	(void)state;
	put("custom", "a", "the seller's");
	get_grant();
	/* that asking refuses it is asking's to test; here, that even then no period is found */
	world.holding.other_slot = 1500;
	ask_page(0, "");
	assert_refused(ERR_DENIED, "not_owner");
}

static void refuses_pages_that_continue_nothing(void **state)
{
	(void)state;
	static const struct {
		uint64_t page;
		const char *after;
	} cases[] = {{0, "custom/a"}, {1, ""}, {1, "a"}, {1, "custom/"}, {1, "llm/NO_SUCH_KEY"},
	    {1, "wallet/other"}, {1, "verylongkind/a"}, {1, "/a"}, {65535, "custom/a"},
	    {1, "custom/"
		"0123456789012345678901234567890123456789012345678901234567890123456789"}};
	put("custom", "a", "1");
	get_grant();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ask_page(cases[i].page, cases[i].after);
		assert_refused(ERR_INVALID, "page_invalid");
	}
	ask_page(1, "gateway-token");
	assert_answered();
	assert_int_equal(world.rsp.materialise.files.len, 1);
	assert_int_equal(world.rsp.materialise.providers.len, 0);
}

static void one_record_that_does_not_open_stops_the_start(void **state)
{
	(void)state;
	struct error err;
	put("custom", "a", "1");
	put("custom", "b", "2");
	get_grant();
	assert_int_equal(db_begin(world.desk.db, true, &err), 0);
	assert_int_equal(
	    db_run(world.desk.db,
		"UPDATE records SET value = (SELECT r.value FROM records r WHERE r.name = 'a') "
		"WHERE name = 'b'",
		NULL, 0, NULL, NULL, NULL, &err),
	    0);
	assert_int_equal(db_commit(world.desk.db, &err), 0);
	ask_page(0, "");
	assert_refused(ERR_INTERNAL, "secret_undecryptable");
	assert_non_null(strstr(world.err.text, "custom/b"));
}

static void a_record_missing_from_the_store_stops_the_start(void **state)
{
	(void)state;
	struct error err;
	put("custom", "a", "1");
	get_grant();
	assert_int_equal(db_begin(world.desk.db, true, &err), 0);
	assert_int_equal(
	    db_run(world.desk.db, "DELETE FROM records", NULL, 0, NULL, NULL, NULL, &err), 0);
	assert_int_equal(db_commit(world.desk.db, &err), 0);
	ask_page(0, "");
	assert_refused(ERR_INTERNAL, "secret_rolled_back");
}

static void what_is_asked_again_answers_the_same_files(void **state)
{
	(void)state;
	put("custom", "a", "1");
	world.times = 3;
	start_container();
	assert_int_equal(got.len, 3);
	assert_string_equal(file("custom/a"), "1");
}

static void refuses_to_grant_for_what_is_no_start_and_no_host(void **state)
{
	(void)state;
	ASK(grant, .token = "t", .boot_id = "zz112233445566778899aabbccddeeff", .host_key = HOST);
	assert_refused(ERR_INVALID, "grant_invalid");
	ASK(grant, .token = "t", .boot_id = BOOT,
	    .host_key = "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~");
	assert_refused(ERR_INVALID, "grant_invalid");
	get_grant();
	assert_string_equal(world.limited, "vault-grant");
}

/* ---- placements ---- */

static struct vault_regrant_req placed;

/* Starts a container, and keeps the placement that it brought. */
static void place(void)
{
	start_container();
	get_grant();
	ask_page(0, "");
	assert_answered();
	placed = (struct vault_regrant_req){.boot_id = OTHER_BOOT};
	placed.placement.len = world.rsp.materialise.placement.len;
	memcpy(placed.placement.data, world.rsp.materialise.placement.data, placed.placement.len);
	world.request.caller = ROLE_SANDBOX;
}

static void regrant(void)
{
	world.answers = 0;
	world.message = &vault_regrant_rsp_message;
	vault_regrant(&world.vault, &placed, &world.request);
	assert_int_equal(world.answers, 1);
}

static void say(const char *act, const char *detail)
{
	struct vault_note_req req = {.placement.len = placed.placement.len};
	memcpy(req.placement.data, placed.placement.data, placed.placement.len);
	snprintf(req.act, sizeof(req.act), "%s", act);
	snprintf(req.detail, sizeof(req.detail), "%s", detail);
	world.answers = 0;
	world.message = &vault_note_rsp_message;
	vault_note(&world.vault, &req, &world.request);
	assert_int_equal(world.answers, 1);
}

static void a_placement_brings_a_grant_without_the_owner(void **state)
{
	(void)state;
	put("custom", "a", "1");
	place();
	regrant();
	assert_answered();
	assert_string_equal(world.limited, "vault-grant");
	assert_true(world.rsp.regrant.expires_ms == NOW + VAULT_GRANT_MS);
	struct vault_materialise_req req = {.boot_id = OTHER_BOOT};
	req.grant.len = world.rsp.regrant.grant.len;
	memcpy(req.grant.data, world.rsp.regrant.grant.data, req.grant.len);
	world.answers = 0;
	world.message = &vault_materialise_rsp_message;
	vault_materialise(&world.vault, &req, &world.request);
	assert_answered();
	assert_int_equal(world.rsp.materialise.files.len, 3);
	assert_non_null(strstr(trail(0), "regrant"));
}

static void a_placement_is_for_its_host(void **state)
{
	(void)state;
	place();
	world.request.peer = OTHER_HOST;
	regrant();
	assert_refused(ERR_DENIED, "grant_refused");
	say("exec", "x");
	assert_refused(ERR_DENIED, "grant_refused");
}

static void a_grant_in_a_placements_place_is_refused(void **state)
{
	(void)state;
	place();
	memcpy(placed.placement.data, the_grant, the_grant_len);
	placed.placement.len = the_grant_len;
	regrant();
	assert_refused(ERR_DENIED, "grant_refused");
}

static void a_placement_in_a_grants_place_is_refused(void **state)
{
	(void)state;
	place();
	memcpy(the_grant, placed.placement.data, placed.placement.len);
	the_grant_len = placed.placement.len;
	ask_page(0, "");
	assert_refused(ERR_DENIED, "grant_refused");
}

/* That asking refuses it before is asking's to test. */
static void a_placement_of_a_period_that_is_over_is_refused(void **state)
{
	(void)state;
	place();
	world.holding.other_slot = 1500;
	regrant();
	assert_refused(ERR_DENIED, "grant_refused");
	say("exec", "x");
	assert_refused(ERR_DENIED, "grant_refused");
}

static void destroy_period(void)
{
	struct error err;
	struct store_period row;
	const struct period period = {.asset = ASSET, .wallet = WALLET, .slot = 1000};
	assert_int_equal(db_begin(world.desk.db, true, &err), 0);
	assert_int_equal(store_period_find(world.desk.db, &period, &row, &err), 1);
	assert_int_equal(store_period_destroy(world.desk.db, row.id, NOW, &err), 0);
	assert_int_equal(db_commit(world.desk.db, &err), 0);
}

/* The proof is the same, and so is the owner; but what was placed is not what there is now. */
static void a_placement_is_for_the_period_that_it_was_made_in(void **state)
{
	(void)state;
	place();
	uint8_t key[32];
	memcpy(key, world.rsp.materialise.volume_key.data, sizeof(key));
	destroy_period();
	regrant();
	assert_refused(ERR_DENIED, "grant_refused");
	world.request.caller = ROLE_ROUTER;
	start_container();
	assert_true(world.rsp.materialise.period == 1001);
	assert_memory_not_equal(key, world.rsp.materialise.volume_key.data, sizeof(key));
	regrant();
	assert_refused(ERR_DENIED, "grant_refused");
}

static void a_placement_needs_a_vault_that_is_open(void **state)
{
	(void)state;
	place();
	world.vault.state = VAULT_SEALED;
	regrant();
	assert_refused(ERR_UNAVAILABLE, "vault_sealed");
	say("exec", "x");
	assert_refused(ERR_UNAVAILABLE, "vault_sealed");
}

static void a_placement_outlives_a_change_of_the_master_key(void **state)
{
	(void)state;
	place();
	secret_destroy(&world.vault.grant_key);
	world.vault.grant_key = secret_new("another key of thirty-two bytes..", 32);
	regrant();
	assert_answered();
}

static void a_volume_has_the_same_key_at_each_start_and_only_on_the_first_page(void **state)
{
	(void)state;
	uint8_t key[32];
	start_container();
	memcpy(key, world.rsp.materialise.volume_key.data, sizeof(key));
	assert_false(sodium_is_zero(key, sizeof(key)));
	for (size_t i = 0; i < 100; i++) {
		char name[8];
		snprintf(name, sizeof(name), "n%zu", i);
		put("custom", name, "1");
	}
	get_grant();
	ask_page(0, "");
	assert_answered();
	assert_memory_equal(key, world.rsp.materialise.volume_key.data, sizeof(key));
	assert_int_equal(world.rsp.materialise.next, 1);
	drop();
	keep_page();
	ask_page(1, got.file[got.len - 1].path);
	assert_answered();
	assert_int_equal(world.rsp.materialise.volume_key.len, 0);
	assert_int_equal(world.rsp.materialise.placement.len, 0);
}

static void a_sandbox_asks_for_its_own_host_alone(void **state)
{
	(void)state;
	world.request.caller = ROLE_SANDBOX;
	ASK(grant, .token = "t", .boot_id = BOOT, .host_key = HOST);
	assert_answered();
	ASK(grant, .token = "t", .boot_id = BOOT, .host_key = OTHER_HOST);
	assert_refused(ERR_DENIED, "grant_refused");
	world.request.caller = ROLE_ROUTER;
	ASK(grant, .token = "t", .boot_id = BOOT, .host_key = OTHER_HOST);
	assert_answered();
}

static void a_host_says_in_the_trail_what_was_run_and_nothing_else(void **state)
{
	(void)state;
	place();
	say("exec", "operator x: /bin/ls -l");
	assert_answered();
	assert_string_equal(world.limited, "vault-note");
	assert_non_null(strstr(trail(0), "; exec / v0"));
	const struct entries_item *last =
	    &world.rsp.audit.entries.item[world.rsp.audit.entries.len - 1];
	assert_string_equal(last->by, "sandbox " HOST);
	assert_string_equal(last->detail, "operator x: /bin/ls -l");
	static const char *const others[] = {"grant", "erase", "release", "EXEC", "exec ", "x"};
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		say(others[i], "x");
		assert_refused(ERR_INVALID, "note_invalid");
	}
	say("exec", "a\nb");
	assert_refused(ERR_INVALID, "note_invalid");
	say("exec", "\x1b[2J");
	assert_refused(ERR_INVALID, "note_invalid");
}

static int close_world(void **state)
{
	drop();
	return world_close(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_open, close_world)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(who_stored_nothing_gets_a_gateway_token_and_no_channels),
	    TEST(every_boot_has_another_gateway_token),
	    TEST(each_kind_of_secret_is_in_its_place),
	    TEST(global_keys_are_named_and_never_files),
	    TEST(each_released_secret_is_noted_before_it_leaves),
	    TEST(a_deleted_secret_is_no_file),
	    TEST(a_provider_that_left_the_data_file_is_no_file),
	    TEST(a_thousand_secrets_come_in_pages_each_once),
	    TEST(the_longest_values_come_three_to_a_page),
	    TEST(a_change_between_pages_loses_no_file),
	    TEST(a_grant_is_no_good_elsewhere_later_or_changed),
	    TEST(pages_are_limited),
	    TEST(a_grant_is_for_the_start_that_it_names),
	    TEST(a_grant_outlives_a_change_of_the_master_key),
	    TEST(the_sellers_grant_brings_the_seller_nothing_after_the_sale),
	    TEST(refuses_pages_that_continue_nothing),
	    TEST(one_record_that_does_not_open_stops_the_start),
	    TEST(a_record_missing_from_the_store_stops_the_start),
	    TEST(what_is_asked_again_answers_the_same_files),
	    TEST(refuses_to_grant_for_what_is_no_start_and_no_host),
	    TEST(a_placement_brings_a_grant_without_the_owner),
	    TEST(a_placement_is_for_its_host),
	    TEST(a_grant_in_a_placements_place_is_refused),
	    TEST(a_placement_in_a_grants_place_is_refused),
	    TEST(a_placement_of_a_period_that_is_over_is_refused),
	    TEST(a_placement_is_for_the_period_that_it_was_made_in),
	    TEST(a_placement_needs_a_vault_that_is_open),
	    TEST(a_placement_outlives_a_change_of_the_master_key),
	    TEST(a_volume_has_the_same_key_at_each_start_and_only_on_the_first_page),
	    TEST(a_sandbox_asks_for_its_own_host_alone),
	    TEST(a_host_says_in_the_trail_what_was_run_and_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
