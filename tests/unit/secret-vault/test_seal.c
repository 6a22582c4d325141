/* Sealing: nothing opens but what was sealed, in its own place, under its own key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/scoped.h"
#include "services/secret-vault/seal.h"
#include "tests/unit/common/vectors.h"

#define ASSET "4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM"
#define ASSET2 "8opHzTAnfzRpPEx21XtnrVTX28YQuCpAjcn1PczScKh"
#define WALLET "CiDwVBFgWV9E5MvXWoLgnEgn2hK7rJikbvfWavzAQz3"
#define WALLET2 "GcdayuLaLyrdmUu324nahyv33G5poQdLUEZ1nEytDeP"

static struct master *master_one, *master_two;

static struct master *make_master(const char *base64)
{
	char path[] = "/tmp/seal.XXXXXX";
	struct error err;
	scoped_fd int fd = mkstemp(path);
	assert_int_equal(write(fd, base64, strlen(base64)), strlen(base64));
	struct master *master = master_read_file(path, &err);
	unlink(path);
	return master;
}

static int make_masters(void **state)
{
	(void)state;
	master_one = make_master("rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGkA=");
	master_two = make_master("0c5n3pYw9tJ3c0k7oZb2f1xk6a8sPqLr4uDvWgHhXyE=");
	return master_one && master_two ? 0 : -1;
}

static int destroy_masters(void **state)
{
	(void)state;
	master_destroy(&master_one);
	master_destroy(&master_two);
	return 0;
}

static const struct period periods[] = {
    {ASSET, WALLET, 7},
    {ASSET, WALLET, 8},
    {ASSET, WALLET2, 7},
    {ASSET2, WALLET, 7},
    {WALLET, ASSET, 7},
    {PERIOD_GLOBAL, "", 0},
};
/* The last ones say the same characters, cut elsewhere. */
static const struct {
	const char *kind, *name;
} names[] = {
    {"llm", "openai"}, {"llm", "openaj"}, {"bot", "openai"}, {"llmo", "penai"}, {"ll", "mopenai"}};
#define VERSIONS 2
#define PURPOSES 3

struct place {
	struct seal_name name;
	uint8_t sealed[64 + SEAL_OVERHEAD];
	size_t len;
};
#define PLACES (ARRAY_LEN(periods) * ARRAY_LEN(names) * VERSIONS * PURPOSES)

static struct place *seal_everywhere(const struct secret *key)
{
	struct place *places = calloc(PLACES, sizeof(*places));
	size_t n = 0;
	assert_non_null(places);
	for (size_t p = 0; p < ARRAY_LEN(periods); p++)
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			for (uint64_t v = 1; v <= VERSIONS; v++)
				for (enum seal_purpose u = 0; u < PURPOSES; u++, n++) {
					struct place *place = &places[n];
					place->name = (struct seal_name){
					    &periods[p], names[i].kind, names[i].name, v, u};
					place->len = 16 + SEAL_OVERHEAD;
					seal_record(key, &place->name, "0123456789abcdef", 16,
					    place->sealed);
				}
	assert_int_equal(n, PLACES);
	return places;
}

/* Under one key, as if all periods shared it: the place alone has to keep them apart. */
static void opens_in_its_own_place_only(void **state)
{
	(void)state;
	scoped_secret struct secret *key = data_key_new();
	scoped_free struct place *places = seal_everywhere(key);
	for (size_t from = 0; from < PLACES; from++) {
		for (size_t to = 0; to < PLACES; to++) {
			struct error err = {0};
			scoped_secret struct secret *opened = seal_open(
			    key, &places[to].name, places[from].sealed, places[from].len, &err);
			if ((opened != NULL) != (from == to))
				fail_msg("place %zu in %zu", from, to);
			if (!opened) {
				assert_int_equal(err.code, ERR_INTERNAL);
				assert_string_equal(err.reason, "secret_undecryptable");
			}
		}
	}
}

static void opens_what_was_sealed_of_any_size(void **state)
{
	(void)state;
	static const size_t sizes[] = {1, 15, 16, 17, 63, 64, 65, 1000, 65535, 65536};
	scoped_secret struct secret *key = data_key_new();
	const struct seal_name name = {&periods[0], "custom", "x", 1, SEAL_VALUE};
	static uint8_t plain[65536], sealed[65536 + SEAL_OVERHEAD], again[65536 + SEAL_OVERHEAD];
	struct error err;
	randombytes_buf(plain, sizeof(plain));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		seal_record(key, &name, plain, sizes[i], sealed);
		seal_record(key, &name, plain, sizes[i], again);
		/* a nonce is never used again */
		assert_memory_not_equal(sealed, again, 24);
		scoped_secret struct secret *opened =
		    seal_open(key, &name, sealed, sizes[i] + SEAL_OVERHEAD, &err);
		assert_non_null(opened);
		assert_true(secret_equal(opened, plain, sizes[i]));
		if (sizes[i] >= 63)
			assert_null(memmem(sealed, sizes[i] + SEAL_OVERHEAD, plain, 16));
	}
}

static void seals_emptiness_but_never_as_a_value(void **state)
{
	(void)state;
	scoped_secret struct secret *key = data_key_new();
	struct seal_name name = {&periods[0], "llm", "x", 1, SEAL_TOMBSTONE};
	uint8_t sealed[SEAL_OVERHEAD];
	struct error err;
	seal_record(key, &name, "", 0, sealed);
	scoped_secret struct secret *opened = seal_open(key, &name, sealed, sizeof(sealed), &err);
	assert_non_null(opened);
	assert_int_equal(secret_len(opened), 0);
	name.purpose = SEAL_VALUE;
	assert_null(seal_open(key, &name, sealed, sizeof(sealed), &err));
}

static void finds_each_flipped_bit_and_each_cut(void **state)
{
	(void)state;
	scoped_secret struct secret *key = data_key_new();
	const struct seal_name name = {&periods[0], "llm", "openai", 3, SEAL_VALUE};
	uint8_t sealed[20 + SEAL_OVERHEAD + 1] = {0};
	const size_t len = sizeof(sealed) - 1;
	struct error err;
	seal_record(key, &name, "01234567890123456789", 20, sealed);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_null(seal_open(key, &name, sealed, len, &err));
		sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t n = 0; n <= len + 1; n++) {
		scoped_secret struct secret *opened = seal_open(key, &name, sealed, n, &err);
		assert_int_equal(opened != NULL, n == len);
	}
	scoped_secret struct secret *other = data_key_new();
	assert_null(seal_open(other, &name, sealed, len, &err));
}

static void opens_into_a_buffer_what_fits(void **state)
{
	(void)state;
	scoped_secret struct secret *key = data_key_new();
	const struct seal_name name = {&periods[0], "llm", "openai", 3, SEAL_PREVIEW};
	uint8_t sealed[8 + SEAL_OVERHEAD], bytes[16];
	size_t len = 99;
	struct error err;
	seal_record(key, &name, "sk-ant-0", 8, sealed);
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		memset(bytes, 'x', sizeof(bytes));
		int rc =
		    seal_open_into(key, &name, sealed, sizeof(sealed), bytes, size, &len, &err);
		assert_int_equal(rc, size < 8 ? -1 : 0);
		assert_memory_equal(bytes + 8, "xxxxxxxx", 8);
		assert_int_equal(len, size < 8 ? 99 : 8);
	}
	assert_memory_equal(bytes, "sk-ant-0", 8);
	for (size_t n = 0; n < sizeof(sealed); n++) {
		assert_int_equal(
		    seal_open_into(key, &name, sealed, n, bytes, sizeof(bytes), &len, &err), -1);
		assert_string_equal(err.reason, "secret_undecryptable");
	}
}

static struct store_period sample_row(void)
{
	return (struct store_period){.period = periods[0], .since = 9};
}

static void wraps_data_keys_for_their_period_and_master_only(void **state)
{
	(void)state;
	scoped_secret struct secret *key = data_key_new();
	struct store_period row = sample_row(), changed;
	struct error err;
	data_key_wrap(master_one, key, &row);
	assert_memory_equal(row.key_id, master_id(master_one), KEY_ID_LEN);
	scoped_secret struct secret *again = data_key_unwrap(master_one, &row, &err);
	assert_non_null(again);
	assert_true(secret_equal(again, secret_bytes(key), DATA_KEY_LEN));
	for (size_t i = 1; i < ARRAY_LEN(periods); i++) {
		changed = row;
		changed.period = periods[i];
		assert_null(data_key_unwrap(master_one, &changed, &err));
		assert_string_equal(err.reason, "secret_undecryptable");
	}
	/* whoever writes to the store cannot make a period newer than it was proven */
	changed = row;
	changed.since = 10;
	assert_null(data_key_unwrap(master_one, &changed, &err));
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_null(data_key_unwrap(master_two, &row, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_string_equal(err.reason, "vault_foreign_key");
	/* saying that it is the other key's does not make it so */
	changed = row;
	memcpy(changed.key_id, master_id(master_two), KEY_ID_LEN);
	assert_null(data_key_unwrap(master_two, &changed, &err));
	assert_string_equal(err.reason, "secret_undecryptable");
}

static void a_volumes_key_is_of_its_data_key_and_period_alone(void **state)
{
	(void)state;
	scoped_secret struct secret *key = data_key_new(), *other = data_key_new();
	uint8_t volume[DATA_KEY_LEN], again[DATA_KEY_LEN];
	data_key_volume(key, &periods[0], volume);
	data_key_volume(key, &periods[0], again);
	assert_memory_equal(volume, again, sizeof(volume));
	assert_false(secret_equal(key, volume, sizeof(volume)));
	data_key_volume(other, &periods[0], again);
	assert_memory_not_equal(volume, again, sizeof(volume));
	for (size_t i = 1; i < ARRAY_LEN(periods); i++) {
		data_key_volume(key, &periods[i], again);
		assert_memory_not_equal(volume, again, sizeof(volume));
	}
}

static void the_key_of_a_periods_snapshots_is_none_of_its_volume(void **state)
{
	(void)state;
	scoped_secret struct secret *key = data_key_new(), *other = data_key_new();
	uint8_t snapshots[DATA_KEY_LEN], again[DATA_KEY_LEN];
	data_key_snapshots(key, &periods[0], snapshots);
	data_key_snapshots(key, &periods[0], again);
	assert_memory_equal(snapshots, again, sizeof(again));
	data_key_volume(key, &periods[0], again);
	assert_memory_not_equal(snapshots, again, sizeof(again));
	data_key_snapshots(other, &periods[0], again);
	assert_memory_not_equal(snapshots, again, sizeof(again));
	for (size_t i = 1; i < ARRAY_LEN(periods); i++) {
		data_key_snapshots(key, &periods[i], again);
		assert_memory_not_equal(snapshots, again, sizeof(again));
	}
}

static void a_hand_over_opens_in_its_place_alone(void **state)
{
	(void)state;
	static const uint8_t bytes[HANDOVER_LEN] = "key and digest";
	struct store_handover row = {
	    .from = {"asset", "giver", 10}, .to = {"asset", "receiver", 20}, .version = 3};
	uint8_t opened[HANDOVER_LEN];
	struct error err;
	size_t len;
	seal_handover(master_one, bytes, sizeof(bytes), &row);
	assert_int_equal(seal_open_handover(master_one, &row, opened, &len, &err), 0);
	assert_int_equal(len, sizeof(bytes));
	assert_memory_equal(opened, bytes, len);
	struct store_handover wrong[] = {row, row, row, row, row, row, row, row};
	wrong[0].from.asset[0]++;
	wrong[1].from.wallet[0]++;
	wrong[2].from.slot++;
	wrong[3].to.wallet[0]++;
	wrong[4].to.slot++;
	wrong[5].version++;
	wrong[6].sealed_len--;
	wrong[7].sealed_len = SEAL_OVERHEAD;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(seal_open_handover(master_one, &wrong[i], opened, &len, &err), -1);
	assert_int_equal(seal_open_handover(master_two, &row, opened, &len, &err), -1);
	assert_string_equal(err.reason, "secret_undecryptable");
	seal_handover(master_one, bytes, 0, &row);
	assert_int_equal(seal_open_handover(master_one, &row, opened, &len, &err), 0);
	assert_int_equal(len, 0);
}

static void finds_each_flipped_bit_of_a_wrapped_key(void **state)
{
	(void)state;
	scoped_secret struct secret *key = data_key_new();
	struct store_period row = sample_row();
	struct error err;
	data_key_wrap(master_one, key, &row);
	size_t len = row.wrapped_len;
	for (size_t bit = 0; bit < 8 * len; bit++) {
		row.wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_null(data_key_unwrap(master_one, &row, &err));
		row.wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t n = 0; n <= WRAPPED_MAX; n++) {
		row.wrapped_len = n;
		scoped_secret struct secret *opened = data_key_unwrap(master_one, &row, &err);
		assert_int_equal(opened != NULL, n == len);
	}
}

static void each_data_key_is_another(void **state)
{
	(void)state;
	scoped_secret struct secret *a = data_key_new(), *b = data_key_new();
	assert_int_equal(secret_len(a), DATA_KEY_LEN);
	assert_false(secret_equal(a, secret_bytes(b), DATA_KEY_LEN));
}

static void knows_the_store_of_its_master_key(void **state)
{
	(void)state;
	uint8_t store[16] = {1, 2, 3}, other_store[16] = {1, 2, 4}, check[SEAL_CHECK_LEN];
	char one[2 * KEY_ID_LEN + 1], two[2 * KEY_ID_LEN + 1];
	struct error err;
	seal_check_make(master_one, store, check);
	assert_int_equal(seal_check(master_one, store, check, sizeof(check), &err), 0);
	assert_int_equal(seal_check(master_two, store, check, sizeof(check), &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_string_equal(err.reason, "vault_foreign_key");
	assert_non_null(strstr(err.text, master_id_text(master_id(master_one), one)));
	assert_non_null(strstr(err.text, master_id_text(master_id(master_two), two)));
	assert_int_equal(seal_check(master_one, other_store, check, sizeof(check), &err), -1);
	assert_string_equal(err.reason, "vault_foreign_key");
	for (size_t i = 0; i < sizeof(check); i++) {
		check[i] ^= 0x10;
		assert_int_equal(seal_check(master_one, store, check, sizeof(check), &err), -1);
		assert_string_equal(err.reason, "vault_foreign_key");
		check[i] ^= 0x10;
		assert_int_equal(seal_check(master_one, store, check, i, &err), -1);
	}
	/* the id of another key in front of one's own check */
	memcpy(check, master_id(master_two), KEY_ID_LEN);
	assert_int_equal(seal_check(master_two, store, check, sizeof(check), &err), -1);
}

#define BYTES_MAX 4096

/* Group and vector as Project Wycheproof has them, by the function that seal.c opens with. */
static bool opens(const json_t *test)
{
	uint8_t key[64], nonce[64], aad[BYTES_MAX], sealed[BYTES_MAX], plain[BYTES_MAX],
	    want[BYTES_MAX];
	size_t keylen = vectors_hex(test, "key", key, sizeof(key));
	size_t noncelen = vectors_hex(test, "iv", nonce, sizeof(nonce));
	size_t aadlen = vectors_hex(test, "aad", aad, sizeof(aad));
	size_t len = vectors_hex(test, "ct", sealed, sizeof(sealed) - 64);
	size_t wantlen = vectors_hex(test, "msg", want, sizeof(want));
	len += vectors_hex(test, "tag", sealed + len, 64);
	/* ours are always of these sizes */
	if (keylen != DATA_KEY_LEN || noncelen != 24)
		return false;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		plain, NULL, NULL, sealed, len, aad, aadlen, nonce, key) != 0)
		return false;
	assert_int_equal(len - 16, wantlen);
	assert_memory_equal(plain, want, wantlen);
	assert_int_equal(crypto_aead_xchacha20poly1305_ietf_encrypt(
			     plain, NULL, want, wantlen, aad, aadlen, NULL, nonce, key),
	    0);
	assert_memory_equal(plain, sealed, len);
	return true;
}

static void agrees_with_wycheproof(void **state)
{
	(void)state;
	scoped_json json_t *root = vectors_load("tests/vectors/wycheproof_xchacha20_poly1305.json");
	json_t *group, *test;
	size_t i, k;
	json_int_t count = 0;
	assert_non_null(root);
	json_array_foreach(json_object_get(root, "testGroups"), i, group)
	{
		json_array_foreach(json_object_get(group, "tests"), k, test)
		{
			bool valid = strcmp(vectors_str(test, "result"), "valid") == 0;
			if (opens(test) != valid)
				fail_msg("vector %lld should be %s",
				    (long long)json_integer_value(json_object_get(test, "tcId")),
				    vectors_str(test, "result"));
			count++;
		}
	}
	assert_true(count > 300);
	assert_true(count == json_integer_value(json_object_get(root, "numberOfTests")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(opens_in_its_own_place_only),
	    cmocka_unit_test(opens_what_was_sealed_of_any_size),
	    cmocka_unit_test(seals_emptiness_but_never_as_a_value),
	    cmocka_unit_test(finds_each_flipped_bit_and_each_cut),
	    cmocka_unit_test(opens_into_a_buffer_what_fits),
	    cmocka_unit_test(wraps_data_keys_for_their_period_and_master_only),
	    cmocka_unit_test(finds_each_flipped_bit_of_a_wrapped_key),
	    cmocka_unit_test(a_volumes_key_is_of_its_data_key_and_period_alone),
	    cmocka_unit_test(the_key_of_a_periods_snapshots_is_none_of_its_volume),
	    cmocka_unit_test(a_hand_over_opens_in_its_place_alone),
	    cmocka_unit_test(each_data_key_is_another),
	    cmocka_unit_test(knows_the_store_of_its_master_key),
	    cmocka_unit_test(agrees_with_wycheproof),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, make_masters, destroy_masters);
}
