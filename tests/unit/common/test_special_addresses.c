#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>

#include "common/error.h"
#include "common/special_addresses.h"

static struct in_addr ip(const char *text)
{
	struct in_addr address;
	assert_int_equal(inet_pton(AF_INET, text, &address), 1);
	return address;
}

/* First and last of each range, and their neighbours outside. */
static void knows_where_each_range_begins_and_ends(void **state)
{
	(void)state;
	static const struct {
		const char *before, *first, *last, *after; /* NULL: none, or special as well */
	} cases[] = {
	    {NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0"},
	    {"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
	    {"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
	    {"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
	    {"168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"},
	    {"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
	    {"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
	    {"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
	    {"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
	    {"192.31.195.255", "192.31.196.0", "192.31.196.255", "192.31.197.0"},
	    {"192.52.192.255", "192.52.193.0", "192.52.193.255", "192.52.194.0"},
	    {"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
	    {"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
	    {"192.175.47.255", "192.175.48.0", "192.175.48.255", "192.175.49.0"},
	    {"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
	    {"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
	    {"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
	    {"223.255.255.255", "224.0.0.0", "239.255.255.255", NULL},
	    {NULL, "240.0.0.0", "255.255.255.255", NULL},
	};
	assert_int_equal(ARRAY_LEN(cases), special_nranges);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct special_range *range = special_range_of(ip(cases[i].first), 32);
		assert_non_null(range);
		assert_ptr_equal(special_range_of(ip(cases[i].last), 32), range);
		if (cases[i].before)
			assert_null(special_range_of(ip(cases[i].before), 32));
		if (cases[i].after)
			assert_null(special_range_of(ip(cases[i].after), 32));
	}
}

static void a_range_is_special_only_if_all_of_it_is(void **state)
{
	(void)state;
	static const struct {
		const char *address;
		unsigned bits;
		bool is_special;
	} cases[] = {
	    {"10.0.0.0", 8, true},
	    {"10.9.0.0", 16, true},
	    {"10.0.0.0", 7, false},
	    {"0.0.0.0", 1, false},
	    {"168.63.129.16", 32, true},
	    {"168.63.129.16", 31, false},
	    {"224.0.0.0", 3, false},
	    {"8.8.8.0", 24, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(special_range_of(ip(cases[i].address), cases[i].bits) != NULL,
		    cases[i].is_special);
}

static void every_range_is_written_as_it_begins(void **state)
{
	(void)state;
	for (size_t i = 0; i < special_nranges; i++) {
		const struct special_range *range = &special_ranges[i];
		assert_in_range(range->bits, 1, 32);
		assert_int_equal((uint64_t)range->first << range->bits & UINT32_MAX, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(knows_where_each_range_begins_and_ends),
	    cmocka_unit_test(a_range_is_special_only_if_all_of_it_is),
	    cmocka_unit_test(every_range_is_written_as_it_begins),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
