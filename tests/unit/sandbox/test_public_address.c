/* What belongs to the public internet, and what IANA has set aside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>

#include "common/error.h"
#include "services/sandbox/public_address.h"

static void special_ranges_end_where_they_end(void **state)
{
	static const struct {
		const char *address;
		bool is_public;
	} rows[] = {{"0.255.255.255", false}, {"1.0.0.0", true}, {"9.255.255.255", true},
	    {"10.0.0.0", false}, {"10.255.255.255", false}, {"11.0.0.0", true},
	    {"100.63.255.255", true}, {"100.64.0.0", false}, {"100.127.255.255", false},
	    {"100.128.0.0", true}, {"127.0.0.1", false}, {"169.254.169.254", false},
	    {"169.255.0.0", true}, {"172.15.255.255", true}, {"172.16.0.0", false},
	    {"172.31.255.255", false}, {"172.32.0.0", true}, {"192.0.0.1", false},
	    {"192.0.2.1", false}, {"192.168.0.1", false}, {"192.169.0.0", true},
	    {"198.18.0.0", false}, {"198.19.255.255", false}, {"198.20.0.0", true},
	    {"198.51.100.7", false}, {"203.0.113.7", false}, {"203.0.114.0", true},
	    {"223.255.255.255", true}, {"224.0.0.1", false}, {"255.255.255.255", false}};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct in_addr address;
		assert_int_equal(inet_pton(AF_INET, rows[i].address, &address), 1);
		assert_int_equal(public_address(address), rows[i].is_public);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(special_ranges_end_where_they_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
