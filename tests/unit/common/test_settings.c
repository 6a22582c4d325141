#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "common/settings.h"

struct target {
	char *name;
	char *needed;
	uint64_t port;
	bool on;
	struct setting_list peers;
};

static const struct setting rows[] = {
    {"T_NAME", SETTING_STR, offsetof(struct target, name), 1, 20, "default", "A name."},
    {"T_NEEDED", SETTING_PATH, offsetof(struct target, needed), 0, 20, NULL, "Must be given."},
    {"T_PORT", SETTING_UINT, offsetof(struct target, port), 1, 65535, "8080", "A port."},
    {"T_ON", SETTING_BOOL, offsetof(struct target, on), 0, 1, "no", "On or off."},
    {"T_PEERS", SETTING_LIST, offsetof(struct target, peers), 0, 3, "", "Up to three."},
};

struct other {
	uint64_t size;
	char *name;
};

static const struct setting other_rows[] = {
    {"T_SIZE", SETTING_UINT, offsetof(struct other, size), 0, UINT64_MAX, "18446744073709551615",
	"A size."},
    {"T_NAME", SETTING_STR, offsetof(struct other, name), 0, 20, "", "The same name."},
};

static char path[] = "/tmp/test_settings.XXXXXX";
static char second[] = "/tmp/test_settings.XXXXXX";
static struct target target;
static struct other other;
static struct settings_table tables[] = {
    {&target, rows, ARRAY_LEN(rows)}, {&other, other_rows, ARRAY_LEN(other_rows)}};

static int make_files(void **state)
{
	(void)state;
	close(mkstemp(path));
	close(mkstemp(second));
	return 0;
}

static int remove_files(void **state)
{
	(void)state;
	unlink(path);
	unlink(second);
	return 0;
}

static int reset(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		unsetenv(rows[i].name);
	unsetenv("T_SIZE");
	settings_free(tables, ARRAY_LEN(tables));
	return 0;
}

static void write_bytes(const char *to, const char *text, size_t len)
{
	scoped_file FILE *file = fopen(to, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
}

static int load_text(const char *text, struct error *err)
{
	const char *files[] = {path};

	write_bytes(path, text, strlen(text));
	return settings_load(tables, ARRAY_LEN(tables), files, 1, err);
}

static void defaults_hold_when_nothing_is_said(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(load_text("T_NEEDED=x\n", &err), 0);
	assert_string_equal(target.name, "default");
	assert_string_equal(target.needed, "x");
	assert_int_equal(target.port, 8080);
	assert_false(target.on);
	assert_int_equal(target.peers.len, 0);
	assert_int_equal(other.size, UINT64_MAX);
}

static void reads_every_type(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(
	    load_text("# a comment\n\n  # another\nT_NAME=a b\nT_NEEDED=\nT_PORT=1\nT_ON=yes\n"
		      "T_PEERS= a, b ,c \nT_SIZE=0",
		&err),
	    0);
	assert_string_equal(target.name, "a b");
	assert_string_equal(other.name, "a b");
	assert_string_equal(target.needed, "");
	assert_int_equal(target.port, 1);
	assert_true(target.on);
	assert_int_equal(target.peers.len, 3);
	assert_string_equal(target.peers.item[0], "a");
	assert_string_equal(target.peers.item[1], "b");
	assert_string_equal(target.peers.item[2], "c");
	assert_int_equal(other.size, 0);
}

static void reads_quotes_as_systemd_does(void **state)
{
	static const struct {
		const char *line, *value;
	} cases[] = {
	    {"T_NAME=\"a b \"", "a b "},
	    {"T_NAME=\"say \\\"x\\\"\"", "say \"x\""},
	    {"T_NAME=\"a\\\\b\"", "a\\b"},
	    {"T_NAME=\"\\$x\\q\"", "$x\\q"},
	    {"T_NAME=a \"b\" c", "a \"b\" c"},
	    {"T_NAME=a # b", "a # b"},
	    {"T_NAME=it's", "it's"},
	    {"  T_NAME=x  \r", "x"},
	    {"T_NAME=a=b", "a=b"},
	};
	char text[200];
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text), "T_NEEDED=x\n%s\n", cases[i].line);
		if (load_text(text, &err) != 0)
			fail_msg("%s: %s", cases[i].line, err.text);
		assert_string_equal(target.name, cases[i].value);
	}
}

static void refuses_and_names_file_line_and_key(void **state)
{
	static const struct {
		const char *line, *why;
	} cases[] = {
	    {"T_UNKNOWN=1", "T_UNKNOWN is not a setting"},
	    {"t_name=x", "t_name is not a setting"},
	    {"T_NAME =x", "T_NAME  is not a setting"},
	    {"export T_NAME=x", "is not a setting"},
	    {"T_NAME", "is not NAME=value"},
	    {"=x", "is not NAME=value"},
	    {"T_NAME=", "T_NAME must be 1 to 20 bytes"},
	    {"T_NAME=123456789012345678901", "T_NAME must be 1 to 20 bytes"},
	    {"T_NAME=\"x", "T_NAME is not quoted"},
	    {"T_NAME=\"x\" y", "T_NAME is not quoted"},
	    {"T_NAME='x'", "T_NAME is not quoted"},
	    {"T_NAME=x\\", "T_NAME is not quoted"},
	    {"T_NAME=\x01", "T_NAME has a control character"},
	    {"T_NAME=a\tb", "T_NAME has a control character"},
	    {"T_NAME=\xff", "T_NAME is not valid UTF-8"},
	    {"T_PORT=0", "T_PORT must be 1 to 65535"},
	    {"T_PORT=65536", "T_PORT must be 1 to 65535"},
	    {"T_PORT=18446744073709551616", "T_PORT must be a whole number"},
	    {"T_PORT=", "T_PORT must be a whole number"},
	    {"T_PORT=+1", "T_PORT must be a whole number"},
	    {"T_PORT=-1", "T_PORT must be a whole number"},
	    {"T_PORT=0x10", "T_PORT must be a whole number"},
	    {"T_PORT=1k", "T_PORT must be a whole number"},
	    {"T_PORT=\" 1\"", "T_PORT must be a whole number"},
	    {"T_ON=maybe", "T_ON must be yes or no"},
	    {"T_ON=YES", "T_ON must be yes or no"},
	    {"T_ON=", "T_ON must be yes or no"},
	    {"T_PEERS=a,,b", "T_PEERS has an empty item"},
	    {"T_PEERS=,", "T_PEERS has an empty item"},
	    {"T_PEERS=a,", "T_PEERS has an empty item"},
	    {"T_PEERS=a,b,c,d", "T_PEERS must have 0 to 3 items"},
	};
	char text[200], place[60];
	struct error err;

	(void)state;
	snprintf(place, sizeof(place), "%s:3: ", path);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text), "# one\nT_NEEDED=x\n%s\n", cases[i].line);
		if (load_text(text, &err) == 0)
			fail_msg("accepted: %s", cases[i].line);
		assert_int_equal(err.code, ERR_INVALID);
		if (!strstr(err.text, place) || !strstr(err.text, cases[i].why))
			fail_msg("%s: %s", cases[i].line, err.text);
	}
}

static void refuses_a_nul_in_a_file(void **state)
{
	static const char text[] = "T_NEEDED=x\nT_PORT=1\0 2\n";
	const char *files[] = {path};
	struct error err;

	(void)state;
	write_bytes(path, text, sizeof(text) - 1);
	assert_int_equal(settings_load(tables, ARRAY_LEN(tables), files, 1, &err), -1);
	assert_non_null(strstr(err.text, ":2: "));
	write_bytes(path, text, sizeof(text) - 2);
	assert_int_equal(settings_load(tables, ARRAY_LEN(tables), files, 1, &err), -1);
}

static void the_environment_wins_over_files_and_later_files_over_earlier(void **state)
{
	const char *files[] = {path, second};
	struct error err;

	(void)state;
	write_bytes(path, "T_NEEDED=x\nT_PORT=1\nT_ON=1\nT_PEERS=a,b\n", 39);
	write_bytes(second, "T_PORT=2\nT_PEERS=c\n", 19);
	setenv("T_ON", "false", 1);
	setenv("T_PORT", "3", 1);
	assert_int_equal(settings_load(tables, ARRAY_LEN(tables), files, 2, &err), 0);
	assert_false(target.on);
	assert_int_equal(target.port, 3);
	assert_int_equal(target.peers.len, 1);
	assert_string_equal(target.peers.item[0], "c");
}

static void an_error_in_the_environment_names_it_and_the_key(void **state)
{
	struct error err;

	(void)state;
	setenv("T_PORT", "many", 1);
	assert_int_equal(load_text("T_NEEDED=x\n", &err), -1);
	assert_string_equal(err.text, "environment: T_PORT must be a whole number");
}

static void what_must_be_given_is_asked_for(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(load_text("T_PORT=1\n", &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.text, "T_NEEDED must be set");
	setenv("T_NEEDED", "", 1);
	assert_int_equal(load_text("T_PORT=1\n", &err), 0);
	assert_string_equal(target.needed, "");
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
	const char *missing[] = {"/tmp/no/such/file"}, *folder[] = {"/tmp"};
	struct error err;

	(void)state;
	setenv("T_NEEDED", "x", 1);
	assert_int_equal(settings_load(tables, ARRAY_LEN(tables), missing, 1, &err), -1);
	assert_non_null(strstr(err.text, "/tmp/no/such/file"));
	assert_int_equal(settings_load(tables, ARRAY_LEN(tables), folder, 1, &err), -1);
	assert_non_null(strstr(err.text, "/tmp"));
}

static void a_failed_load_leaves_nothing_behind_and_loading_again_leaks_nothing(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(load_text("T_NEEDED=x\nT_PEERS=a,b\n", &err), 0);
	assert_int_equal(load_text("T_NEEDED=y\nT_PEERS=c\n", &err), 0);
	assert_string_equal(target.needed, "y");
	assert_int_equal(load_text("T_NEEDED=z\nT_PEERS=a,b\nT_PORT=x\n", &err), -1);
	assert_null(target.needed);
	assert_null(target.name);
	assert_null(target.peers.item);
}

static void a_sample_loads_and_says_everything(void **state)
{
	scoped_free char *text = NULL;
	size_t len;
	struct error err;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	settings_print(out, "of the test", rows, ARRAY_LEN(rows));
	fclose(out);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_non_null(strstr(text, rows[i].name));
		assert_non_null(strstr(text, rows[i].doc));
	}
	assert_non_null(strstr(text, "# 1 to 65535\n#T_PORT=8080\n"));
	assert_non_null(strstr(text, "must be set\n#T_NEEDED=\n"));
	assert_int_equal(load_text(text, &err), -1);
	assert_string_equal(err.text, "T_NEEDED must be set");
	setenv("T_NEEDED", "x", 1);
	assert_int_equal(load_text(text, &err), 0);
	for (char *c = text; *c; c++)
		if (c[0] == '#' && c[1] == 'T')
			*c = ' ';
	assert_int_equal(load_text(text, &err), 0);
	assert_int_equal(target.port, 8080);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(defaults_hold_when_nothing_is_said),
	    TEST(reads_every_type),
	    TEST(reads_quotes_as_systemd_does),
	    TEST(refuses_and_names_file_line_and_key),
	    TEST(refuses_a_nul_in_a_file),
	    TEST(the_environment_wins_over_files_and_later_files_over_earlier),
	    TEST(an_error_in_the_environment_names_it_and_the_key),
	    TEST(what_must_be_given_is_asked_for),
	    TEST(a_file_that_cannot_be_read_is_an_error),
	    TEST(a_failed_load_leaves_nothing_behind_and_loading_again_leaks_nothing),
	    TEST(a_sample_loads_and_says_everything),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
