/* Whom an image's program runs as, by the image's own files. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/scoped.h"
#include "services/cli/image_tree.h"
#include "services/cli/image_user.h"

static void write_file(int folder, const char *name, const char *text)
{
	scoped_fd int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static const char *resolve(int folder, const char *user, char text[IMAGE_USER_TEXT_MAX])
{
	struct error err = {0};

	return image_user_resolve(folder, user, text, &err) == 0 ? text : "refused";
}

static void finds_users_and_groups_by_name_and_number(void **state)
{
	static const struct {
		const char *user, *expected;
	} cases[] = {{"", "0:0"}, {"root", "0:0"}, {"node", "10:20"}, {"node:", "10:20"},
	    {"10", "10:20"}, {"11", "11:0"}, {"11:12", "11:12"}, {"node:staff", "10:50"},
	    {":staff", "0:50"}, {"65535", "65535:0"}, {"65536", "refused"}, {"nobody", "refused"},
	    {"node:none", "refused"}, {"node:70000", "refused"}, {"big", "refused"},
	    {"short", "refused"}, {"last", "7:8"}, {"-1", "refused"}, {"1 ", "refused"}};
	char dir[] = "/tmp/mc-unit-XXXXXX", text[IMAGE_USER_TEXT_MAX];
	struct error err = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	scoped_fd int folder = open(dir, O_RDONLY | O_DIRECTORY);
	assert_string_equal(resolve(folder, "1000:1000", text), "1000:1000");
	assert_string_equal(resolve(folder, "node", text), "refused");
	mkdirat(folder, "etc", 0755);
	write_file(folder, "etc/passwd",
	    "root:x:0:0:::\n\nnode:x:10:20:::\nnode:x:99:99:::\nbig:x:99999:1:::\nshort:x\nlast:x:"
	    "7:8");
	write_file(folder, "etc/group", "root:x:0:\nstaff:x:50:\nnone:x:-1:\n");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(resolve(folder, cases[i].user, text), cases[i].expected);
	assert_int_equal(image_tree_remove(AT_FDCWD, dir, &err), 0);
	assert_int_equal(access(dir, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(finds_users_and_groups_by_name_and_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
