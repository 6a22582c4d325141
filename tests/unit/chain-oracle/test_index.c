/* Which wallet owns what, and which assets are watched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "common/clock.h"
#include "common/error.h"
#include "services/chain-oracle/index.h"
#include "services/chain-oracle/node_urls.h"
#include "services/chain-oracle/watch.h"

struct list {
	char text[4096];
};

static void append(void *arg, const char *asset, const char *name)
{
	struct list *list = arg;
	uint8_t key[PUBKEY_LEN];
	assert_int_equal(pubkey_parse(asset, key), 0);
	snprintf(list->text + strlen(list->text), sizeof(list->text) - strlen(list->text), "%u:%s ",
	    key[0], name);
}

static const char *text_of(uint8_t n)
{
	static char text[4][PUBKEY_TEXT_MAX + 1];
	static int turn;
	uint8_t key[PUBKEY_LEN];
	memset(key, n, sizeof(key));
	return pubkey_text(key, text[turn++ % 4]);
}

static void see(
    struct index *index, uint8_t asset, enum core_verdict verdict, uint8_t owner, uint64_t slot)
{
	struct core_asset seen = {.verdict = verdict};
	memset(seen.owner, owner, PUBKEY_LEN);
	snprintf(seen.name, sizeof(seen.name), "at %llu", (unsigned long long)slot);
	index_see(index, text_of(asset), &seen, slot);
}

static void expect(const struct index *index, uint8_t wallet, const char *text)
{
	struct list list = {""};
	index_list(index, text_of(wallet), 100, append, &list);
	assert_string_equal(list.text, text);
}

static void follows_assets_from_wallet_to_wallet(void **arg)
{
	(void)arg;
	struct index *index = index_new(10);
	see(index, 1, CORE_OWNED, 100, 5);
	see(index, 2, CORE_OWNED, 100, 6);
	expect(index, 100, "1:at 5 2:at 6 ");
	see(index, 1, CORE_OWNED, 101, 7);
	expect(index, 100, "2:at 6 ");
	expect(index, 101, "1:at 7 ");
	see(index, 1, CORE_OFF_CURVE, 102, 8);
	expect(index, 101, "");
	expect(index, 102, "1:at 8 ");
	see(index, 1, CORE_BURNED, 0, 9);
	expect(index, 102, "");
	assert_int_equal(index_len(index), 1);
	index_destroy(&index);
}

static void does_not_go_back_in_time(void **arg)
{
	(void)arg;
	struct index *index = index_new(10);
	see(index, 1, CORE_OWNED, 101, 12);
	see(index, 1, CORE_OWNED, 100, 11);
	see(index, 1, CORE_BURNED, 0, 11);
	expect(index, 100, "");
	expect(index, 101, "1:at 12 ");
	index_destroy(&index);
}

static void has_room_for_so_many_and_no_more(void **arg)
{
	(void)arg;
	struct index *index = index_new(3);
	for (uint8_t i = 1; i <= 5; i++)
		see(index, i, CORE_OWNED, 100, 1);
	assert_int_equal(index_len(index), 3);
	assert_int_equal(index_left_out(index), 2);
	struct list list = {""};
	assert_int_equal(index_list(index, text_of(100), 2, append, &list), 2);
	see(index, 1, CORE_BURNED, 0, 2);
	see(index, 5, CORE_OWNED, 100, 2);
	expect(index, 100, "2:at 1 3:at 1 5:at 2 ");
	index_destroy(&index);
}

static void drops_what_a_scan_does_not_show(void **arg)
{
	(void)arg;
	struct index *index = index_new(10);
	see(index, 1, CORE_OWNED, 100, 5);
	see(index, 2, CORE_OWNED, 100, 5);
	see(index, 3, CORE_OWNED, 100, 20);
	index_scan_begin(index);
	see(index, 2, CORE_OWNED, 100, 10);
	see(index, 3, CORE_OWNED, 101, 10);
	index_scan_end(index, 10);
	expect(index, 100, "2:at 10 3:at 20 ");
	expect(index, 101, "");
	index_destroy(&index);
}

static void answers_for_wallets_that_are_none(void **arg)
{
	(void)arg;
	struct index *index = index_new(10);
	struct list list = {""};
	assert_int_equal(index_list(index, "not a wallet", 100, append, &list), 0);
	struct core_asset seen = {.verdict = CORE_OWNED};
	index_see(index, "not an asset", &seen, 1);
	assert_int_equal(index_len(index), 0);
	index_destroy(&index);
}

/* ---- watch ---- */

struct told {
	char text[256];
};

static void tell(struct told *told, char sign, const char *asset)
{
	size_t len = strlen(told->text);
	snprintf(told->text + len, sizeof(told->text) - len, "%c%s ", sign, asset);
}

static void on_added(void *arg, const char *asset)
{
	struct told *told = arg;
	tell(told, '+', asset);
}

static void on_removed(void *arg, const char *asset)
{
	struct told *told = arg;
	tell(told, '-', asset);
}

static void watches_what_is_listed_or_added_meanwhile(void **arg)
{
	(void)arg;
	struct told told = {""};
	const struct watch_hooks hooks = {on_added, on_removed, &told};
	struct watch *watch = watch_new(&hooks);
	watch_add(watch, "a");
	watch_add(watch, "b");
	watch_add(watch, "a");
	watch_list_begin(watch);
	watch_add(watch, "b");
	watch_add(watch, "new");
	watch_list_end(watch);
	assert_string_equal(told.text, "+a +b +new -a ");
	assert_null(watch_find(watch, "a"));
	assert_int_equal(watch_len(watch), 2);
	watch_find(watch, "b")->seen_slot = 7;
	watch_unsee(watch);
	assert_int_equal(watch_find(watch, "b")->seen_slot, 0);
	watch_remove(watch, "b");
	watch_remove(watch, "b");
	assert_string_equal(told.text, "+a +b +new -a -b ");
	watch_destroy(&watch);
}

static void waits_before_asking_whether_to_forget(void **arg)
{
	(void)arg;
	struct told told = {""};
	const struct watch_hooks hooks = {on_added, on_removed, &told};
	struct watch *watch = watch_new(&hooks);
	clock_fake(1, 1000);
	struct watched *watched = watch_add(watch, "a");
	assert_true(watched->ask_at_ms >= 601000);
	clock_fake(1, 500000);
	watch_keep(watched);
	assert_true(watched->ask_at_ms >= 1100000);
	clock_fake(0, 0);
	watch_destroy(&watch);
}

/* ---- addresses ---- */

static void derives_pubsub_addresses(void **arg)
{
	(void)arg;
	static const char *const rows[][2] = {
	    {"http://127.0.0.1:8899", "ws://127.0.0.1:8900/"},
	    {"http://localhost:8899/", "ws://localhost:8900/"},
	    {"http://[::1]:8899", "ws://[::1]:8900/"},
	    {"https://rpc.example/v1?key=k", "wss://rpc.example/v1?key=k"},
	    {"http://10.0.0.5:8899", "ws://10.0.0.5:8899/"},
	    {"http://localhost", "ws://localhost/"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct error err;
		char *url = node_urls_pubsub(rows[i][0], &err);
		assert_non_null(url);
		assert_string_equal(url, rows[i][1]);
		free(url);
	}
	struct error err;
	assert_null(node_urls_pubsub("ftp://x", &err));
	assert_null(node_urls_pubsub("http://localhost:65535", &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(follows_assets_from_wallet_to_wallet),
	    cmocka_unit_test(does_not_go_back_in_time),
	    cmocka_unit_test(has_room_for_so_many_and_no_more),
	    cmocka_unit_test(drops_what_a_scan_does_not_show),
	    cmocka_unit_test(answers_for_wallets_that_are_none),
	    cmocka_unit_test(watches_what_is_listed_or_added_meanwhile),
	    cmocka_unit_test(waits_before_asking_whether_to_forget),
	    cmocka_unit_test(derives_pubsub_addresses),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
