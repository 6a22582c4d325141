#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/secret.h"
#include "common/secret_pool.h"

#define MANY 1000

#define LENGTHS 8
static const size_t lengths[LENGTHS] = {0, 1, 32, 48, 49, 176, 177, SECRET_POOL_MAX};

static void a_slot_is_zeros_whoever_had_it_before(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTHS; i++) {
		for (size_t turn = 0; turn < 3; turn++) {
			uint8_t *bytes = secret_pool_take(lengths[i]);
			assert_true(sodium_is_zero(bytes, lengths[i]));
			memset(bytes, 0xa5, lengths[i]);
			secret_pool_give(bytes, lengths[i]);
		}
	}
}

static void given_back_bytes_are_wiped_at_once(void **state)
{
	uint8_t *bytes = secret_pool_take(32);

	(void)state;
	memset(bytes, 0xa5, 32);
	secret_pool_give(bytes, 32);
	assert_true(sodium_is_zero(bytes, 32));
}

static void slots_in_use_never_overlap(void **state)
{
	static uint8_t *taken[MANY];

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		taken[i] = secret_pool_take(lengths[i % LENGTHS]);
		memset(taken[i], (int)(i & 0xff), lengths[i % LENGTHS]);
	}
	for (size_t i = 0; i < MANY; i++) {
		for (size_t at = 0; at < lengths[i % LENGTHS]; at++)
			assert_int_equal(taken[i][at], i & 0xff);
		secret_pool_give(taken[i], lengths[i % LENGTHS]);
	}
}

static void who_wrote_beyond_a_slot_is_found(void **state)
{
	int status;

	(void)state;
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		uint8_t *bytes = secret_pool_take(48);
		memset(bytes, 0xa5, 49);
		secret_pool_give(bytes, 48);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
}

static void *take_and_give(void *arg)
{
	for (size_t i = 0; i < 20 * MANY; i++) {
		size_t len = lengths[i % LENGTHS];
		uint8_t *bytes = secret_pool_take(len);
		if (!sodium_is_zero(bytes, len))
			return arg;
		memset(bytes, 0xa5, len);
		secret_pool_give(bytes, len);
	}
	return NULL;
}

static void threads_share_it(void **state)
{
	pthread_t thread[4];
	void *failed;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, take_and_give, thread), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(thread[i], &failed), 0);
		assert_null(failed);
	}
}

static int fill(void *arg, uint8_t *bytes, size_t len)
{
	memset(bytes, 7, len);
	return *(const int *)arg;
}

static void a_brief_secret_is_a_secret(void **state)
{
	int good = 0, bad = -1;

	(void)state;
	for (size_t i = 0; i < LENGTHS; i++) {
		scoped_secret struct secret *secret = secret_make_brief(lengths[i], fill, &good);
		assert_int_equal(secret_len(secret), lengths[i]);
		for (size_t at = 0; at < lengths[i]; at++)
			assert_int_equal(secret_bytes(secret)[at], 7);
		assert_null(secret_make_brief(lengths[i], fill, &bad));
	}
	scoped_secret struct secret *large = secret_make_brief(65536, fill, &good);
	assert_int_equal(secret_len(large), 65536);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_slot_is_zeros_whoever_had_it_before),
	    cmocka_unit_test(given_back_bytes_are_wiped_at_once),
	    cmocka_unit_test(slots_in_use_never_overlap),
	    cmocka_unit_test(who_wrote_beyond_a_slot_is_found),
	    cmocka_unit_test(threads_share_it),
	    cmocka_unit_test(a_brief_secret_is_a_secret),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
