/* Paths of secrets in a container: each kind's, and back from every one of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "services/secret-vault/file_name.h"

static struct providers *providers;

static const struct {
	const char *kind, *name, *path;
} files[] = {
    {"bot", "signal", "bot/signal"},
    {"custom", "a-b_9", "custom/a-b_9"},
    {"custom", "channels", "custom/channels"},
    {"llm", "gemini", "llm/GEMINI_API_KEY"},
    {"wallet", "hot", "wallet/hot.json"},
};

static struct file_name name_of(const char *kind, const char *name)
{
	struct file_name file = {0};
	memcpy(file.kind, kind, strlen(kind));
	memcpy(file.name, name, strlen(name));
	return file;
}

static void each_secret_has_one_path_that_leads_back_to_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct file_name name = name_of(files[i].kind, files[i].name), back;
		char path[FILE_PATH_MAX + 1];
		struct error err;
		assert_true(file_name_path(providers, &name, path));
		assert_string_equal(path, files[i].path);
		assert_int_equal(file_name_parse(providers, path, &back, &err), 0);
		assert_int_equal(file_name_compare(&name, &back), 0);
	}
}

static void tokens_of_channels_and_unknown_providers_are_no_files(void **state)
{
	(void)state;
	static const char *const none[][2] = {{"bot", "telegram"}, {"bot", "discord"},
	    {"bot", "slack"}, {"bot", "slack_app"}, {"llm", "openai"}};
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		const struct file_name name = name_of(none[i][0], none[i][1]);
		char path[FILE_PATH_MAX + 1];
		assert_false(file_name_path(providers, &name, path));
	}
}

static void what_is_made_at_each_start_comes_before_all_secrets(void **state)
{
	(void)state;
	static const char *const paths[] = {FILE_CHANNELS, FILE_GATEWAY_TOKEN};
	const struct file_name first = name_of("bot", "-");
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct file_name name;
		struct error err;
		assert_int_equal(file_name_parse(providers, paths[i], &name, &err), 0);
		assert_true(file_name_compare(&name, &first) < 0);
	}
}

static void refuses_paths_that_stand_for_nothing(void **state)
{
	(void)state;
	static const char long_path[] =
	    "custom/01234567890123456789012345678901234567890123456789012345678901234";
	static const char *const paths[] = {"", "/", "a", "custom", "custom/", "/custom",
	    "llm/GOOGLE_API_KEY", "llm/OPENAI_API_KEY", "llm/", "wallet/hot", "wallet/",
	    "kindkindk/a", "x/y", "channels.json/x", long_path};
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct file_name name;
		struct error err = {0};
		if (file_name_parse(providers, paths[i], &name, &err) == 0)
			fail_msg("accepted: %s", paths[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.reason, "page_invalid");
	}
}

static void names_are_in_the_order_of_their_bytes(void **state)
{
	(void)state;
	static const char *const order[][2] = {{"", ""}, {"bot", "z"}, {"custom", "-"},
	    {"custom", "0"}, {"custom", "_"}, {"custom", "a"}, {"custom", "a-"}, {"custom", "aa"},
	    {"llm", "a"}, {"wallet", "hot"}};
	for (size_t i = 1; i < ARRAY_LEN(order); i++) {
		const struct file_name a = name_of(order[i - 1][0], order[i - 1][1]),
				       b = name_of(order[i][0], order[i][1]);
		assert_true(file_name_compare(&a, &b) < 0);
		assert_true(file_name_compare(&b, &a) > 0);
	}
}

static int set_up(void **state)
{
	(void)state;
	static const char text[] =
	    "{\"providers\":[{\"name\":\"gemini\",\"env\":[\"GEMINI_API_KEY\","
	    "\"GOOGLE_API_KEY\"]}]}";
	struct error err;
	providers = providers_parse(text, sizeof(text) - 1, &err);
	return providers ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	providers_destroy(&providers);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_secret_has_one_path_that_leads_back_to_it),
	    cmocka_unit_test(tokens_of_channels_and_unknown_providers_are_no_files),
	    cmocka_unit_test(what_is_made_at_each_start_comes_before_all_secrets),
	    cmocka_unit_test(refuses_paths_that_stand_for_nothing),
	    cmocka_unit_test(names_are_in_the_order_of_their_bytes),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
