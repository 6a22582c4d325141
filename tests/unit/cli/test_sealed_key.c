/* A hot wallet's key, from the sealed answer to a file that is written once. */
#include <fcntl.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/cli/keypair.h"
#include "services/cli/sealed_key.h"
#include "tests/unit/common/scratch.h"

struct wallet {
	struct recipient recipient;
	uint8_t key[crypto_sign_SECRETKEYBYTES];
	char address[PUBKEY_TEXT_MAX + 1];
	char dir[64], path[96];
};

static int setup(void **state)
{
	struct wallet *wallet = calloc(1, sizeof(*wallet));
	uint8_t public_key[PUBKEY_LEN];

	assert_non_null(wallet);
	recipient_new(&wallet->recipient);
	crypto_sign_keypair(public_key, wallet->key);
	pubkey_text(public_key, wallet->address);
	snprintf(wallet->dir, sizeof(wallet->dir), "/tmp/mc-unit-XXXXXX");
	assert_non_null(mkdtemp(wallet->dir));
	snprintf(wallet->path, sizeof(wallet->path), "%s/hot.json", wallet->dir);
	*state = wallet;
	return 0;
}

static int teardown(void **state)
{
	struct wallet *wallet = *state;

	recipient_wipe(&wallet->recipient);
	assert_int_equal(scratch_remove(wallet->dir), 0);
	free(wallet);
	return 0;
}

/* As the vault does. */
static const char *seal(
    const struct wallet *wallet, const uint8_t *bytes, size_t len, char text[256])
{
	uint8_t sealed[160];

	assert_int_equal(crypto_box_seal(sealed, bytes, len, wallet->recipient.public_key), 0);
	return sodium_bin2base64(
	    text, 256, sealed, len + crypto_box_SEALBYTES, sodium_base64_VARIANT_ORIGINAL);
}

static void opens_what_was_sealed_to_it(void **state)
{
	const struct wallet *wallet = *state;
	struct error err = {0};
	char text[256];
	struct secret *key = sealed_key_open(&wallet->recipient,
	    seal(wallet, wallet->key, sizeof(wallet->key), text), wallet->address, &err);

	if (!key)
		fail_msg("%s", err.text);
	assert_true(secret_equal(key, wallet->key, sizeof(wallet->key)));
	secret_destroy(&key);
}

static void refuses_an_answer_that_is_not_the_addresss_key(void **state)
{
	struct wallet *wallet = *state;
	struct error err = {0};
	struct recipient other;
	char text[256], flipped[256];
	uint8_t wrong[crypto_sign_SECRETKEYBYTES];

	seal(wallet, wallet->key, sizeof(wallet->key), text);
	/* damaged, shorter, not base64, nothing */
	snprintf(flipped, sizeof(flipped), "%s", text);
	flipped[80] = flipped[80] == 'A' ? 'B' : 'A';
	assert_null(sealed_key_open(&wallet->recipient, flipped, wallet->address, &err));
	assert_null(sealed_key_open(&wallet->recipient, text + 4, wallet->address, &err));
	assert_null(sealed_key_open(&wallet->recipient, "not base64!", wallet->address, &err));
	assert_null(sealed_key_open(&wallet->recipient, "", wallet->address, &err));
	/* another address, or none */
	assert_null(
	    sealed_key_open(&wallet->recipient, text, "11111111111111111111111111111111", &err));
	assert_null(sealed_key_open(&wallet->recipient, text, "", &err));
	/* sealed to somebody else */
	recipient_new(&other);
	assert_null(sealed_key_open(&other, text, wallet->address, &err));
	recipient_wipe(&other);
	/* a seed that does not belong to the public half */
	memcpy(wrong, wallet->key, sizeof(wrong));
	wrong[0] ^= 1;
	assert_null(sealed_key_open(
	    &wallet->recipient, seal(wallet, wrong, sizeof(wrong), text), wallet->address, &err));
	assert_int_equal(err.code, ERR_INTERNAL);
	/* more than a key */
	assert_null(sealed_key_open(&wallet->recipient,
	    seal(wallet, wallet->key, sizeof(wallet->key) - 1, text), wallet->address, &err));
}

static void the_file_is_a_keypair_that_the_solana_tools_read(void **state)
{
	const struct wallet *wallet = *state;
	struct error err = {0};
	struct key_place place;
	struct keypair keypair = {0};
	struct stat st;
	struct secret *key = secret_new(wallet->key, sizeof(wallet->key));

	assert_int_equal(key_place_reserve(wallet->path, &place, &err), 0);
	assert_int_equal(key_place_fill(&place, key, &err), 0);
	key_place_close(&place);
	secret_destroy(&key);
	assert_int_equal(stat(wallet->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	if (keypair_read(wallet->path, &keypair, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(secret_equal(keypair.secret, wallet->key, sizeof(wallet->key)));
	keypair_wipe(&keypair);
}

static void a_place_that_was_not_filled_goes_away(void **state)
{
	const struct wallet *wallet = *state;
	struct error err = {0};
	struct key_place place;

	assert_int_equal(key_place_reserve(wallet->path, &place, &err), 0);
	assert_int_equal(access(wallet->path, F_OK), 0);
	key_place_close(&place);
	assert_int_equal(access(wallet->path, F_OK), -1);
}

static void nothing_that_is_there_is_touched(void **state)
{
	const struct wallet *wallet = *state;
	struct error err = {0};
	struct key_place place;
	char link[112];
	FILE *file = fopen(wallet->path, "w");

	assert_non_null(file);
	fputs("mine", file);
	fclose(file);
	assert_int_equal(key_place_reserve(wallet->path, &place, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	key_place_close(&place);
	assert_int_equal(access(wallet->path, F_OK), 0);
	/* nor what a link that leads nowhere would make */
	snprintf(link, sizeof(link), "%s/link", wallet->dir);
	assert_int_equal(symlink("elsewhere", link), 0);
	assert_int_equal(key_place_reserve(link, &place, &err), -1);
	snprintf(link, sizeof(link), "%s/not/there", wallet->dir);
	assert_int_equal(key_place_reserve(link, &place, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
}

int main(void)
{
#define WALLET(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
	    WALLET(opens_what_was_sealed_to_it),
	    WALLET(refuses_an_answer_that_is_not_the_addresss_key),
	    WALLET(the_file_is_a_keypair_that_the_solana_tools_read),
	    WALLET(a_place_that_was_not_filled_goes_away),
	    WALLET(nothing_that_is_there_is_touched),
	};

	return sodium_init() < 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
