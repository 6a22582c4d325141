#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/scoped.h"
#include "services/warden/network_internal.h"

static struct network sample(const char *pool, unsigned bits)
{
	static uid_t callers[] = {33, 101};
	static struct cidr denied[] = {{{0}, 24}};
	struct network network = {.prefix = "mc",
	    .group = 77,
	    .pool = {.bits = bits},
	    .agent_port = 18789,
	    .callers = callers,
	    .ncallers = ARRAY_LEN(callers),
	    .denied = denied,
	    .ndenied = ARRAY_LEN(denied)};

	inet_pton(AF_INET, pool, &network.pool.address);
	inet_pton(AF_INET, "45.45.45.99", &denied[0].address);
	return network;
}

static void a_slot_decides_addresses_and_name(void **state)
{
	static const struct {
		const char *pool;
		unsigned bits;
		uint32_t slot, slots;
		const char *host, *container, *ifname, *resolver;
	} cases[] = {
	    {"10.213.0.0", 16, 0, 32767, "10.213.0.0", "10.213.0.1", "mc-0", "10.213.255.254"},
	    {"10.213.0.0", 16, 128, 32767, "10.213.1.0", "10.213.1.1", "mc-128", "10.213.255.254"},
	    {"10.213.0.0", 16, 32766, 32767, "10.213.255.252", "10.213.255.253", "mc-32766",
		"10.213.255.254"},
	    {"192.168.7.4", 30, 0, 1, "192.168.7.4", "192.168.7.5", "mc-0", "192.168.7.6"},
	    {"10.0.0.0", 8, 8388606, 8388607, "10.255.255.252", "10.255.255.253", "mc-8388606",
		"10.255.255.254"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct network network = sample(cases[i].pool, cases[i].bits);
		struct network_link link;
		network_link_of(&network, cases[i].slot, &link);
		assert_int_equal(network_slots(&network), cases[i].slots);
		assert_string_equal(network_text_of(link.host).s, cases[i].host);
		assert_string_equal(network_text_of(link.container).s, cases[i].container);
		assert_string_equal(link.ifname, cases[i].ifname);
		assert_string_equal(
		    network_text_of(network_resolver(&network)).s, cases[i].resolver);
	}
}

static void says(const char *text, const char *line)
{
	if (!strstr(text, line))
		fail_msg("\"%s\" is not in:\n%s", line, text);
}

static void the_hosts_table_says_what_it_must(void **state)
{
	static const char *const lines[] = {
	    "add table inet mc_agents\ndelete table inet mc_agents\ntable inet mc_agents {",
	    "define pool = 10.213.0.0/16\n", "define resolver = 10.213.255.254\n",
	    "hook prerouting priority -310;", "iifgroup 77 goto from_link",
	    "iifname . ip saddr != @links drop", "100.64.0.0/10, ", "169.254.0.0/16, ",
	    "10.213.0.0/16, 45.45.45.0/24 } drop", "fib daddr type { local,", "tcp dport 25 drop",
	    "tcp dport 18789 meta skuid { 0, 33, 101 } accept",
	    "ip saddr $pool oifgroup != 77 oifname != \"lo\" masquerade"};
	struct network network = sample("10.213.0.0", 16);
	scoped_free char *text = network_table_host(&network);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		says(text, lines[i]);
}

static void the_table_inside_says_what_it_must(void **state)
{
	static const char *const lines[] = {"define host = 10.213.0.6\n",
	    "define container = 10.213.0.7\n", "hook input priority 0; policy drop;",
	    "hook output priority 0; policy drop;", "hook forward priority 0; policy drop;",
	    "10.213.0.0/16, 45.45.45.0/24, 5.5.5.1 } goto refuse", "tcp dport 25 goto refuse",
	    "ct count over 80 reject with tcp reset", "ct count over 80 goto refuse",
	    "limit rate over 11/second burst 91 packets drop"};
	static const char narrow[] = "ct state new ip daddr != @allowed ip daddr != @ranges drop";
	struct network network = sample("10.213.0.0", 16);
	struct network_inside inside = {.limits = {.connections = 80}, .nlocal = 1};
	struct in_addr local;

	(void)state;
	inet_pton(AF_INET, "5.5.5.1", &local);
	inside.local = &local;
	network_link_of(&network, 3, &inside.link);
	scoped_free char *text = network_table_inside(&network, &inside);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		says(text, lines[i]);
	assert_null(strstr(text, narrow));
	inside.limits.is_narrowed = true;
	scoped_free char *narrowed = network_table_inside(&network, &inside);
	says(narrowed, narrow);
	struct cidr ranges[] = {{local, 24}, {local, 32}};
	inside.limits.range = ranges;
	inside.limits.nranges = ARRAY_LEN(ranges);
	scoped_free char *ranged = network_table_inside(&network, &inside);
	says(ranged, "flags interval; elements = { 5.5.5.0/24, 5.5.5.1/32 } }");
}

static void a_wrong_configuration_is_refused_before_anything_is_touched(void **state)
{
	static const char *const ranges[] = {"10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1",
	    "10.0.0.0/8 }", "fd00::/129", "", "$pool", "10.0.0.0/99999999999999999999"};
	static const struct {
		const char *prefix, *pool;
		unsigned bits;
		uint16_t port;
	} cases[] = {{"", "10.0.0.0", 16, 18789}, {"abcde", "10.0.0.0", 16, 18789},
	    {"a;", "10.0.0.0", 16, 18789}, {"AB", "10.0.0.0", 16, 18789},
	    {"mc", "10.0.0.1", 16, 18789}, {"mc", "10.0.0.0", 31, 18789},
	    {"mc", "10.0.0.0", 7, 18789}, {"mc", "10.0.0.0", 16, 80}};
	struct network *network = NULL;
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases) + ARRAY_LEN(ranges); i++) {
		bool is_range = i >= ARRAY_LEN(cases);
		struct network_config config = {.prefix = is_range ? "mc" : cases[i].prefix,
		    .pool_bits = is_range ? 16 : cases[i].bits,
		    .agent_port = is_range ? 18789 : cases[i].port,
		    .denied = is_range ? &ranges[i - ARRAY_LEN(cases)] : NULL,
		    .ndenied = is_range};
		inet_pton(AF_INET, is_range ? "10.0.0.0" : cases[i].pool, &config.pool);
		if (network_open(&config, &network, &err) != -1 || err.code != ERR_INVALID)
			fail_msg("case %zu: %s", i, err.text);
		assert_null(network);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_slot_decides_addresses_and_name),
	    cmocka_unit_test(the_hosts_table_says_what_it_must),
	    cmocka_unit_test(the_table_inside_says_what_it_must),
	    cmocka_unit_test(a_wrong_configuration_is_refused_before_anything_is_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
