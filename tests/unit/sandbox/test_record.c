/* Records on disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/sandbox/record.h"

#define ASSET "So11111111111111111111111111111111111111112"
#define WALLET "Stake11111111111111111111111111111111111111"

static char id[AGENT_ID_LEN + 1];

static struct record sample(void)
{
	struct record record = {.slot = UINT64_MAX - 7,
	    .has_period = true,
	    .period = 12345678901234567,
	    .wish = MACHINE_ASLEEP,
	    .placement_len = 3,
	    .placement = {0, 255, 7},
	    .gateway_grant_len = 4,
	    .gateway_grant = {9, 0, 254, 1}};
	snprintf(record.asset, sizeof(record.asset), "%s", ASSET);
	snprintf(record.wallet, sizeof(record.wallet), "%s", WALLET);
	snprintf(record.boot, sizeof(record.boot), "%s", "00112233445566778899aabbccddeeff");
	snprintf(record.image, sizeof(record.image), "%s", "demo@sha256:abc");
	snprintf(
	    record.epoch, sizeof(record.epoch), "%s", "0123456789abcdef0123456789abcdef01234567");
	record.egress.is_narrowed = true;
	assert_true(egress_add(&record.egress, "*.example.org"));
	record.allows_workers = true;
	return record;
}

static void what_was_written_is_read_again(void **state)
{
	struct record record = sample(), read;
	struct error err;
	(void)state;
	record_end_period(&record, 99);
	struct record again = sample();
	again.nformer = record.nformer;
	memcpy(again.former, record.former, sizeof(again.former));
	scoped_free char *text = record_text(&again);
	assert_int_equal(record_parse(text, strlen(text), id, &read, &err), 0);
	assert_memory_equal(&read, &again, sizeof(read));
}

static void a_damaged_record_is_refused(void **state)
{
	static const char *const keys[] = {"version", "asset", "wallet", "slot", "period", "boot",
	    "image", "wish", "placement", "egress", "workers", "former", "epoch", "kind", "saved"};
	struct record record = sample(), read;
	struct error err;
	(void)state;
	scoped_free char *text = record_text(&record);
	for (size_t len = 0; len + 1 < strlen(text); len++)
		assert_int_equal(record_parse(text, len, id, &read, &err), -1);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		json_error_t where;
		scoped_json json_t *json = json_loads(text, 0, &where);
		if (strcmp(keys[i], "period") != 0) {
			assert_int_equal(json_object_del(json, keys[i]), 0);
			scoped_free char *less = json_dumps(json, 0);
			assert_int_equal(record_parse(less, strlen(less), id, &read, &err), -1);
		}
		bool is_bool = strcmp(keys[i], "workers") == 0;
		json_object_set_new(json, keys[i], is_bool ? json_integer(1) : json_true());
		scoped_free char *other = json_dumps(json, 0);
		assert_int_equal(record_parse(other, strlen(other), id, &read, &err), -1);
	}
}

static void one_of_before_there_were_gateways_is_read_and_a_bad_grant_is_refused(void **state)
{
	static const char *const bad[] = {"0", "0x", "00g0", "00 "};
	char long_one[2 * 257 + 1];
	struct record record = sample(), read;
	struct error err;
	json_error_t where;
	(void)state;
	scoped_free char *text = record_text(&record);
	scoped_json json_t *json = json_loads(text, 0, &where);
	memset(long_one, '0', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	for (size_t i = 0; i <= ARRAY_LEN(bad); i++) {
		json_object_set_new(
		    json, "gateway", json_string(i < ARRAY_LEN(bad) ? bad[i] : long_one));
		scoped_free char *wrong = json_dumps(json, 0);
		assert_int_equal(record_parse(wrong, strlen(wrong), id, &read, &err), -1);
	}
	json_object_set_new(json, "gateway", json_true());
	scoped_free char *untyped = json_dumps(json, 0);
	assert_int_equal(record_parse(untyped, strlen(untyped), id, &read, &err), -1);
	json_object_del(json, "gateway");
	scoped_free char *old = json_dumps(json, 0);
	assert_int_equal(record_parse(old, strlen(old), id, &read, &err), 0);
	assert_int_equal(read.gateway_grant_len, 0);
	assert_int_equal(read.placement_len, 3);
}

static void a_record_under_another_agents_name_is_refused(void **state)
{
	struct record record = sample(), read;
	struct error err;
	(void)state;
	scoped_free char *text = record_text(&record);
	assert_int_equal(
	    record_parse(text, strlen(text), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &read, &err), -1);
}

static void a_period_that_ends_leaves_its_volume_and_nothing_else(void **state)
{
	struct record record = sample();
	(void)state;
	record_end_period(&record, 1000);
	assert_int_equal(record.nformer, 1);
	assert_string_equal(record.former[0].wallet, WALLET);
	assert_int_equal(record.former[0].period, 12345678901234567);
	assert_int_equal(record.former[0].over_at_ms, 1000);
	assert_string_equal(record.wallet, "");
	assert_string_equal(record.boot, "");
	assert_int_equal(record.placement_len, 0);
	assert_true(sodium_is_zero(record.placement, sizeof(record.placement)));
	assert_int_equal(record.gateway_grant_len, 0);
	assert_true(sodium_is_zero(record.gateway_grant, sizeof(record.gateway_grant)));
	assert_int_equal(record.wish, MACHINE_NEW);
	assert_false(record.egress.is_narrowed);
	record_end_period(&record, 2000); /* never had a volume */
	assert_int_equal(record.nformer, 1);
}

static void another_period_of_the_same_owner_makes_the_one_before_a_former_one(void **state)
{
	struct record record = sample();
	(void)state;
	record_set_period(&record, record.period, 5);
	assert_int_equal(record.nformer, 0);
	record_set_period(&record, 7, 6);
	assert_int_equal(record.nformer, 1);
	assert_int_equal(record.period, 7);
	for (int i = 0; i < 200; i++)
		record_set_period(&record, (uint64_t)i + 100, 7);
	assert_int_equal(record.nformer, RECORD_FORMER_MAX);
}

static void a_volume_that_is_back_is_of_the_snapshot_that_it_was(void **state)
{
	struct record record = sample();
	const uint64_t period = record.period;
	(void)state;
	record.saved.number = 7;
	record_move_away(&record, 1000);
	snprintf(record.wallet, sizeof(record.wallet), "%s", WALLET);
	record_set_period(&record, period, 2000);
	assert_int_equal(record.saved.number, 7);
	/* of number 9 it was to be filled, and never was */
	record.saved.number = 9;
	record.saved.must_fill = true;
	record_move_away(&record, 3000);
	snprintf(record.wallet, sizeof(record.wallet), "%s", WALLET);
	record_set_period(&record, period, 4000);
	assert_int_equal(record.saved.number, 0);
	assert_int_equal(record.nformer, 0);
}

static void what_was_moved_away_is_kept_while_its_owner_is_the_owner(void **state)
{
	struct record record = sample(), read;
	struct error err;
	char wallet[PUBKEY_TEXT_MAX + 1];
	(void)state;
	record.nformer = 0;
	record.saved.number = 7;
	memcpy(wallet, record.wallet, sizeof(wallet));
	record_move_away(&record, 1000);
	assert_int_equal(record.nformer, 1);
	assert_true(record.former[0].has_objects && record.former[0].is_kept);
	assert_false(record_look_at_moved(&record, wallet, 2000));
	assert_false(record_look_at_moved(&record, "", 2000));
	assert_true(record.former[0].is_kept);
	assert_int_equal(record.former[0].over_at_ms, 1000);
	/* sold */
	assert_true(record_look_at_moved(&record, "another", 3000));
	assert_false(record_look_at_moved(&record, "another", 4000));
	assert_false(record.former[0].is_kept);
	assert_int_equal(record.former[0].over_at_ms, 3000);
	char *text = record_text(&record);
	assert_int_equal(record_parse(text, strlen(text), id, &read, &err), 0);
	free(text);
	assert_true(read.former[0].is_moved && !read.former[0].is_kept);
	/* it was none */
	assert_true(record_look_at_moved(&record, wallet, 5000));
	assert_true(record.former[0].is_kept);
	/* a period that ended here is over for good, whoever is the owner */
	record = sample();
	record.nformer = 0;
	record_end_period(&record, 1000);
	assert_false(record_look_at_moved(&record, wallet, 2000));
	assert_false(record.former[0].is_kept);
}

static void a_snapshot_is_the_newest_by_number_and_digest(void **state)
{
	struct saved saved = {.number = 7};
	const uint8_t one[32] = {1}, other[32] = {2};
	(void)state;
	assert_int_equal(saved_settle(&saved, 7, one, 0, 5, NULL, NULL), SAVED_LOCAL);
	assert_int_equal(saved_settle(&saved, 7, one, 0, 5, NULL, NULL), SAVED_LOCAL);
	assert_int_equal(saved_settle(&saved, 7, other, 0, 5, NULL, NULL), SAVED_FROM_STORE);
	assert_int_equal(saved_settle(&saved, 7, other, 0, 5, NULL, NULL), SAVED_FROM_STORE);
	assert_int_equal(saved_settle(&saved, 8, other, 0, 5, NULL, NULL), SAVED_FROM_STORE);
	assert_int_equal(saved_settle(&saved, 6, other, 0, 5, NULL, NULL), SAVED_LOCAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_written_is_read_again),
	    cmocka_unit_test(a_damaged_record_is_refused),
	    cmocka_unit_test(one_of_before_there_were_gateways_is_read_and_a_bad_grant_is_refused),
	    cmocka_unit_test(a_record_under_another_agents_name_is_refused),
	    cmocka_unit_test(a_period_that_ends_leaves_its_volume_and_nothing_else),
	    cmocka_unit_test(another_period_of_the_same_owner_makes_the_one_before_a_former_one),
	    cmocka_unit_test(a_volume_that_is_back_is_of_the_snapshot_that_it_was),
	    cmocka_unit_test(what_was_moved_away_is_kept_while_its_owner_is_the_owner),
	    cmocka_unit_test(a_snapshot_is_the_newest_by_number_and_digest),
	};
	uint8_t key[PUBKEY_LEN];
	if (sodium_init() < 0 || pubkey_parse(ASSET, key) != 0)
		return 1;
	agent_id(key, id);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
