/* The hosts that an agent may reach, as its owner wrote them down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "services/sandbox/egress.h"

static size_t parse(struct egress *egress, const char *text)
{
	return egress_parse(egress, (const uint8_t *)text, strlen(text));
}

static void without_a_list_everything_is_allowed(void **state)
{
	struct egress egress = {0};
	(void)state;
	assert_true(egress_allows(&egress, "anything.example"));
	assert_int_equal(parse(&egress, ""), 0);
	assert_false(egress_allows(&egress, "anything.example"));
}

static void lines_are_names_and_the_rest_is_left_out(void **state)
{
	struct egress egress;
	(void)state;
	assert_int_equal(
	    parse(&egress, "# models\n  API.Example.com \r\n\n*.cdn.example # all\n"
			   "bad name\n-x.example\nx..example\n.example\n*\nhttp://x.example\n"
			   "a.b.c."),
	    3);
	assert_string_equal(egress.host[0], "api.example.com");
	assert_string_equal(egress.host[1], "*.cdn.example");
	assert_string_equal(egress.host[2], "a.b.c");
}

static void a_name_is_compared_whole(void **state)
{
	static const struct {
		const char *name;
		bool is_allowed;
	} rows[] = {{"api.example.com", true}, {"API.EXAMPLE.COM.", true},
	    {"x.api.example.com", false}, {"example.com", false}, {"evilapi.example.com", false},
	    {"a.cdn.example", true}, {"a.b.cdn.example", true}, {"cdn.example", false},
	    {"xcdn.example", false}, {"", false}, {"api.example.com.evil", false},
	    {"api example.com", false}};
	struct egress egress;
	(void)state;
	parse(&egress, "api.example.com\n*.cdn.example\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(egress_allows(&egress, rows[i].name), rows[i].is_allowed);
}

static void a_list_has_an_end(void **state)
{
	struct egress egress;
	char text[8192];
	size_t len = 0;
	(void)state;
	for (int i = 0; i < 200; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "h%d.example\n", i);
	assert_int_equal(parse(&egress, text), EGRESS_HOSTS_MAX);
	memset(text, 'a', sizeof(text));
	assert_int_equal(egress_parse(&egress, (const uint8_t *)text, sizeof(text)), 0);
	assert_int_equal(egress_parse(&egress, (const uint8_t *)"a\0b.example", 11), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_a_list_everything_is_allowed),
	    cmocka_unit_test(lines_are_names_and_the_rest_is_left_out),
	    cmocka_unit_test(a_name_is_compared_whole),
	    cmocka_unit_test(a_list_has_an_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
