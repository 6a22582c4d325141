#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "services/router/rendezvous.h"

static const char *const hosts[] = {"host-1", "host-2", "host-3", "host-4"};

static size_t best(unsigned n, size_t nhosts)
{
	uint8_t asset[PUBKEY_LEN] = {0};
	size_t found = 0;
	memcpy(asset, &n, sizeof(n));
	for (size_t i = 1; i < nhosts; i++)
		if (rendezvous_score(hosts[i], asset) > rendezvous_score(hosts[found], asset))
			found = i;
	return found;
}

static void every_router_says_the_same(void **state)
{
	(void)state;
	/* BLAKE2b-256 keyed with the name, its first eight bytes: by Python's hashlib */
	const uint8_t asset[PUBKEY_LEN] = {1, 2, 3};
	assert_true(rendezvous_score("host-1", asset) == UINT64_C(0xd16a5f575d94c5cd));
}

static void spreads_agents_evenly(void **state)
{
	(void)state;
	size_t count[ARRAY_LEN(hosts)] = {0};
	for (unsigned n = 0; n < 4000; n++)
		count[best(n, ARRAY_LEN(hosts))]++;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		assert_in_range(count[i], 850, 1150);
}

static void a_new_host_takes_only_what_becomes_its_own(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 1000; n++) {
		size_t before = best(n, 3), after = best(n, 4);
		assert_true(after == before || after == 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_router_says_the_same),
	    cmocka_unit_test(spreads_agents_evenly),
	    cmocka_unit_test(a_new_host_takes_only_what_becomes_its_own),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
