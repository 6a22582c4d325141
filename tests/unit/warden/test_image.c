#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "services/warden/image.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int parse(const char *fields, struct image *image, struct error *err)
{
	char text[4096];
	int len = snprintf(
	    text, sizeof(text), "{\"digest\":\"%s\"%s%s}", DIGEST, *fields ? "," : "", fields);

	return image_parse(text, (size_t)len, DIGEST, image, err);
}

static void takes_what_an_import_writes(void **state)
{
	struct image image;
	struct error err = {0};

	(void)state;
	assert_int_equal(parse("\"entrypoint\":[\"/a\"],\"cmd\":[\"b\"],\"env\":[\"A=b\"],"
			       "\"cwd\":\"/app\",\"user\":\"12:34\"",
			     &image, &err),
	    0);
	assert_int_equal(json_array_size(image.args), 2);
	assert_string_equal(json_string_value(json_array_get(image.args, 1)), "b");
	assert_string_equal(image.cwd, "/app");
	assert_int_equal(image.uid, 12);
	assert_int_equal(image.gid, 34);
	image_free(&image);
}

static void is_nobody_special_where_the_image_says_nothing(void **state)
{
	struct image image;
	struct error err = {0};

	(void)state;
	assert_int_equal(parse("\"cmd\":[\"/a\"],\"user\":\"\",\"cwd\":\"\"", &image, &err), 0);
	assert_int_equal(image.uid, 1000);
	assert_int_equal(image.gid, 1000);
	assert_string_equal(image.cwd, "/");
	image_free(&image);
}

static void refuses_what_is_hostile(void **state)
{
	static const char *const hostile[] = {"", "\"cmd\":[]", "\"cmd\":[\"\"]", "\"cmd\":\"/a\"",
	    "\"cmd\":[1]", "\"cmd\":[\"/a\\u0000b\"]", "\"cmd\":[\"/a\"],\"cmd\":[\"/b\"]",
	    "\"cmd\":[\"/a\"],\"cwd\":\"/proc/self/fd/7\"", "\"cmd\":[\"/a\"],\"cwd\":\"/proc\"",
	    "\"cmd\":[\"/a\"],\"cwd\":\"//proc\"", "\"cmd\":[\"/a\"],\"cwd\":\"/a/../proc\"",
	    "\"cmd\":[\"/a\"],\"cwd\":\"/a/..\"", "\"cmd\":[\"/a\"],\"cwd\":\"/./proc\"",
	    "\"cmd\":[\"/a\"],\"cwd\":\"a\"", "\"cmd\":[\"/a\"],\"cwd\":7",
	    "\"cmd\":[\"/a\"],\"user\":\"65536\"", "\"cmd\":[\"/a\"],\"user\":\"-1\"",
	    "\"cmd\":[\"/a\"],\"user\":\"root\"", "\"cmd\":[\"/a\"],\"user\":\"1:\"",
	    "\"cmd\":[\"/a\"],\"user\":\"1:2:3\"", "\"cmd\":[\"/a\"],\"user\":0",
	    "\"cmd\":[\"/a\"],\"env\":[\"=b\"]", "\"cmd\":[\"/a\"],\"env\":[\"A\"]",
	    "\"cmd\":[\"/a\"],\"env\":[\"1=b\"]", "\"cmd\":[\"/a\"],\"env\":[\"A B=c\"]",
	    "\"cmd\":[\"/a\"],\"env\":[\"_LIBCONTAINER_FIFOFD=3\"]"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		struct image image;
		struct error err = {0};
		if (parse(hostile[i], &image, &err) == 0)
			fail_msg("takes %s", hostile[i]);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(takes_what_an_import_writes),
	    cmocka_unit_test(is_nobody_special_where_the_image_says_nothing),
	    cmocka_unit_test(refuses_what_is_hostile)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
