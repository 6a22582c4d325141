/* What a host knows of snapshots, and where a start takes its files from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/scoped.h"
#include "services/sandbox/roots.h"
#include "services/sandbox/saved.h"

#define BOOT "00112233445566778899aabbccddeeff"
#define NOW 1000000

static struct saved saved, again;
static const uint8_t one[32] = {1}, two[32] = {2}, three[32] = {3}, none[32];

static struct version version_of(uint64_t number)
{
	struct version version = {.number = number, .created_ms = 5, .files = 1};
	snprintf(version.trigger, sizeof(version.trigger), "%s", "stop");
	snprintf(version.boot, sizeof(version.boot), "%s", BOOT);
	version_object_make(number, version.object);
	return version;
}

static size_t ndropped;
static void on_dropped(void *arg, const struct version *version)
{
	(void)arg, (void)version;
	ndropped++;
}

static enum saved_source settle(uint64_t newest, const uint8_t digest[32])
{
	return saved_settle(&saved, newest, digest, NOW, 2, on_dropped, NULL);
}

static void pend(uint64_t number, const uint8_t digest[32], uint64_t until_ms)
{
	saved.pending = (struct saved_pending){.until_ms = until_ms, .version = version_of(number)};
	memcpy(saved.pending.digest, digest, 32);
	memset(saved.pending.fingerprint, 7, 32);
}

/* Snapshot 1 is kept, and the volume is of it. */
static int set_up(void **state)
{
	(void)state;
	ndropped = 0;
	memset(&saved, 0, sizeof(saved));
	pend(1, one, NOW + 10);
	saved_keep_pending(&saved, 2, on_dropped, NULL);
	return 0;
}

static void without_a_snapshot_the_volume_is_used_whatever_it_is(void **state)
{
	(void)state;
	memset(&saved, 0, sizeof(saved));
	assert_int_equal(settle(0, none), SAVED_LOCAL_ANY);
	assert_false(saved_has_objects(&saved));
	assert_int_equal(settle(1, one), SAVED_FROM_STORE);
}

static void what_is_of_the_newest_is_used(void **state)
{
	(void)state;
	assert_int_equal(settle(1, one), SAVED_LOCAL);
	assert_int_equal(settle(2, two), SAVED_FROM_STORE);
	assert_true(saved_has_objects(&saved));
	saved.is_stale = true;
	assert_int_equal(settle(1, one), SAVED_FROM_STORE);
}

static void what_was_pending_is_settled_by_the_vaults_word(void **state)
{
	(void)state;
	pend(2, two, NOW + 10);
	assert_int_equal(settle(1, one), SAVED_LOCAL);
	assert_true(saved.pending.until_ms > 0); /* it may be heard yet */
	assert_int_equal(settle(2, two), SAVED_LOCAL);
	assert_int_equal(saved.number, 2);
	assert_int_equal(saved.fingerprint[0], 7);
	assert_int_equal(saved.pending.until_ms, 0);
	assert_int_equal(saved.versions.n, 2);
	assert_memory_equal(saved.versions.item[1].manifest, one, 8);
	pend(3, three, NOW + 10);
	assert_int_equal(settle(3, three), SAVED_LOCAL);
	assert_int_equal(ndropped, 1);
}

static void what_another_host_kept_is_not_ours(void **state)
{
	(void)state;
	pend(2, two, NOW + 10);
	assert_int_equal(settle(2, three), SAVED_FROM_STORE);
}

static void what_the_vault_never_heard_is_forgotten_in_the_end(void **state)
{
	char object[VERSION_OBJECT_LEN + 1];
	(void)state;
	pend(2, two, NOW - 1);
	memcpy(object, saved.pending.version.object, sizeof(object));
	assert_int_equal(settle(1, one), SAVED_LOCAL);
	assert_int_equal(saved.pending.until_ms, 0);
	assert_string_equal(saved.trying, object);
}

static void a_restore_fills_the_volume_once(void **state)
{
	(void)state;
	pend(2, two, NOW + 10);
	saved.pending.must_fill = true;
	assert_int_equal(settle(2, two), SAVED_FROM_STORE);
	snprintf(saved.filling, sizeof(saved.filling), "%s", BOOT);
	saved_filled(&saved, "11112233445566778899aabbccddeeff");
	assert_int_equal(settle(2, two), SAVED_FROM_STORE);
	saved_filled(&saved, BOOT);
	assert_int_equal(settle(2, two), SAVED_LOCAL);
}

/* Of the only one that is kept: the archive is the new one's, too. */
static void a_restore_keeps_its_archive(void **state)
{
	struct version again_of_1 = saved.versions.item[0];
	(void)state;
	again_of_1.number = 2;
	saved.pending =
	    (struct saved_pending){.until_ms = NOW + 10, .must_fill = true, .version = again_of_1};
	memcpy(saved.pending.digest, two, 32);
	assert_int_equal(saved_settle(&saved, 2, two, NOW, 1, on_dropped, NULL), SAVED_FROM_STORE);
	assert_int_equal(ndropped, 1);
	assert_int_equal(saved.versions.n, 1);
	assert_true(versions_have_object(&saved.versions, again_of_1.object));
	assert_int_equal(version_archive_number(&saved.versions.item[0]), 1);
	/* and one that the vault never heard of does not take it along */
	again_of_1.number = 3;
	saved.pending = (struct saved_pending){.until_ms = NOW - 1, .version = again_of_1};
	settle(2, two);
	assert_int_equal(saved.pending.until_ms, 0);
	assert_string_equal(saved.trying, "");
}

static void no_more_are_kept_than_there_is_room_for(void **state)
{
	struct versions versions = {0};
	struct version version;
	(void)state;
	for (uint64_t i = 1; i <= 2 * VERSIONS_MAX; i++) {
		version = version_of(i);
		versions_add(&versions, &version, VERSIONS_MAX, NULL, NULL);
	}
	assert_int_equal(versions.n, VERSIONS_MAX);
	assert_int_equal(versions.item[0].number, 2 * VERSIONS_MAX);
	version = version_of(999);
	versions_add(&versions, &version, 1, on_dropped, NULL);
	assert_int_equal(versions.n, 1);
	assert_int_equal(ndropped, VERSIONS_MAX);
}

static void a_vault_that_went_back_in_time_costs_no_files(void **state)
{
	(void)state;
	pend(2, two, NOW + 10);
	settle(2, two);
	assert_int_equal(settle(1, one), SAVED_LOCAL);
	assert_int_equal(saved.number, 1);
	assert_int_equal(saved.versions.n, 1);
	assert_true(sodium_is_zero(saved.fingerprint, 32));
}

static void what_was_written_is_read_again(void **state)
{
	(void)state;
	pend(2, two, NOW + 10);
	saved.is_unsaved = saved.must_fill = true;
	snprintf(saved.filling, sizeof(saved.filling), "%s", BOOT);
	snprintf(saved.why, sizeof(saved.why), "%s", "because");
	version_object_make(9, saved.trying);
	scoped_json json_t *json = saved_json(&saved);
	assert_true(saved_take(json, &again));
	assert_memory_equal(&saved, &again, sizeof(saved));
	const char *key;
	json_t *value;
	scoped_json json_t *copy = json_deep_copy(json);
	json_object_foreach(copy, key, value)
	{
		scoped_json json_t *less = json_deep_copy(json);
		json_object_del(less, key);
		assert_false(saved_take(less, &again));
	}
}

static void roots_are_below_data(void **state)
{
	static const struct {
		const char *text, *root;
	} table[] = {{"notes", "notes"}, {"/data/notes/", "notes"}, {"a/b c", "a/b c"}, {"", NULL},
	    {"/etc", NULL}, {"/data/", NULL}, {"/data", NULL}, {"a//b", NULL}, {"../a", NULL},
	    {"a/..", NULL}, {".", NULL}, {"a/./b", NULL}, {"..a", "..a"}};
	char root[ROOT_MAX + 1], roots[WARDEN_ROOTS_BYTES];
	unsigned line;
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		bool is_good = root_parse(table[i].text, strlen(table[i].text), root);
		assert_int_equal(is_good, table[i].root != NULL);
		if (table[i].root)
			assert_string_equal(root, table[i].root);
	}
	assert_true(roots_parse("# mine\n a \n\n/data/b\r\n", 20, "\n", roots, &line));
	assert_int_equal(roots_count(roots), 2);
	assert_memory_equal(roots, "a\0b\0", 5);
	assert_false(roots_parse("a\nb\n../c", 8, "\n", roots, &line));
	assert_int_equal(line, 3);
	memset(roots, 0, sizeof(roots));
	memset(root, 'r', ROOT_MAX);
	root[ROOT_MAX] = '\0';
	for (size_t i = 0; i < 15; i++)
		assert_true(roots_add(roots, root));
	assert_false(roots_add(roots, root));
	assert_int_equal(roots_count(roots), 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(without_a_snapshot_the_volume_is_used_whatever_it_is, set_up),
	    cmocka_unit_test_setup(what_is_of_the_newest_is_used, set_up),
	    cmocka_unit_test_setup(what_was_pending_is_settled_by_the_vaults_word, set_up),
	    cmocka_unit_test_setup(what_another_host_kept_is_not_ours, set_up),
	    cmocka_unit_test_setup(what_the_vault_never_heard_is_forgotten_in_the_end, set_up),
	    cmocka_unit_test_setup(a_restore_fills_the_volume_once, set_up),
	    cmocka_unit_test_setup(a_restore_keeps_its_archive, set_up),
	    cmocka_unit_test_setup(no_more_are_kept_than_there_is_room_for, set_up),
	    cmocka_unit_test_setup(a_vault_that_went_back_in_time_costs_no_files, set_up),
	    cmocka_unit_test_setup(what_was_written_is_read_again, set_up),
	    cmocka_unit_test(roots_are_below_data),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
