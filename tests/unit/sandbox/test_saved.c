/* What a host knows of an agent's snapshots: what the vault's word makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "services/sandbox/saved.h"

#define NOW UINT64_C(1800000000000)
#define KEEP 3

static const uint8_t none[32], first[32] = {1}, second[32] = {2}, other[32] = {9};

static struct {
	size_t n;
	struct version item[VERSIONS_MAX];
} dropped;

static void on_dropped(void *arg, const struct version *version)
{
	(void)arg;
	dropped.item[dropped.n++] = *version;
}

static int begin(void **state)
{
	(void)state;
	dropped.n = 0;
	return 0;
}

static struct version version_of(uint64_t number)
{
	struct version version = {.number = number, .files = 1};
	snprintf(version.object, sizeof(version.object), "%020llu-%016llx.archive",
	    (unsigned long long)number, (unsigned long long)number);
	snprintf(version.trigger, sizeof(version.trigger), "timer");
	return version;
}

static struct saved one(void)
{
	struct saved saved = {.number = 1};
	const struct version version = version_of(1);
	memcpy(saved.digest, first, sizeof(first));
	versions_add(&saved.versions, &version, KEEP, NULL, NULL);
	return saved;
}

static void note(struct saved *saved, const struct version *version, const uint8_t digest[32])
{
	saved->pending =
	    (struct saved_pending){.until_ms = NOW + SAVED_PENDING_MS, .version = *version};
	memcpy(saved->pending.digest, digest, 32);
	memcpy(saved->trying, version->object, sizeof(saved->trying));
}

static enum saved_source settle(
    struct saved *saved, uint64_t newest, const uint8_t digest[32], uint64_t now)
{
	return saved_settle(saved, newest, digest, now, KEEP, on_dropped, NULL);
}

static void what_the_vault_heard_is_the_newest(void **state)
{
	struct saved saved = one();
	const struct version version = version_of(2);
	(void)state;
	note(&saved, &version, second);
	assert_int_equal(settle(&saved, 2, second, NOW + 1), SAVED_LOCAL);
	assert_int_equal(saved.number, 2);
	assert_int_equal(saved.pending.until_ms, 0);
	assert_string_equal(saved.trying, "");
	assert_int_equal(saved.versions.n, 2);
	assert_memory_equal(saved.versions.item[1].manifest, first, 8);
}

static void what_it_may_still_hear_is_not_touched(void **state)
{
	struct saved saved = one();
	const struct version version = version_of(2);
	(void)state;
	note(&saved, &version, second);
	assert_int_equal(settle(&saved, 1, first, NOW + SAVED_PENDING_MS), SAVED_LOCAL);
	assert_int_not_equal(saved.pending.until_ms, 0);
	/* heard late, the files here being older or newer than that */
	assert_int_equal(settle(&saved, 2, second, NOW + SAVED_PENDING_MS), SAVED_LOCAL);
	assert_int_equal(saved.number, 2);
}

static void what_it_never_heard_is_removed_later(void **state)
{
	struct saved saved = one();
	const struct version version = version_of(2);
	(void)state;
	note(&saved, &version, second);
	settle(&saved, 1, first, NOW + SAVED_PENDING_MS + 1);
	assert_int_equal(saved.pending.until_ms, 0);
	assert_string_equal(saved.trying, version.object);
	assert_int_equal(dropped.n, 0);
}

static void a_clock_that_was_ahead_does_not_block_for_ever(void **state)
{
	struct saved saved = one();
	const struct version version = version_of(2);
	(void)state;
	note(&saved, &version, second);
	saved.pending.until_ms = NOW + 365 * UINT64_C(86400000);
	settle(&saved, 1, first, NOW);
	assert_int_equal(saved.pending.until_ms, 0);
	assert_string_equal(saved.trying, version.object);
}

static void another_hosts_of_the_same_number_is_not_ours(void **state)
{
	struct saved saved = one();
	const struct version version = version_of(2);
	(void)state;
	note(&saved, &version, second);
	assert_int_equal(settle(&saved, 2, other, NOW), SAVED_FROM_STORE);
	assert_int_equal(saved.number, 1);
	assert_int_equal(dropped.n, 0);
}

/* A restore of the only one that is kept: the archive is the new one's, too. */
static void a_restore_keeps_its_archive(void **state)
{
	struct saved saved = one();
	struct version again = saved.versions.item[0];
	(void)state;
	again.number = 2;
	note(&saved, &again, second);
	saved.trying[0] = '\0';
	saved.pending.must_fill = true;
	assert_int_equal(
	    saved_settle(&saved, 2, second, NOW, 1, on_dropped, NULL), SAVED_FROM_STORE);
	assert_true(saved.must_fill);
	assert_int_equal(saved.versions.n, 1);
	assert_int_equal(dropped.n, 1);
	assert_int_equal(dropped.item[0].number, 1);
	assert_true(versions_have_object(&saved.versions, dropped.item[0].object));
	assert_int_equal(version_archive_number(&saved.versions.item[0]), 1);
	/* and once it was not heard, it is not to be removed either */
	saved = one();
	again.number = 2;
	note(&saved, &again, second);
	settle(&saved, 1, first, NOW + SAVED_PENDING_MS + 1);
	assert_string_equal(saved.trying, "");
}

static void only_the_start_that_filled_it_makes_it_current(void **state)
{
	struct saved saved = one();
	(void)state;
	saved.must_fill = true;
	snprintf(saved.filling, sizeof(saved.filling), "00112233445566778899aabbccddeeff");
	saved_filled(&saved, "ffeeddccbbaa99887766554433221100");
	assert_int_equal(settle(&saved, 1, first, NOW), SAVED_FROM_STORE);
	saved_filled(&saved, "00112233445566778899aabbccddeeff");
	assert_int_equal(settle(&saved, 1, first, NOW), SAVED_LOCAL);
}

static void a_vault_that_went_back_keeps_the_files_here(void **state)
{
	struct saved saved = one();
	const struct version version = version_of(2);
	(void)state;
	note(&saved, &version, second);
	settle(&saved, 2, second, NOW);
	assert_int_equal(settle(&saved, 1, first, NOW), SAVED_LOCAL);
	assert_int_equal(saved.number, 1);
	assert_int_equal(saved.versions.item[0].number, 1);
	assert_int_equal(settle(&saved, 0, none, NOW), SAVED_LOCAL_ANY);
	assert_int_equal(saved.versions.n, 0);
}

static void so_many_are_kept(void **state)
{
	struct versions versions = {0};
	(void)state;
	for (uint64_t i = 1; i <= 2 * VERSIONS_MAX; i++) {
		const struct version version = version_of(i);
		versions_add(&versions, &version, VERSIONS_MAX, NULL, NULL);
	}
	assert_int_equal(versions.n, VERSIONS_MAX);
	assert_int_equal(versions.item[0].number, 2 * VERSIONS_MAX);
	const struct version last = version_of(999);
	versions_add(&versions, &last, 1, on_dropped, NULL);
	assert_int_equal(versions.n, 1);
	assert_int_equal(dropped.n, VERSIONS_MAX);
}

static void it_is_read_again_as_it_was_written(void **state)
{
	struct saved saved = one(), read;
	struct version version = version_of(2);
	(void)state;
	memset(version.boot, 'a', VAULT_BOOT_ID_LEN);
	memset(saved.versions.item[0].boot, 'b', VAULT_BOOT_ID_LEN);
	note(&saved, &version, second);
	saved.must_fill = saved.is_unsaved = true;
	json_t *json = saved_json(&saved);
	assert_true(saved_take(json, &read));
	assert_memory_equal(&read, &saved, sizeof(read));
	json_object_set_new(json, "trying", json_string("../../x"));
	assert_false(saved_take(json, &read));
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(what_the_vault_heard_is_the_newest, begin),
	    cmocka_unit_test_setup(what_it_may_still_hear_is_not_touched, begin),
	    cmocka_unit_test_setup(what_it_never_heard_is_removed_later, begin),
	    cmocka_unit_test_setup(a_clock_that_was_ahead_does_not_block_for_ever, begin),
	    cmocka_unit_test_setup(another_hosts_of_the_same_number_is_not_ours, begin),
	    cmocka_unit_test_setup(a_restore_keeps_its_archive, begin),
	    cmocka_unit_test_setup(only_the_start_that_filled_it_makes_it_current, begin),
	    cmocka_unit_test_setup(a_vault_that_went_back_keeps_the_files_here, begin),
	    cmocka_unit_test_setup(so_many_are_kept, begin),
	    cmocka_unit_test_setup(it_is_read_again_as_it_was_written, begin),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
