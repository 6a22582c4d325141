#include <fcntl.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/scoped.h"
#include "services/packer/extents.h"
#include "services/packer/links.h"
#include "services/packer/survey.h"
#include "tests/unit/common/scratch.h"

static char folder[] = "/tmp/walk.XXXXXX";
static int root;

static void put(const char *path, const char *text)
{
	scoped_fd int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static int make_tree(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/walk.XXXXXX");
	assert_non_null(mkdtemp(folder));
	root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < 5; i++) {
		static const char *const folders[] = {"a", "a/b", "a/b/empty", "other", "a/b/deep"};
		assert_int_equal(mkdirat(root, folders[i], 0755), 0);
	}
	put("a/b/two", "22");
	put("a/b/one", "1");
	put("a/x", "not in the root");
	put("other/y", "y");
	assert_int_equal(symlinkat("/etc", root, "a/b/link"), 0);
	assert_int_equal(mkfifoat(root, "a/b/fifo", 0600), 0);
	return 0;
}

static int remove_tree(void **state)
{
	(void)state;
	close(root);
	return scratch_remove(folder);
}

/* ---- walk ---- */

static int list(void *arg, const struct walk_item *item, struct error *err)
{
	char *text = arg;

	(void)err;
	snprintf(text + strlen(text), 4096 - strlen(text), "%s%s ", item->path,
	    S_ISDIR(item->st.st_mode) ? "/"
	    : item->target            ? "@"
				      : "");
	return 0;
}

/* roots, excluded: names with a space behind each. */
static void pack_names(const char *names, char to[WARDEN_ROOTS_BYTES])
{
	memset(to, 0, WARDEN_ROOTS_BYTES);
	for (size_t i = 0, n = strlen(names); i < n; i++)
		to[i] = names[i] == ' ' ? '\0' : names[i];
}

static uint64_t walked(const char *roots, const char *excluded, char found[4096])
{
	static char texts[2][WARDEN_ROOTS_BYTES];
	static struct paths lists[2];
	struct error err = {0};
	struct walk walk = {
	    .root = root, .roots = &lists[0], .excluded = &lists[1], .visit = list, .arg = found};

	pack_names(roots, texts[0]);
	pack_names(excluded, texts[1]);
	assert_int_equal(paths_read(texts[0], &lists[0], &err), 0);
	assert_int_equal(paths_read(texts[1], &lists[1], &err), 0);
	found[0] = '\0';
	assert_int_equal(walk_run(&walk, &err), 0);
	return walk.skipped;
}

static void visits_roots_in_order_and_nothing_else(void **state)
{
	char found[4096];

	(void)state;
	assert_int_equal(walked("a/b ", "", found), 1);
	assert_string_equal(found, "a/ a/b/ a/b/deep/ a/b/empty/ a/b/link@ a/b/one a/b/two ");
	walked("other a/x a/b/one missing a/b/link/passwd ", "", found);
	assert_string_equal(found, "a/ a/b/ a/b/one a/x other/ other/y ");
	walked("a/b a a/b/one ", "", found);
	assert_string_equal(found, "a/ a/b/ a/b/deep/ a/b/empty/ a/b/link@ a/b/one a/b/two a/x ");
	walked(". ", "", found);
	assert_string_equal(
	    found, "a/ a/b/ a/b/deep/ a/b/empty/ a/b/link@ a/b/one a/b/two a/x other/ other/y ");
}

static void leaves_out_what_is_excluded(void **state)
{
	char found[4096];

	(void)state;
	walked("a other ", "a/b/one a/b/e other/y ", found);
	assert_string_equal(found, "a/ a/b/ a/b/deep/ a/b/empty/ a/b/link@ a/b/two a/x other/ ");
	walked("a ", "a/b ", found);
	assert_string_equal(found, "a/ a/x ");
	walked("a other ", ". ", found);
	assert_string_equal(found, "");
}

static void refuses_names_that_are_no_names(void **state)
{
	static const char *const wrong[] = {
	    "/etc ", "../x ", "a/../b ", "a//b ", "a/ ", "./a ", "a/. ", ".. "};
	char text[WARDEN_ROOTS_BYTES];
	static struct paths paths;
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		pack_names(wrong[i], text);
		assert_int_equal(paths_read(text, &paths, &err), -1);
	}
	memset(text, 'a', sizeof(text));
	assert_int_equal(paths_read(text, &paths, &err), -1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(paths_read(text, &paths, &err), -1);
}

static void skips_what_is_too_deep(void **state)
{
	char found[4096];
	int at = openat(root, "other", O_RDONLY | O_DIRECTORY);

	(void)state;
	for (int i = 0; i < WALK_DEPTH_MAX + 10; i++) {
		assert_int_equal(mkdirat(at, "d", 0755), 0);
		int below = openat(at, "d", O_RDONLY | O_DIRECTORY);
		close(at);
		at = below;
	}
	close(at);
	assert_int_equal(walked("other ", "", found), 1);
	assert_true(strlen(found) > 1000);
}

/* ---- fingerprint ---- */

static struct survey surveyed(const char *roots, const char *excluded)
{
	static char texts[2][WARDEN_ROOTS_BYTES], where[WALK_PATH_MAX];
	static struct paths lists[2];
	struct survey survey = {0};
	struct error err = {0};

	pack_names(roots, texts[0]);
	pack_names(excluded, texts[1]);
	assert_int_equal(paths_read(texts[0], &lists[0], &err), 0);
	assert_int_equal(paths_read(texts[1], &lists[1], &err), 0);
	assert_int_equal(survey_make(root, &lists[0], &lists[1], &survey, where, &err), 0);
	return survey;
}

static bool is_same(const struct survey *a)
{
	const struct survey b = surveyed("a ", "");

	return memcmp(a->fingerprint, b.fingerprint, FINGERPRINT_BYTES) == 0;
}

static void has_one_fingerprint_until_something_changes(void **state)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 5, .tv_nsec = 6}};
	struct survey survey = surveyed("a ", "");

	(void)state;
	assert_true(is_same(&survey));
	assert_int_equal(survey.bytes, 18);
	put("other/z", "elsewhere");
	put("a/b/some.db-shm", "what SQLite shares");
	assert_true(is_same(&survey));

	for (int i = 0; i < 6; i++) {
		survey = surveyed("a ", "");
		switch (i) {
		case 0:
			put("a/b/one", "2");
			break;
		case 1:
			assert_int_equal(fchmodat(root, "a/b", 0700, 0), 0);
			break;
		case 2:
			assert_int_equal(utimensat(root, "a/b/two", times, 0), 0);
			break;
		case 3:
			assert_int_equal(unlinkat(root, "a/b/link", 0), 0);
			assert_int_equal(symlinkat("/usr", root, "a/b/link"), 0);
			break;
		case 4:
			assert_int_equal(renameat(root, "a/b/two", root, "a/b/three"), 0);
			break;
		default:
			assert_int_equal(mkdirat(root, "a/b/empty/more", 0755), 0);
		}
		assert_false(is_same(&survey));
	}
	survey = surveyed("a ", "a/x ");
	assert_false(is_same(&survey));
	survey = surveyed("a missing ", "");
	assert_false(is_same(&survey));
}

static void counts_no_holes(void **state)
{
	scoped_fd int fd = openat(root, "other/hole", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	struct extents extents;
	struct error err = {0};
	struct stat st;

	(void)state;
	assert_int_equal(ftruncate(fd, INT64_C(1) << 40), 0);
	assert_int_equal(pwrite(fd, "data", 4, INT64_C(1) << 39), 4);
	assert_true(surveyed("other ", "").bytes < 100000);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(extents_read(fd, &st, &extents, &err), 0);
	assert_int_equal(extents.n, 1);
	assert_int_equal(extents.extent[0].offset, INT64_C(1) << 39);
	assert_true(extents.bytes < 100000);
	extents_free(&extents);
}

static void knows_the_first_name_of_a_file(void **state)
{
	struct links *links = links_new();
	char path[32];

	(void)state;
	for (ino_t i = 1; i < LINKS_MAX + 100; i++) {
		snprintf(path, sizeof(path), "f%lu", (unsigned long)i);
		links_add(links, i << 32, path);
	}
	links_add(links, (ino_t)1 << 32, "second");
	assert_string_equal(links_find(links, (ino_t)1 << 32), "f1");
	assert_string_equal(links_find(links, (ino_t)LINKS_MAX << 32), "f100000");
	assert_null(links_find(links, (ino_t)(LINKS_MAX + 1) << 32));
	links_destroy(&links);
	assert_null(links);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		visits_roots_in_order_and_nothing_else, make_tree, remove_tree),
	    cmocka_unit_test_setup_teardown(leaves_out_what_is_excluded, make_tree, remove_tree),
	    cmocka_unit_test(refuses_names_that_are_no_names),
	    cmocka_unit_test_setup_teardown(skips_what_is_too_deep, make_tree, remove_tree),
	    cmocka_unit_test_setup_teardown(
		has_one_fingerprint_until_something_changes, make_tree, remove_tree),
	    cmocka_unit_test_setup_teardown(counts_no_holes, make_tree, remove_tree),
	    cmocka_unit_test(knows_the_first_name_of_a_file),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
