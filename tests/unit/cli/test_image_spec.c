/* What an image layout says of itself, read as a stranger's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/scoped.h"
#include "services/cli/image_spec.h"

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define MANIFEST(hex, more) \
	"{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:" hex \
	"\",\"size\":7" more "}"
#define NAMED(name) ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"}"
#define INDEX(manifests) "{\"schemaVersion\":2,\"manifests\":[" manifests "]}"
#define CONFIG(config) "{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":" config "}"

static json_t *parse(const char *text)
{
	struct error err = {0};
	json_t *json = image_json(text, strlen(text), "it", &err);

	if (!json)
		print_message("%s\n", err.text);
	assert_non_null(json);
	return json;
}

static void refuses_json_that_is_no_object_or_says_a_thing_twice(void **state)
{
	static const char *const bad[] = {"", "{", "[]", "1", "null", "{}x", "{\"a\":1,\"a\":2}",
	    "{\"a\":\"\\u0000\"}", "{\"a\":\"\xff\"}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct error err = {0};
		assert_null(image_json(bad[i], strlen(bad[i]), "it", &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
	struct error err = {0};
	assert_null(image_json("{}", IMAGE_JSON_MAX + 1, "it", &err));
}

static void chooses_the_manifest_that_is_meant(void **state)
{
	static const struct {
		const char *index, *tag, *hex; /* hex NULL: refused */
	} cases[] = {
	    {INDEX(MANIFEST(HEX_A, "")), NULL, HEX_A},
	    {INDEX(MANIFEST(HEX_A, NAMED("v1"))), NULL, HEX_A},
	    {INDEX(MANIFEST(HEX_A, NAMED("v1"))), "v1", HEX_A},
	    {INDEX(MANIFEST(HEX_A, NAMED("v1"))), "v2", NULL},
	    {INDEX(MANIFEST(HEX_A, "")), "latest", NULL},
	    {INDEX(MANIFEST(HEX_A, NAMED("v1")) "," MANIFEST(HEX_B, NAMED("latest"))), NULL, HEX_B},
	    {INDEX(MANIFEST(HEX_A, NAMED("v1")) "," MANIFEST(HEX_B, "")), NULL, NULL},
	    {INDEX(MANIFEST(HEX_A, NAMED("v1")) "," MANIFEST(HEX_B, NAMED("v1"))), "v1", NULL},
	    {INDEX(""), NULL, NULL},
	    {INDEX("5"), NULL, NULL},
	    {"{\"schemaVersion\":1,\"manifests\":[" MANIFEST(HEX_A, "") "]}", NULL, NULL},
	    {"{\"schemaVersion\":2}", NULL, NULL},
	    {INDEX("{\"mediaType\":\"application/"
		   "vnd.oci.image.index.v1+json\",\"digest\":\"sha256:" HEX_A "\",\"size\":7}"),
		NULL, NULL},
	    {INDEX(MANIFEST(HEX_A, ",\"urls\":[]")), NULL, NULL},
	    {INDEX(
		 MANIFEST("../../../../../../../../../../../../../../../../../../etc/passwd1", "")),
		NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		scoped_json json_t *index = parse(cases[i].index);
		struct image_descriptor manifest;
		struct error err = {0};
		int rc = image_spec_index(index, cases[i].tag, &manifest, &err);
		assert_int_equal(rc, cases[i].hex ? 0 : -1);
		if (cases[i].hex)
			assert_string_equal(manifest.hex, cases[i].hex);
	}
}

static void reads_what_is_run(void **state)
{
	scoped_json json_t *json = parse(
	    CONFIG("{\"Entrypoint\":[\"/app\",\"-x\"],\"Cmd\":null,\"Env\":[\"A=b=c\",\"E=\"],"
		   "\"WorkingDir\":\"/srv\",\"User\":\"node\",\"Labels\":{\"x\":\"y\"}}"));
	scoped_image_config struct image_config config = {0};
	struct error err = {0};

	(void)state;
	assert_int_equal(image_spec_config(json, "amd64", &config, &err), 0);
	assert_string_equal(json_string_value(json_array_get(config.entrypoint, 1)), "-x");
	assert_int_equal(json_array_size(config.cmd), 0);
	assert_string_equal(json_string_value(json_array_get(config.env, 0)), "A=b=c");
	assert_string_equal(config.cwd, "/srv");
	assert_string_equal(config.user, "node");
}

static void a_command_alone_is_a_program_and_no_folder_is_the_root(void **state)
{
	scoped_json json_t *json = parse(CONFIG("{\"Cmd\":[\"/app\"],\"WorkingDir\":\"\"}"));
	scoped_image_config struct image_config config = {0};
	struct error err = {0};

	(void)state;
	assert_int_equal(image_spec_config(json, "amd64", &config, &err), 0);
	assert_string_equal(config.cwd, "/");
	assert_string_equal(config.user, "");
}

static void refuses_a_configuration_that_is_not_understood_whole(void **state)
{
	static const char *const bad[] = {
	    "{}",
	    CONFIG("{}"),
	    CONFIG("null"),
	    CONFIG("{\"Cmd\":[]}"),
	    CONFIG("{\"Cmd\":[\"\"]}"),
	    CONFIG("{\"Cmd\":\"/app\"}"),
	    CONFIG("{\"Cmd\":[\"/app\",5]}"),
	    CONFIG("{\"Cmd\":[\"/app\"],\"Env\":[\"A\"]}"),
	    CONFIG("{\"Cmd\":[\"/app\"],\"Env\":[\"=b\"]}"),
	    CONFIG("{\"Cmd\":[\"/app\"],\"Env\":[\"A\\n=b\"]}"),
	    CONFIG("{\"Cmd\":[\"/app\"],\"Env\":{}}"),
	    CONFIG("{\"Cmd\":[\"/app\"],\"WorkingDir\":\"srv\"}"),
	    CONFIG("{\"Cmd\":[\"/app\"],\"WorkingDir\":\"/srv/..\"}"),
	    CONFIG("{\"Cmd\":[\"/app\"],\"WorkingDir\":\"/srv/./x\"}"),
	    CONFIG("{\"Cmd\":[\"/app\"],\"WorkingDir\":\"/proc\"}"),
	    CONFIG("{\"Cmd\":[\"/app\"],\"WorkingDir\":\"///proc/self/fd/7\"}"),
	    CONFIG("{\"Cmd\":[\"/app\"],\"WorkingDir\":\"/sys/fs\"}"),
	    CONFIG("{\"Cmd\":[\"/app\"],\"WorkingDir\":[]}"),
	    CONFIG("{\"Cmd\":[\"/app\"],\"User\":7}"),
	    CONFIG("{\"Cmd\":[\"/app\"],\"User\":\"a\\tb\"}"),
	    "{\"os\":\"linux\",\"architecture\":\"arm64\",\"config\":{\"Cmd\":[\"/app\"]}}",
	    "{\"os\":\"darwin\",\"architecture\":\"amd64\",\"config\":{\"Cmd\":[\"/app\"]}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		scoped_json json_t *json = parse(bad[i]);
		scoped_image_config struct image_config config = {0};
		struct error err = {0};
		if (image_spec_config(json, "amd64", &config, &err) == 0)
			fail_msg("%s", bad[i]);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

static void a_folder_that_only_begins_like_proc_is_the_images(void **state)
{
	scoped_json json_t *json =
	    parse(CONFIG("{\"Cmd\":[\"/app\"],\"WorkingDir\":\"/processes\"}"));
	scoped_image_config struct image_config config = {0};
	struct error err = {0};

	(void)state;
	assert_int_equal(image_spec_config(json, "amd64", &config, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(refuses_json_that_is_no_object_or_says_a_thing_twice),
	    cmocka_unit_test(chooses_the_manifest_that_is_meant),
	    cmocka_unit_test(reads_what_is_run),
	    cmocka_unit_test(a_command_alone_is_a_program_and_no_folder_is_the_root),
	    cmocka_unit_test(refuses_a_configuration_that_is_not_understood_whole),
	    cmocka_unit_test(a_folder_that_only_begins_like_proc_is_the_images),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
