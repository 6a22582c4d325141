#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/role.h"

static const unsigned all[] = {
#define ROLE_BIT(bit, name, text) ROLE_##name,
    ROLES(ROLE_BIT)
#undef ROLE_BIT
};

static void every_set_of_roles_survives_its_text(void **state)
{
	char text[200];
	unsigned every = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		every |= all[i];
	for (unsigned set = 1; set <= every; set++)
		assert_int_equal(role_parse(role_text(set, text, sizeof(text))), set);
}

static void roles_have_the_names_of_the_allow_list(void **state)
{
	char text[200];

	(void)state;
	assert_string_equal(role_text(ROLE_ROUTER, text, sizeof(text)), "router");
	assert_string_equal(role_text(ROLE_ORACLE, text, sizeof(text)), "chain-oracle");
	assert_string_equal(
	    role_text(ROLE_OPERATOR_READ | ROLE_OPERATOR_REVOKE, text, sizeof(text)),
	    "operator-read+operator-revoke");
	assert_string_equal(role_text(0, text, sizeof(text)), "none");
}

static void any_unknown_name_makes_the_whole_set_nothing(void **state)
{
	static const char *const texts[] = {"", "root", "router+root", "root+router", "router+",
	    "+router", "router++auth", "Router", "router auth", "router ", " router", "rout",
	    "routers", "none", "+"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (role_parse(texts[i]) != 0)
			fail_msg("accepted: '%s'", texts[i]);
}

static void a_text_is_cut_to_its_buffer(void **state)
{
	char text[16];

	(void)state;
	for (size_t size = 1; size <= sizeof(text); size++) {
		memset(text, 'x', sizeof(text));
		role_text(ROLE_DAEMONS, text, size);
		assert_true(strlen(text) < size);
	}
}

static void each_role_is_a_bit_of_its_own(void **state)
{
	unsigned seen = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		assert_true(all[i] != 0 && (all[i] & (all[i] - 1)) == 0);
		assert_int_equal(seen & all[i], 0);
		seen |= all[i];
	}
	assert_int_equal(ROLE_DAEMONS & (ROLE_OPERATOR_READ | ROLE_OPERATOR_REVOKE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_set_of_roles_survives_its_text),
	    cmocka_unit_test(roles_have_the_names_of_the_allow_list),
	    cmocka_unit_test(any_unknown_name_makes_the_whole_set_nothing),
	    cmocka_unit_test(a_text_is_cut_to_its_buffer),
	    cmocka_unit_test(each_role_is_a_bit_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
