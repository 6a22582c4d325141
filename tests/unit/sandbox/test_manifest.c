/* Manifests of snapshots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "services/sandbox/manifest.h"

#define AGENT "abcdefghijklmnopqrstuvwxyz234567"
#define WALLET "Stake11111111111111111111111111111111111111"
#define BOOT "00112233445566778899aabbccddeeff"

static uint8_t key[VAULT_SNAPSHOT_KEY_LEN];
static struct manifest manifest, read_back;
static uint8_t bytes[MANIFEST_BYTES_MAX];

static struct manifest_of of(uint64_t number)
{
	return (struct manifest_of){key, AGENT, WALLET, 77, number};
}

static void add(uint64_t number, size_t keep)
{
	struct version version = {.number = number,
	    .created_ms = 1000 * number,
	    .bytes = UINT64_MAX - number,
	    .files = 3,
	    .stored_bytes = 5,
	    .is_damaged = number % 2 == 0};
	randombytes_buf(version.digest, sizeof(version.digest));
	randombytes_buf(version.manifest, sizeof(version.manifest));
	snprintf(version.trigger, sizeof(version.trigger), "%s", "timer");
	snprintf(version.boot, sizeof(version.boot), "%s", BOOT);
	version_object_make(number, version.object);
	versions_add(&manifest.versions, &version, keep, NULL, NULL);
}

static int set_up(void **state)
{
	(void)state;
	memset(&manifest, 0, sizeof(manifest));
	randombytes_buf(key, sizeof(key));
	memcpy(manifest.roots, "notes\0a/b c\0", 13);
	for (uint64_t i = 1; i <= 3; i++)
		add(i, 5);
	return 0;
}

static void every_archive_has_a_key_of_its_own(void **state)
{
	char one[VERSION_OBJECT_LEN + 1], other[VERSION_OBJECT_LEN + 1];
	uint8_t key_of_one[32], again[32], key_of_other[32];
	(void)state;
	version_object_make(7, one);
	version_object_make(7, other);
	version_archive_key(key, one, key_of_one);
	version_archive_key(key, one, again);
	version_archive_key(key, other, key_of_other);
	assert_memory_equal(key_of_one, again, sizeof(again));
	assert_memory_not_equal(key_of_one, key_of_other, sizeof(again));
	assert_memory_not_equal(key_of_one, key, sizeof(again));
	key[0] ^= 1;
	version_archive_key(key, one, again);
	assert_memory_not_equal(key_of_one, again, sizeof(again));
}

static void what_was_written_is_read_again(void **state)
{
	const struct manifest_of it = of(3);
	struct error err;
	(void)state;
	size_t len = manifest_encode(&it, &manifest, bytes);
	assert_int_equal(manifest_decode(&it, bytes, len, &read_back, &err), 0);
	assert_memory_equal(&read_back, &manifest, sizeof(manifest));
}

static void a_full_one_fits(void **state)
{
	const struct manifest_of it = of(UINT64_MAX);
	struct error err;
	(void)state;
	memset(&manifest, 0, sizeof(manifest));
	for (size_t i = 0; i < 15; i++)
		memset(manifest.roots + i * 256, 'r', 255);
	for (uint64_t i = VERSIONS_MAX; i-- > 0;)
		add(UINT64_MAX - i, VERSIONS_MAX);
	assert_int_equal(manifest.versions.n, VERSIONS_MAX);
	size_t len = manifest_encode(&it, &manifest, bytes);
	assert_int_equal(manifest_decode(&it, bytes, len, &read_back, &err), 0);
	assert_memory_equal(&read_back, &manifest, sizeof(manifest));
}

static void refused(const struct manifest_of *it, size_t len)
{
	struct error err;
	assert_int_equal(manifest_decode(it, bytes, len, &read_back, &err), -1);
	assert_string_equal(err.reason, "snapshot_refused");
	assert_int_equal(read_back.versions.n, 0);
}

static void any_other_byte_is_refused(void **state)
{
	const struct manifest_of it = of(3);
	(void)state;
	size_t len = manifest_encode(&it, &manifest, bytes);
	for (size_t i = 0; i < len; i++) {
		bytes[i] ^= 1;
		refused(&it, len);
		bytes[i] ^= 1;
	}
	for (size_t cut = 0; cut < len; cut++)
		refused(&it, cut);
	refused(&it, len + 1);
	refused(&it, MANIFEST_BYTES_MAX + 1);
}

static void anothers_is_refused(void **state)
{
	const struct manifest_of it = of(3);
	struct manifest_of other;
	uint8_t other_key[VAULT_SNAPSHOT_KEY_LEN] = {1};
	(void)state;
	size_t len = manifest_encode(&it, &manifest, bytes);
	other = it, other.agent = "bbcdefghijklmnopqrstuvwxyz234567";
	refused(&other, len);
	other = it, other.wallet = "So11111111111111111111111111111111111111112";
	refused(&other, len);
	other = it, other.period++;
	refused(&other, len);
	other = it, other.number--;
	refused(&other, len);
	other = it, other.key = other_key;
	refused(&other, len);
}

/* Sealed by the right key all the same: an earlier or later release's, or our own mistake. */
static void what_makes_no_sense_is_refused(void **state)
{
	const struct manifest_of it = of(3);
	size_t len;
	(void)state;
	manifest.versions.item[2].number = 2; /* not falling */
	len = manifest_encode(&it, &manifest, bytes);
	refused(&it, len);
	manifest.versions.item[2].number = 0;
	len = manifest_encode(&it, &manifest, bytes);
	refused(&it, len);
	manifest.versions.item[2].number = 1;
	manifest.versions.item[1].object[3] = 'x';
	len = manifest_encode(&it, &manifest, bytes);
	refused(&it, len);
	manifest.versions.n = 0;
	len = manifest_encode(&it, &manifest, bytes);
	refused(&it, len);
}

static size_t ndropped;
static uint64_t dropped[VERSIONS_MAX];
static void on_dropped(void *arg, const struct version *version)
{
	(void)arg;
	dropped[ndropped++] = version->number;
}

static void what_is_beyond_the_kept_ones_is_dropped(void **state)
{
	struct versions *versions = &manifest.versions;
	const struct version four = {.number = 4};
	(void)state;
	ndropped = 0;
	versions_add(versions, &four, 2, on_dropped, NULL);
	assert_int_equal(versions->n, 2);
	assert_int_equal(ndropped, 2);
	assert_int_equal(dropped[0], 1);
	assert_int_equal(dropped[1], 2);
	assert_non_null(versions_find(versions, 3));
	assert_null(versions_find(versions, 1));
	versions_remove(versions, 4);
	assert_int_equal(versions->n, 1);
	assert_int_equal(versions->item[0].number, 3);
}

static void names_of_objects(void **state)
{
	struct version version;
	(void)state;
	version_object_make(UINT64_MAX, version.object);
	assert_true(version_object_is_good(version.object));
	assert_int_equal(version_archive_number(&version), UINT64_MAX);
	version_object_make(7, version.object);
	assert_int_equal(version_archive_number(&version), 7);
	assert_false(version_object_is_good("7-0123456789abcdef.archive"));
	assert_false(version_object_is_good("99999999999999999999-0123456789abcdef.archive"));
	assert_false(version_object_is_good("00000000000000000007-0123456789abcdef.manifes"));
	assert_false(version_object_is_good("00000000000000000007/0123456789abcdef.archive"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(what_was_written_is_read_again, set_up),
	    cmocka_unit_test_setup(every_archive_has_a_key_of_its_own, set_up),
	    cmocka_unit_test_setup(a_full_one_fits, set_up),
	    cmocka_unit_test_setup(any_other_byte_is_refused, set_up),
	    cmocka_unit_test_setup(anothers_is_refused, set_up),
	    cmocka_unit_test_setup(what_makes_no_sense_is_refused, set_up),
	    cmocka_unit_test_setup(what_is_beyond_the_kept_ones_is_dropped, set_up),
	    cmocka_unit_test_setup(names_of_objects, set_up),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
