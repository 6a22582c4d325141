#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "common/error.h"
#include "common/wire.h"
#include "tests/unit/common/capture.h"

static void fills_code_and_text_and_returns_minus_one(void **state)
{
	struct error err = {.reason = "old", .retry_after_s = 9};

	(void)state;
	assert_int_equal(error_set(&err, ERR_DENIED, "nonce %s expired", "abc"), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_string_equal(err.text, "nonce abc expired");
	assert_string_equal(err.reason, "");
	assert_int_equal(err.retry_after_s, 0);
}

static void a_refusal_carries_its_stable_reason(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(
	    error_refuse(&err, ERR_UNAUTHENTICATED, "nonce_unknown", "no nonce %d", 7), -1);
	assert_int_equal(err.code, ERR_UNAUTHENTICATED);
	assert_string_equal(err.reason, "nonce_unknown");
	assert_string_equal(err.text, "no nonce 7");
}

static void accepts_that_nobody_wants_to_know(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, ERR_INVALID, "%s", "x"), -1);
	assert_int_equal(error_refuse(NULL, ERR_INVALID, "r", "%s", "x"), -1);
}

static void may_quote_the_error_it_replaces(void **state)
{
	struct error err;

	(void)state;
	error_refuse(&err, ERR_TIMEOUT, "slow_peer", "no answer");
	error_refuse(&err, ERR_UNAVAILABLE, err.reason, "redis: %s", err.text);
	assert_string_equal(err.text, "redis: no answer");
	assert_string_equal(err.reason, "slow_peer");
}

static void cuts_a_text_that_is_too_long_between_characters(void **state)
{
	static const char *const characters[] = {
	    "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\xa6\x80"};
	char text[3 * ERROR_TEXT_MAX];
	struct error err;

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(characters); c++) {
		for (size_t offset = 0; offset < 4; offset++) {
			size_t len = offset, n = strlen(characters[c]);
			memset(text, 'x', offset);
			for (; len + n < sizeof(text); len += n)
				memcpy(text + len, characters[c], n);
			text[len] = '\0';
			error_set(&err, ERR_INVALID, "%s", text);
			assert_true(strlen(err.text) > ERROR_TEXT_MAX - 1 - n);
			assert_true(utf8_is_valid(err.text, strlen(err.text)));
		}
	}
}

static void survives_a_long_text_that_is_no_utf8(void **state)
{
	char text[2 * ERROR_TEXT_MAX];
	struct error err;

	(void)state;
	memset(text, 0x80, sizeof(text));
	text[sizeof(text) - 1] = '\0';
	error_set(&err, ERR_INVALID, "%s", text);
	assert_true(strlen(err.text) >= ERROR_TEXT_MAX - 5);
}

static void cuts_a_reason_that_is_too_long(void **state)
{
	struct error err;
	char reason[100];

	(void)state;
	memset(reason, 'r', sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	error_refuse(&err, ERR_INVALID, reason, "x");
	assert_int_equal(strlen(err.reason), ERROR_REASON_MAX);
}

static void every_code_has_a_name_and_the_name_leads_back(void **state)
{
	(void)state;
	for (int code = ERR_NONE; code <= ERR_INTERNAL; code++) {
		const char *name = error_name((enum error_code)code);
		assert_true(strlen(name) >= 2 && strlen(name) <= 24);
		assert_int_equal(error_from_name(name), code);
	}
	assert_string_equal(error_name(ERR_NONE), "ok");
}

static void an_unknown_name_is_internal(void **state)
{
	(void)state;
	assert_int_equal(error_from_name("sunny"), ERR_INTERNAL);
	assert_int_equal(error_from_name(""), ERR_INTERNAL);
	assert_int_equal(error_from_name("OK"), ERR_INTERNAL);
}

/* How a child that runs fn ends; what it wrote goes into said. */
static int status_of(void (*fn)(void), char *said, size_t size)
{
	struct capture capture = capture_begin();
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	capture_end(&capture, said, size);
	return status;
}

static void run_bug(void)
{
	bug_if(1 + 1 == 2);
}

static void run_no_bug(void)
{
	bug_if(1 + 1 == 3);
}

static void run_fatal(void)
{
	fatal("no key in %s", "keys/x");
}

static void a_bug_says_where_and_aborts(void **state)
{
	char said[2000];
	int status = status_of(run_bug, said, sizeof(said));

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_non_null(strstr(said, "1 + 1 == 2"));
	assert_non_null(strstr(said, "test_error.c"));
	assert_int_equal(status_of(run_no_bug, said, sizeof(said)), 0);
}

static void fatal_says_why_and_exits_with_1(void **state)
{
	char said[2000];
	int status = status_of(run_fatal, said, sizeof(said));

	(void)state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_non_null(strstr(said, "no key in keys/x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fills_code_and_text_and_returns_minus_one),
	    cmocka_unit_test(a_refusal_carries_its_stable_reason),
	    cmocka_unit_test(accepts_that_nobody_wants_to_know),
	    cmocka_unit_test(may_quote_the_error_it_replaces),
	    cmocka_unit_test(cuts_a_text_that_is_too_long_between_characters),
	    cmocka_unit_test(survives_a_long_text_that_is_no_utf8),
	    cmocka_unit_test(cuts_a_reason_that_is_too_long),
	    cmocka_unit_test(every_code_has_a_name_and_the_name_leads_back),
	    cmocka_unit_test(an_unknown_name_is_internal),
	    cmocka_unit_test(a_bug_says_where_and_aborts),
	    cmocka_unit_test(fatal_says_why_and_exits_with_1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
