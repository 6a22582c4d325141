/* What a snapshot is searched for: what is live, and what a start was given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scoped.h"
#include "proto/warden.h"
#include "services/warden/secret_files.h"

#define LONG_NAME "a23456789012345678901234567890123456789012345678901234567890"

static int live, folder;
static char at[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(at, sizeof(at), "/tmp/multiclaw-secrets-XXXXXX");
	live = memfd_create("live", MFD_CLOEXEC);
	folder = mkdtemp(at) ? open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return live >= 0 && folder >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	bool is_gone = secret_files_wipe(folder) && rmdir(at) == 0;
	close(live);
	close(folder);
	return is_gone ? 0 : -1;
}

static void add_live(const char *path, const char *text)
{
	struct warden_file head = {
	    .size = (uint32_t)strlen(text), .mode = 0400, .path_len = (uint16_t)strlen(path)};
	assert_int_equal(write(live, &head, sizeof(head)), sizeof(head));
	assert_int_equal(write(live, path, head.path_len), head.path_len);
	assert_int_equal(write(live, text, head.size), (int)head.size);
}

static void give(const char *path, const char *text)
{
	scoped_fd int fd = openat(folder, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
}

/* path=text of each, by lines. */
static void read_all(int fd, char *lines, size_t room)
{
	struct warden_file head;
	size_t len = 0;
	lines[0] = '\0';
	for (off_t from = 0; pread(fd, &head, sizeof(head), from) == sizeof(head);) {
		from += (off_t)sizeof(head);
		assert_true(len + head.path_len + head.size + 3 < room);
		assert_int_equal(head.mode, 0400);
		assert_int_equal(pread(fd, lines + len, head.path_len, from), head.path_len);
		len += head.path_len;
		lines[len++] = '=';
		from += head.path_len;
		assert_int_equal(pread(fd, lines + len, head.size, from), (int)head.size);
		len += head.size;
		lines[len++] = '\n';
		lines[len] = '\0';
		from += head.size;
	}
}

static void what_was_given_comes_behind_what_is_live_unless_it_is_the_same(void **state)
{
	char lines[512];
	struct error err;
	(void)state;
	add_live("custom/key", "new");
	add_live("same", "as ever");
	add_live("llm/X_BASE_URL", "");
	mkdirat(folder, "custom", 0500);
	mkdirat(folder, "llm", 0500);
	give("custom/key", "old");
	give("same", "as ever");
	give("llm/X_BASE_URL", "http://10.0.0.1");
	scoped_fd int joined = secret_files_join(live, folder, &err);
	assert_true(joined >= 0);
	read_all(joined, lines, sizeof(lines));
	assert_string_equal(
	    lines, "custom/key=new\nsame=as ever\nllm/X_BASE_URL=\ncustom/key=old\n");
	secret_files_wipe_memfd(joined);
	assert_int_equal(lseek(joined, 0, SEEK_END), 0);
}

static void either_may_be_empty(void **state)
{
	char lines[512];
	struct error err;
	(void)state;
	scoped_fd int none = secret_files_join(live, folder, &err);
	assert_true(none >= 0);
	read_all(none, lines, sizeof(lines));
	assert_string_equal(lines, "");
	give("key", "old");
	give("nothing", "");
	scoped_fd int given = secret_files_join(live, folder, &err);
	read_all(given, lines, sizeof(lines));
	assert_string_equal(lines, "key=old\n");
}

/* Nothing is saved that was searched for a part of them alone. */
static void one_that_cannot_be_read_fails_all(void **state)
{
	struct error err;
	(void)state;
	give("key", "old");
	assert_int_equal(symlinkat("key", folder, "link"), 0);
	assert_int_equal(secret_files_join(live, folder, &err), -1);
	assert_non_null(strstr(err.text, "cannot be opened"));
	assert_int_equal(unlinkat(folder, "link", 0), 0);
	assert_int_equal(secret_files_join(live, -1, &err), -1);
	assert_non_null(strstr(err.text, "cannot be listed"));
	int above = dup(folder);
	for (int depth = 0; depth < 6; depth++) {
		assert_int_equal(mkdirat(above, LONG_NAME, 0700), 0);
		int below = openat(above, LONG_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(above);
		above = below;
	}
	close(above);
	assert_int_equal(secret_files_join(live, folder, &err), -1);
	assert_non_null(strstr(err.text, "too deep"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(what_was_given_comes_behind_what_is_live_unless_it_is_the_same),
	    TEST(either_may_be_empty),
	    TEST(one_that_cannot_be_read_fails_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
