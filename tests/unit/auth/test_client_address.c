/* Client addresses as limits count them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "services/auth/client_address.h"

static void counts_ipv4_whole_and_ipv6_by_64_bits(void **state)
{
	(void)state;
	static const struct {
		const char *ip, *text, *block;
	} cases[] = {
	    {"203.0.113.7", "203.0.113.7", "203.0.113.7"},
	    {"::ffff:203.0.113.7", "203.0.113.7", "203.0.113.7"},
	    {"::FFFF:cb00:7107", "203.0.113.7", "203.0.113.7"},
	    {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
	    {"2001:0DB8:0001:0002:ffff:ffff:ffff:ffff", "2001:db8:1:2:ffff:ffff:ffff:ffff",
		"2001:db8:1:2::/64"},
	    {"2001:db8:1:3::1", "2001:db8:1:3::1", "2001:db8:1:3::/64"},
	    {"::1", "::1", "::/64"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct client_address address;
		struct error err;
		assert_int_equal(client_address_parse(cases[i].ip, &address, &err), 0);
		assert_string_equal(address.text, cases[i].text);
		assert_string_equal(address.block, cases[i].block);
	}
}

static void refuses_what_is_not_numeric(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "unix:", "localhost", "203.0.113", "203.0.113.256",
	    "203.0.113.7 ", "203.0.113.7\n", "0x7f000001", "2001:db8::1::2", "fe80::1%eth0",
	    "[::1]", "203.0.113.7, 10.0.0.1"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct client_address address;
		struct error err = {0};
		assert_int_equal(client_address_parse(bad[i], &address, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(counts_ipv4_whole_and_ipv6_by_64_bits),
	    cmocka_unit_test(refuses_what_is_not_numeric),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
