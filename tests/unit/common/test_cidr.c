#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "common/cidr.h"

static struct cidr cidr_of(const char *text)
{
	struct cidr cidr;
	struct error err = {0};
	bool is_v4 = false;

	if (cidr_parse(text, &cidr, &is_v4, &err) != 0 || !is_v4)
		fail_msg("%s: %s", text, err.text);
	return cidr;
}

static void what_is_no_network_is_refused(void **state)
{
	static const char *const wrong[] = {"", "/8", "8.8.8.8/", "8.8.8.8/33", "8.8.8.8/-1",
	    "8.8.8.8/ 8", "8.8.8/24", "8.8.8.8/8 }", "fd00::/129", "$pool",
	    "8.8.8.8/99999999999999999999", "8.8.8.8/0008"};
	struct cidr cidr;
	struct error err = {0};
	bool is_v4 = true;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		if (cidr_parse(wrong[i], &cidr, &is_v4, &err) != -1 || err.code != ERR_INVALID)
			fail_msg("%s is taken", wrong[i]);
	assert_int_equal(cidr_parse("2001:db8::/48", &cidr, &is_v4, &err), 0);
	assert_false(is_v4);
}

static void a_network_has_its_addresses_and_no_others(void **state)
{
	static const struct {
		const char *network, *address;
		bool has;
	} cases[] = {{"8.8.8.8", "8.8.8.8", true}, {"8.8.8.8", "8.8.8.9", false},
	    {"8.8.8.7/24", "8.8.8.255", true}, {"8.8.8.0/24", "8.8.9.0", false},
	    {"0.0.0.0/0", "255.255.255.255", true}, {"128.0.0.0/1", "127.255.255.255", false}};
	struct in_addr address;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		inet_pton(AF_INET, cases[i].address, &address);
		assert_int_equal(cidr_has(cidr_of(cases[i].network), address), cases[i].has);
	}
	inet_pton(AF_INET, "8.8.8.0", &address);
	assert_int_equal(cidr_first(cidr_of("8.8.8.7/24")).s_addr, address.s_addr);
}

static void those_inside_others_are_left_out(void **state)
{
	struct cidr cidr[] = {cidr_of("8.8.8.8"), cidr_of("8.8.8.0/24"), cidr_of("9.9.9.9"),
	    cidr_of("8.8.0.0/16"), cidr_of("9.9.9.9"), cidr_of("8.9.0.0/16")};

	(void)state;
	assert_int_equal(cidr_distinct(cidr, ARRAY_LEN(cidr)), 3);
	assert_int_equal(cidr[0].address.s_addr, cidr_of("9.9.9.9").address.s_addr);
	assert_int_equal(cidr[1].bits, 16);
	assert_int_equal(cidr[2].bits, 16);
	assert_int_equal(cidr_distinct(cidr, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_no_network_is_refused),
	    cmocka_unit_test(a_network_has_its_addresses_and_no_others),
	    cmocka_unit_test(those_inside_others_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
