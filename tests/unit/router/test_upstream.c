#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "services/router/upstream.h"

static void lets_only_agents_addresses_and_their_port_through(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool ok;
	} cases[] = {
	    {"10.213.0.1:18789", true},
	    {"10.213.255.254:18789", true},
	    {"10.213.0.0:18789", true},
	    {"10.214.0.1:18789", false},
	    {"10.212.255.255:18789", false},
	    {"127.0.0.1:18789", false},
	    {"169.254.169.254:18789", false},
	    {"10.213.0.1:18790", false},
	    {"10.213.0.1:80", false},
	    {"10.213.0.1:018789", false},
	    {"10.213.0.1:18789 ", false},
	    {" 10.213.0.1:18789", false},
	    {"10.213.0.1:18789/x", false},
	    {"10.213.0.1:18789\r\n", false},
	    {"10.213.0.1:", false},
	    {"10.213.0.1", false},
	    {"10.213.0.01:18789", false},
	    {"010.213.0.1:18789", false},
	    {"10.213.1:18789", false},
	    {"0x0ad50001:18789", false},
	    {"181665793:18789", false},
	    {"[::ffff:10.213.0.1]:18789", false},
	    {"localhost:18789", false},
	    {":18789", false},
	    {"", false},
	    {"10.213.0.1:18789:18789", false},
	    {"1111111111111111111111111111111111111111:18789", false},
	};
	struct upstream_range range;
	struct error err;
	assert_int_equal(upstream_range_init(&range, "10.213.0.0/16", 18789, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (upstream_is_within(&range, cases[i].text) != cases[i].ok)
			fail_msg("%s", cases[i].text);
}

static void refuses_networks_that_are_none(void **state)
{
	(void)state;
	static const char *const bad[] = {"10.213.0.0", "10.213.0.0/", "10.213.0.0/7",
	    "10.213.0.0/32", "10.213.0.1/16", "10.213.0/16", "0.0.0.0/0", "fd00::/64", "x/16",
	    "10.213.0.0/16x", "10.213.0.0/016", "10.213.0.0/-1", "/16", ""};
	struct upstream_range range;
	struct error err;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (upstream_range_init(&range, bad[i], 18789, &err) == 0)
			fail_msg("%s", bad[i]);
	assert_int_equal(upstream_range_init(&range, "10.0.0.0/8", 1, &err), 0);
	assert_true(upstream_is_within(&range, "10.255.255.255:1"));
	assert_int_equal(upstream_range_init(&range, "10.213.4.2/31", 1, &err), 0);
	assert_true(upstream_is_within(&range, "10.213.4.3:1"));
	assert_false(upstream_is_within(&range, "10.213.4.4:1"));
}

static void knows_what_an_agents_token_may_look_like(void **state)
{
	(void)state;
	static const char *const bad[] = {
	    "a b", "a\"", "a\r\n", "a;b", "\xc3\xa4", "a\tb", "a,b", "{a}", "a\\"};
	char big[AGENT_TOKEN_MAX + 2] = {0};
	assert_true(upstream_is_token(""));
	assert_true(upstream_is_token("aZ9-._~+/="));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(upstream_is_token(bad[i]));
	memset(big, 'a', AGENT_TOKEN_MAX);
	assert_true(upstream_is_token(big));
	big[AGENT_TOKEN_MAX] = 'a';
	assert_false(upstream_is_token(big));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lets_only_agents_addresses_and_their_port_through),
	    cmocka_unit_test(refuses_networks_that_are_none),
	    cmocka_unit_test(knows_what_an_agents_token_may_look_like),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
