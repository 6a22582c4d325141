#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "services/sandbox/egress.h"

static struct egress egress;
static struct error err;

static int parse(const char *text)
{
	err = (struct error){0};
	return egress_parse(&egress, (const uint8_t *)text, strlen(text), &err);
}

#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"
#define TOO_LONG "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkx.example"

static void entries_are_taken_as_they_are_meant(void **state)
{
	(void)state;
	static const struct {
		const char *text, *entries[4];
	} cases[] = {
	    {"", {NULL}},
	    {"# nothing\n\n , ,\r\n", {NULL}},
	    {"api.openai.com", {"api.openai.com"}},
	    {"API.OpenAI.com.\r\n", {"api.openai.com"}},
	    {"a.example # b.example\nc.example", {"a.example", "c.example"}},
	    {"a.example,b.example, *.c.example ,", {"a.example", "b.example", "*.c.example"}},
	    {"*.Example.COM\t\n\t_x.y-z.example", {"*.example.com", "_x.y-z.example"}},
	    {"8.8.8.8, 8.8.4.77/24\n1.0.0.0/8", {"8.8.8.8", "8.8.4.0/24", "1.0.0.0/8"}},
	    {"xn--bcher-kva.example", {"xn--bcher-kva.example"}},
	    {L63 ".example", {L63 ".example"}},
	    {"1.example, 4chan.org", {"1.example", "4chan.org"}},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(parse(cases[i].text), 0);
		assert_true(egress.is_narrowed);
		size_t n = 0;
		for (; n < 4 && cases[i].entries[n]; n++)
			assert_string_equal(egress.host[n], cases[i].entries[n]);
		assert_int_equal(egress.n, n);
	}
}

static void refuses_what_is_no_entry_and_says_where(void **state)
{
	(void)state;
	static const char *const cases[] = {
	    "*",
	    "*.",
	    "*example.com",
	    "a.*.example",
	    "*.*.example",
	    ".",
	    ".example",
	    "a..example",
	    "-a.example",
	    "a-.example",
	    "a.example-",
	    "a b.example",
	    "\xc3\xbc.example",
	    "https://a.example",
	    "a.example:443",
	    "a.example/path",
	    "user@a.example",
	    "a.example;",
	    TOO_LONG,
	    "1.2.3",
	    "1.2.3.4.5",
	    "1.2.3.400",
	    "01.2.3.4x.5",
	    "*.1.2.3.4",
	    "8.8.8.8/",
	    "8.8.8.8/33",
	    "8.8.8.8/7",
	    "8.8.8.8/0",
	    "8.8.8.8/024",
	    "8.8.8.8/2x",
	    "8.8.8.8/-1",
	    "8.8.8.8/ 9",
	    "::1",
	    "2001:db8::/32",
	    "10.0.0.1",
	    "10.1.0.0/16",
	    "127.0.0.1",
	    "169.254.169.254",
	    "100.100.100.200",
	    "192.168.0.0/24",
	    "0.0.0.0",
	    "255.255.255.255",
	    "[8.8.8.8]",
	    "0x8.8.8.8",
	    "8.8.8.8/24/24",
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[512];
		snprintf(text, sizeof(text),
		    "good.example\n# comment\nother.example, %s\nlast.example", cases[i]);
		if (parse(text) == 0)
			fail_msg("%s", cases[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.text, "line 3:"));
		assert_null(strstr(err.text, "example")); /* the owner's business */
		assert_true(egress.is_narrowed);
		assert_int_equal(egress.n, 0);
		assert_false(egress_allows(&egress, "good.example"));
	}
}

static void refuses_a_zero_byte(void **state)
{
	(void)state;
	static const uint8_t text[] = "a.example\0.evil.example\n";
	assert_int_equal(egress_parse(&egress, text, sizeof(text) - 1, &err), -1);
	assert_int_equal(egress.n, 0);
}

static void a_hundred_entries_of_253_characters_are_all_there_may_be(void **state)
{
	(void)state;
	static char text[(EGRESS_HOSTS_MAX + 2) * (EGRESS_HOST_MAX + 2)];
	char name[EGRESS_HOST_MAX + 1], one_more[EGRESS_HOST_MAX + 3];
	size_t len = 0;
	snprintf(name, sizeof(name), "%s.%s.%s.%.61s", L63, L63, L63, L63);
	assert_int_equal(strlen(name), EGRESS_HOST_MAX);
	for (int i = 0; i < EGRESS_HOSTS_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\n", name);
	assert_int_equal(parse(text), 0);
	assert_int_equal(egress.n, EGRESS_HOSTS_MAX);
	assert_true(egress_allows(&egress, name));
	snprintf(text + len, sizeof(text) - len, "one.more\n");
	assert_int_equal(parse(text), -1);
	assert_non_null(strstr(err.text, "line 101: more than 100"));

	snprintf(one_more, sizeof(one_more), "%sx", name);
	assert_int_equal(parse(one_more), -1);
	snprintf(one_more, sizeof(one_more), "*.%.252s", name); /* 254 with the star */
	assert_int_equal(parse(one_more), -1);
	snprintf(one_more, sizeof(one_more), "*.%.251s", name);
	assert_int_equal(parse(one_more), 0);
	assert_int_equal(strlen(egress.host[0]), EGRESS_HOST_MAX);
}

static void only_listed_names_are_allowed(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool ok;
	} cases[] = {
	    {"api.openai.com", true},
	    {"API.openai.COM.", true},
	    {"openai.com", false},
	    {"x.api.openai.com", false},
	    {"api.openai.com.evil.example", false},
	    {"api.openai.comx", false},
	    {"xapi.openai.com", false},
	    {"a.below.example", true},
	    {"a.b.c.BELOW.example", true},
	    {"below.example", false},
	    {"xbelow.example", false},
	    {".below.example", false},
	    {"*.below.example", false},
	    {"8.8.8.8", false},
	    {"", false},
	    {".", false},
	    {"api.openai.com..", false},
	};
	assert_int_equal(parse("api.openai.com\n*.below.example\n8.8.8.8"), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (egress_allows(&egress, cases[i].name) != cases[i].ok)
			fail_msg("%s", cases[i].name);
}

static void without_a_list_every_name_is_allowed(void **state)
{
	(void)state;
	static const struct egress open;
	assert_true(egress_allows(NULL, "a.example"));
	assert_true(egress_allows(&open, "a.example"));
	assert_int_equal(parse(""), 0);
	assert_false(egress_allows(&egress, "a.example"));
}

static void an_entry_read_back_is_the_same(void **state)
{
	(void)state;
	static struct egress again;
	assert_int_equal(parse("A.example.,*.B.example,8.8.4.77/23,9.9.9.9"), 0);
	for (size_t i = 0; i < egress.n; i++) {
		assert_true(egress_add(&again, egress.host[i]));
		assert_string_equal(again.host[i], egress.host[i]);
	}
}

static void ranges_are_told_apart_from_names(void **state)
{
	(void)state;
	struct cidr range[EGRESS_HOSTS_MAX];
	assert_int_equal(parse("a.example, 8.8.8.8\n1.2.3.4/12, *.b.example"), 0);
	assert_int_equal(egress_ranges(&egress, range), 2);
	assert_int_equal(range[0].address.s_addr, inet_addr("8.8.8.8"));
	assert_int_equal(range[0].bits, 32);
	assert_int_equal(range[1].address.s_addr, inet_addr("1.0.0.0"));
	assert_int_equal(range[1].bits, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(entries_are_taken_as_they_are_meant),
	    cmocka_unit_test(refuses_what_is_no_entry_and_says_where),
	    cmocka_unit_test(refuses_a_zero_byte),
	    cmocka_unit_test(a_hundred_entries_of_253_characters_are_all_there_may_be),
	    cmocka_unit_test(only_listed_names_are_allowed),
	    cmocka_unit_test(without_a_list_every_name_is_allowed),
	    cmocka_unit_test(an_entry_read_back_is_the_same),
	    cmocka_unit_test(ranges_are_told_apart_from_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
