#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "services/router/places.h"

static void asset_of(unsigned n, uint8_t asset[PUBKEY_LEN])
{
	memset(asset, 0, PUBKEY_LEN);
	memcpy(asset, &n, sizeof(n));
}

static void put(
    struct places *places, unsigned n, const char *upstream, const char *token, uint64_t until_ms)
{
	uint8_t asset[PUBKEY_LEN];
	asset_of(n, asset);
	places_put(places, asset, &(struct place){.upstream = upstream, .token = token}, until_ms);
}

static bool has(
    struct places *places, unsigned n, uint64_t now_ms, const char *upstream, const char *token)
{
	uint8_t asset[PUBKEY_LEN];
	struct place place;
	asset_of(n, asset);
	return places_find(places, asset, now_ms, &place) &&
	       strcmp(place.upstream, upstream) == 0 && strcmp(place.token, token) == 0;
}

static bool is_gone(struct places *places, unsigned n, uint64_t now_ms)
{
	uint8_t asset[PUBKEY_LEN];
	struct place place;
	asset_of(n, asset);
	return !places_find(places, asset, now_ms, &place);
}

static bool allows_workers(struct places *places, unsigned n)
{
	uint8_t asset[PUBKEY_LEN];
	struct place place = {.allows_workers = true};
	asset_of(n, asset);
	return places_find(places, asset, 0, &place) && place.allows_workers;
}

static void keeps_what_an_owner_allows_with_the_place_and_no_longer(void **state)
{
	uint8_t asset[PUBKEY_LEN];
	(void)state;
	struct places *places = places_new(64);
	struct place place = {.upstream = "10.213.0.1:18789", .token = "", .allows_workers = true};
	asset_of(1, asset);
	places_put(places, asset, &place, 1000);
	put(places, 2, "10.213.0.3:18789", "", 1000);
	assert_true(allows_workers(places, 1));
	assert_false(allows_workers(places, 2));
	place.allows_workers = false;
	places_put(places, asset, &place, 1000);
	assert_false(allows_workers(places, 1));
	places_destroy(&places);
}

static void keeps_a_place_until_its_time_is_over(void **state)
{
	(void)state;
	struct places *places = places_new(64);
	assert_true(is_gone(places, 1, 0));
	put(places, 1, "10.213.0.1:18789", "t", 1000);
	put(places, 2, "10.213.0.3:18789", "", 2000);
	assert_true(has(places, 1, 999, "10.213.0.1:18789", "t"));
	assert_true(has(places, 2, 999, "10.213.0.3:18789", ""));
	assert_true(is_gone(places, 1, 1000));
	assert_true(is_gone(places, 1, 0));
	assert_true(has(places, 2, 1999, "10.213.0.3:18789", ""));
	places_destroy(&places);
	assert_null(places);
	places_destroy(&places);
}

static void what_comes_later_replaces_what_was(void **state)
{
	(void)state;
	struct places *places = places_new(64);
	put(places, 1, "10.213.0.1:18789", "old", 1000);
	put(places, 1, "10.213.0.5:18789", "new", 500);
	assert_true(has(places, 1, 1, "10.213.0.5:18789", "new"));
	put(places, 1, "10.213.0.5:18789", "", 500);
	assert_true(has(places, 1, 1, "10.213.0.5:18789", ""));
	assert_true(is_gone(places, 1, 500));
	places_destroy(&places);
}

static void drops_one_or_all(void **state)
{
	(void)state;
	struct places *places = places_new(64);
	uint8_t asset[PUBKEY_LEN];
	for (unsigned n = 0; n < 4; n++)
		put(places, n, "10.213.0.1:18789", "t", 1000);
	asset_of(2, asset);
	places_drop(places, asset);
	asset_of(77, asset);
	places_drop(places, asset);
	assert_true(is_gone(places, 2, 1));
	assert_true(has(places, 1, 1, "10.213.0.1:18789", "t"));
	places_drop(places, NULL);
	for (unsigned n = 0; n < 4; n++)
		assert_true(is_gone(places, n, 1));
	places_destroy(&places);
}

static void the_one_that_ends_soonest_gives_way(void **state)
{
	(void)state;
	struct places *places = places_new(PLACES_WAYS); /* one set */
	for (unsigned n = 0; n < PLACES_WAYS; n++)
		put(places, n, "10.213.0.1:18789", "t", 1000 + (n == 2 ? 0 : n + 1));
	put(places, 9, "10.213.0.9:18789", "nine", 5000);
	assert_true(is_gone(places, 2, 1));
	for (unsigned n = 0; n < PLACES_WAYS; n++)
		assert_true(n == 2 || has(places, n, 1, "10.213.0.1:18789", "t"));
	assert_true(has(places, 9, 1, "10.213.0.9:18789", "nine"));
	places_destroy(&places);
}

static void holds_the_longest_of_everything(void **state)
{
	(void)state;
	struct places *places = places_new(1);
	char token[AGENT_TOKEN_MAX + 1];
	memset(token, 'a', AGENT_TOKEN_MAX);
	token[AGENT_TOKEN_MAX] = '\0';
	put(places, 1, "255.255.255.255:65535", token, 10);
	assert_true(has(places, 1, 1, "255.255.255.255:65535", token));
	places_destroy(&places);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keeps_a_place_until_its_time_is_over),
	    cmocka_unit_test(keeps_what_an_owner_allows_with_the_place_and_no_longer),
	    cmocka_unit_test(what_comes_later_replaces_what_was),
	    cmocka_unit_test(drops_one_or_all),
	    cmocka_unit_test(the_one_that_ends_soonest_gives_way),
	    cmocka_unit_test(holds_the_longest_of_everything),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
