#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "services/router/host.h"

#define ID "abcdefghijklmnopqrstuvwxyz234567"
#define OTHER "bbcdefghijklmnopqrstuvwxyz234567"

static void only_the_exact_name_selects_an_agent(void **state)
{
	(void)state;
	static const struct {
		const char *host;
		bool ok;
	} cases[] = {
	    {ID ".localhost:8080", true},
	    {ID ".localhost", false},
	    {ID ".localhost:8081", false},
	    {ID ".localhost:80800", false},
	    {ID ".localhost.:8080", false},
	    {ID ".localhost:8080.", false},
	    {ID ".LOCALHOST:8080", false},
	    {"Abcdefghijklmnopqrstuvwxyz234567.localhost:8080", false},
	    {"abcdefghijklmnopqrstuvwxyz23456.localhost:8080", false},
	    {ID "a.localhost:8080", false},
	    {"abcdefghijklmnopqrstuvwxyz234561.localhost:8080", false},
	    {"abcdefghijklmnopqrstuvwxyz23456%37.localhost:8080", false},
	    {ID "%2elocalhost:8080", false},
	    {ID "@localhost:8080", false},
	    {ID ".localhost:8080@x", false},
	    {"x@" ID ".localhost:8080", false},
	    {"x." ID ".localhost:8080", false},
	    {ID "." ID ".localhost:8080", false},
	    {" " ID ".localhost:8080", false},
	    {ID ".localhost:8080 ", false},
	    {ID ".localhost:8080/", false},
	    {ID ".localhost:8080," ID ".localhost:8080", false},
	    {"http://" ID ".localhost:8080", false},
	    {"localhost:8080", false},
	    {".localhost:8080", false},
	    {ID, false},
	    {"", false},
	};
	struct host_names names;
	struct error err;
	assert_int_equal(
	    host_names_init(&names, "http://localhost:8080", "localhost:8080", &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char agent[AGENT_ID_LEN + 1] = "";
		if (host_parse(&names, cases[i].host, agent) != cases[i].ok)
			fail_msg("%s", cases[i].host);
		assert_string_equal(agent, cases[i].ok ? ID : "");
	}
}

static void only_the_agents_own_origin_is_its_own(void **state)
{
	(void)state;
	static const struct {
		const char *origin;
		bool ok;
	} cases[] = {
	    {"https://" ID ".claw.example", true},
	    {"http://" ID ".claw.example", false},
	    {"HTTPS://" ID ".claw.example", false},
	    {"https://" OTHER ".claw.example", false},
	    {"https://" ID ".claw.example:443", false},
	    {"https://" ID ".claw.example/", false},
	    {"https://claw.example", false},
	    {"https://app.example", false},
	    {"null", false},
	    {"", false},
	};
	struct host_names names;
	struct error err;
	assert_int_equal(host_names_init(&names, "https://app.example", "claw.example", &err), 0);
	assert_string_equal(names.console, "https://app.example");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (host_is_origin_of(&names, cases[i].origin, ID) != cases[i].ok)
			fail_msg("%s", cases[i].origin);
}

static void a_domain_that_could_not_match_stops_the_start(void **state)
{
	(void)state;
	static const char *const bad[] = {"Claw.example", "claw.example/", "claw.example:443",
	    ".claw.example", "", "[::1]:8080", "claw example", "https://claw.example"};
	struct host_names names;
	struct error err;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (host_names_init(&names, "https://app.example", bad[i], &err) != -1)
			fail_msg("%s", bad[i]);
	assert_int_equal(host_names_init(&names, "ftp://app.example", "claw.example", &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_the_exact_name_selects_an_agent),
	    cmocka_unit_test(only_the_agents_own_origin_is_its_own),
	    cmocka_unit_test(a_domain_that_could_not_match_stops_the_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
