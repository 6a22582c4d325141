#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>

#include "common/error.h"
#include "services/router/site.h"

static void objects_to_agents_that_browsers_do_not_keep_apart(void **state)
{
	(void)state;
	static const struct {
		const char *console, *agents;
		bool is_fine;
	} cases[] = {
	    {"localhost:8080", "localhost:8080", true},
	    {"localhost", "agents.localhost", true},
	    {"app.example.com", "github.io", true}, /* on the list, and another's */
	    {"app.example.com", "github.io:8443", true},
	    {"app.example.com", "claws.example.org", false},
	    {"app.example.com", "claws.example.com", false},
	    {"example.com", "claws.example.com", false},
	    {"claws.example.com", "claws.example.com", false},
	    {"app.github.io", "github.io", false},
	    {"app.example.co.uk", "claws.example.co.uk", false},
	    {"app.example.com", "notlocalhost", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (!site_objection(cases[i].console, cases[i].agents) != cases[i].is_fine)
			fail_msg("%s and %s", cases[i].console, cases[i].agents);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(objects_to_agents_that_browsers_do_not_keep_apart)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
