#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/scoped.h"
#include "common/secret.h"

static char folder[] = "/tmp/test_secret.XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	(void)state;
	if (sodium_init() < 0 || !mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/s", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void write_file(const void *bytes, size_t len, mode_t mode)
{
	unlink(path);
	scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
}

static void holds_a_copy(void **state)
{
	char bytes[] = "hunter2";
	scoped_secret struct secret *secret = secret_new(bytes, 7);

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(secret_len(secret), 7);
	assert_memory_equal(secret_bytes(secret), "hunter2", 7);
}

static void may_be_empty(void **state)
{
	scoped_secret struct secret *secret = secret_new(NULL, 0);

	(void)state;
	assert_int_equal(secret_len(secret), 0);
	assert_true(secret_equal(secret, "", 0));
	assert_false(secret_equal(secret, "x", 1));
}

static void destroying_twice_is_harmless(void **state)
{
	struct secret *secret = secret_new("x", 1);

	(void)state;
	secret_destroy(&secret);
	assert_null(secret);
	secret_destroy(&secret);
}

static void is_equal_only_to_the_same_bytes(void **state)
{
	scoped_secret struct secret *secret = secret_new("hunter2", 7);

	(void)state;
	assert_true(secret_equal(secret, "hunter2", 7));
	assert_false(secret_equal(secret, "hunter3", 7));
	assert_false(secret_equal(secret, "hunter", 6));
	assert_false(secret_equal(secret, "hunter2\0", 8));
}

static void cannot_be_changed_once_made(void **state)
{
	scoped_secret struct secret *secret = secret_new("hunter2", 7);
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile uint8_t *)(uintptr_t)secret_bytes(secret) = 'x';
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
}

static int fill_or_fail(void *arg, uint8_t *bytes, size_t len)
{
	memset(bytes, 'x', len);
	return *(int *)arg;
}

static void is_made_in_place_or_not_at_all(void **state)
{
	int rc = 0;
	scoped_secret struct secret *secret = secret_make(3, fill_or_fail, &rc);

	(void)state;
	assert_true(secret_equal(secret, "xxx", 3));
	rc = -1;
	assert_null(secret_make(3, fill_or_fail, &rc));
	rc = 1;
	assert_null(secret_make(0, fill_or_fail, &rc));
}

static void reads_a_private_file_without_its_last_newline(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {{"pass\n", 4}, {"pass", 4}, {"pass\n\n", 5}, {"p", 1}, {"12345678", 8},
	    {"12345678\n", 8}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		write_file(cases[i].text, strlen(cases[i].text), 0600);
		scoped_secret struct secret *secret = secret_read_file(path, 8, NULL);
		assert_non_null(secret);
		assert_true(secret_equal(secret, cases[i].text, cases[i].len));
	}
}

static void refuses_a_file_that_is_empty_or_too_long(void **state)
{
	static const char *const texts[] = {"", "\n", "123456789", "123456789\n", "12345678\n\n"};
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		write_file(texts[i], strlen(texts[i]), 0600);
		assert_null(secret_read_file(path, 8, &err));
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.text, path));
	}
}

static void refuses_a_file_open_to_others(void **state)
{
	static const mode_t modes[] = {0640, 0604, 0644, 0660, 0620, 0602, 0610, 0601};
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		write_file("pass", 4, modes[i]);
		assert_null(secret_read_file(path, 8, &err));
		assert_int_equal(err.code, ERR_DENIED);
		assert_non_null(strstr(err.text, path));
	}
}

#define NOBODY 65534

/* Of version 2: user::r--, user:65534:r--, group::---, mask::r--, other::--- (acl(5), in the kernel's form). */
static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 4, 0, 255, 255, 255, 255, 2, 0, 4, 0, 254, 255, 0,
    0, 4, 0, 0, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255,
    255};

/* In a process that is not root's: 0 if it can read the file. */
static int read_as_nobody(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct error err;
		if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
		    setresuid(NOBODY, NOBODY, NOBODY) != 0)
			_exit(2);
		_exit(secret_read_file(path, 8, &err) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WEXITSTATUS(status);
}

static void reads_a_credential_that_an_acl_hands_over(void **state)
{
	(void)state;
	write_file("pass", 4, 0400);
	if (geteuid() != 0 || setxattr(path, "system.posix_acl_access", acl, sizeof(acl), 0) != 0) {
		print_message("skipped: takes root and a file system with ACLs\n");
		skip();
	}
	assert_int_equal(chmod(folder, 0711), 0);
	assert_int_equal(read_as_nobody(), 0);
	/* not so somebody else's file, nor one of another group */
	assert_int_equal(chown(path, 0, 1), 0);
	assert_int_equal(read_as_nobody(), 1);
	assert_int_equal(chown(path, 1, 0), 0);
	assert_int_equal(read_as_nobody(), 1);
}

static void refuses_what_is_not_a_regular_file_and_does_not_hang(void **state)
{
	struct error err;

	(void)state;
	unlink(path);
	assert_null(secret_read_file(path, 8, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_null(secret_read_file(folder, 8, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_null(secret_read_file(path, 8, &err));
	assert_int_equal(err.code, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(holds_a_copy),
	    cmocka_unit_test(may_be_empty),
	    cmocka_unit_test(destroying_twice_is_harmless),
	    cmocka_unit_test(is_equal_only_to_the_same_bytes),
	    cmocka_unit_test(cannot_be_changed_once_made),
	    cmocka_unit_test(is_made_in_place_or_not_at_all),
	    cmocka_unit_test(reads_a_private_file_without_its_last_newline),
	    cmocka_unit_test(refuses_a_file_that_is_empty_or_too_long),
	    cmocka_unit_test(refuses_a_file_open_to_others),
	    cmocka_unit_test(reads_a_credential_that_an_acl_hands_over),
	    cmocka_unit_test(refuses_what_is_not_a_regular_file_and_does_not_hang),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
