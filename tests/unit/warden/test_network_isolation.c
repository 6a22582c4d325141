#include "tests/unit/warden/network_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* An answer that must come may take long on a busy machine; one that must not come is waited for this long. */
#define WAIT_MS 6000
#define NO_MS 600

static const char *const rules_name[] = {
    "both layers", "host's rules alone", "inside's rules alone", "no rules"};
static const char *const kind_name[] = {"TCP", "UDP", "ICMP"};

static unsigned wait_for(enum world_rules rules)
{
	return rules == WORLD_NONE ? WAIT_MS : NO_MS;
}

/* Every probe is answered where there are no rules (else it would prove nothing), and none where there are some. */
static void expect(struct world_probe *probe, size_t n, enum world_rules rules)
{
	world_try(probe, n, wait_for(rules));
	for (size_t i = 0; i < n; i++)
		if (probe[i].reached != (rules == WORLD_NONE))
			fail_msg("%s: %s to %s port %u: %s", rules_name[rules],
			    kind_name[probe[i].kind], probe[i].to, probe[i].port,
			    probe[i].reached ? "reached" : "not reached");
}

/* What is left after a `flush ruleset`, with which Debian's own nftables.conf begins, are the rules inside. */
static void neighbours_reach_nothing_of_each_other(void **state)
{
	struct world *world = world_of(state);
	struct network_text to[WORLD_CONTAINERS];
	struct world_probe probe[WORLD_CONTAINERS * WORLD_CONTAINERS * 4];

	for (enum world_rules rules = WORLD_BOTH; rules <= WORLD_NONE; rules++) {
		size_t n = 0;
		world_make_all(world, rules);
		for (size_t i = 0; i < WORLD_CONTAINERS; i++)
			to[i] = network_text_of(world->container[i].link.container);
		for (size_t i = 0; i < WORLD_CONTAINERS * WORLD_CONTAINERS; i++) {
			size_t a = i / WORLD_CONTAINERS, b = i % WORLD_CONTAINERS;
			int from = world->container[a].netns_fd;
			if (a == b)
				continue;
			probe[n++] =
			    (struct world_probe){from, WORLD_TCP, to[b].s, WORLD_PORT, 0, false};
			probe[n++] =
			    (struct world_probe){from, WORLD_TCP, to[b].s, WORLD_OTHER, 0, false};
			probe[n++] =
			    (struct world_probe){from, WORLD_UDP, to[b].s, WORLD_OTHER, 0, false};
			probe[n++] = (struct world_probe){from, WORLD_ICMP, to[b].s, 0, 0, false};
		}
		expect(probe, n, rules);
		world_forget_all(world);
	}
}

/* TCP, UDP and ICMP from the first container to each address, under every set of rules. */
static void none_is_reached(struct world *world, const char *const *to, size_t n)
{
	struct world_probe *probe = calloc(3 * n, sizeof(*probe));

	for (enum world_rules rules = WORLD_BOTH; rules <= WORLD_NONE; rules++) {
		world_make_all(world, rules);
		int from = world->container[0].netns_fd;
		for (size_t i = 0; i < n; i++) {
			probe[3 * i] =
			    (struct world_probe){from, WORLD_TCP, to[i], WORLD_OTHER, 0, false};
			probe[3 * i + 1] =
			    (struct world_probe){from, WORLD_UDP, to[i], WORLD_OTHER, 0, false};
			probe[3 * i + 2] =
			    (struct world_probe){from, WORLD_ICMP, to[i], 0, 0, false};
		}
		expect(probe, 3 * n, rules);
		world_forget_all(world);
	}
	free(probe);
}

static void no_range_that_is_not_public_is_reached(void **state)
{
	static const char *const to[] = {"10.1.2.3", "10.220.200.1", "172.16.5.5", "172.31.255.1",
	    "192.168.1.1", "192.168.77.2", "169.254.169.254", "100.64.0.1", "100.100.100.200",
	    "198.18.0.1", "198.19.255.1", "192.0.0.8", "168.63.129.16", "192.0.2.1", "198.51.100.1",
	    "203.0.113.1", "192.88.99.1", "45.45.45.45", "240.0.0.1"};

	none_is_reached(world_of(state), to, ARRAY_LEN(to));
}

static void no_address_of_the_host_is_reached(void **state)
{
	static const char *const to[] = {
	    "10.220.0.0", "10.220.0.2", "10.220.255.254", WORLD_HOST, WORLD_LAN};

	none_is_reached(world_of(state), to, ARRAY_LEN(to));
}

static void public_addresses_are_reached_but_not_their_mail(void **state)
{
	struct world *world = world_of(state);

	world_make_all(world, WORLD_BOTH);
	for (size_t i = 0; i < WORLD_CONTAINERS; i++) {
		int from = world->container[i].netns_fd;
		struct world_probe probe[] = {{from, WORLD_TCP, "8.8.8.8", 80, 0, false},
		    {from, WORLD_UDP, "1.1.1.1", WORLD_OTHER, 0, false},
		    {from, WORLD_ICMP, "9.9.9.9", 0, 0, false},
		    {from, WORLD_TCP, "10.220.255.254", 53, 0, false},
		    {from, WORLD_UDP, "10.220.255.254", 53, 0, false},
		    {from, WORLD_TCP, "5.5.5.2", 18789, 12345, false}};
		world_try(probe, ARRAY_LEN(probe), WAIT_MS);
		for (size_t j = 0; j < ARRAY_LEN(probe); j++)
			if (!probe[j].reached)
				fail_msg("%s port %u was not reached", probe[j].to, probe[j].port);
	}
	world_forget_all(world);
	for (enum world_rules rules = WORLD_BOTH; rules <= WORLD_NONE; rules++) {
		world_make_all(world, rules);
		expect(&(struct world_probe){world->container[0].netns_fd, WORLD_TCP, "8.8.8.8", 25,
			   0, false},
		    1, rules);
		world_forget_all(world);
	}
}

static void the_world_reaches_no_container(void **state)
{
	struct world *world = world_of(state);

	for (enum world_rules rules = WORLD_BOTH; rules <= WORLD_NONE; rules++) {
		int from = world->outside;
		struct world_probe probe[] = {{from, WORLD_TCP, "10.220.0.1", WORLD_PORT, 0, false},
		    {from, WORLD_TCP, "10.220.0.1", WORLD_OTHER, 0, false},
		    {from, WORLD_UDP, "10.220.0.1", WORLD_OTHER, 0, false},
		    {from, WORLD_ICMP, "10.220.0.1", 0, 0, false}};
		world_make_all(world, rules);
		expect(probe, ARRAY_LEN(probe), rules);
		world_forget_all(world);
	}
}

static void of_the_host_only_callers_reach_the_agents_port(void **state)
{
	static const struct {
		enum world_kind kind;
		uint16_t port;
		uid_t uid;
		bool reaches;
	} cases[] = {{WORLD_TCP, WORLD_PORT, 0, true}, {WORLD_TCP, WORLD_PORT, WORLD_CALLER, true},
	    {WORLD_TCP, WORLD_PORT, 65534, false}, {WORLD_TCP, WORLD_PORT, 1000, false},
	    {WORLD_TCP, WORLD_OTHER, 0, false}, {WORLD_TCP, 80, WORLD_CALLER, false},
	    {WORLD_UDP, WORLD_OTHER, 0, false}, {WORLD_UDP, WORLD_PORT, WORLD_CALLER, false},
	    {WORLD_ICMP, 0, 0, false}};
	struct world *world = world_of(state);
	struct world_probe probe[ARRAY_LEN(cases)];

	for (enum world_rules rules = WORLD_BOTH; rules <= WORLD_NONE; rules++) {
		world_make_all(world, rules);
		for (size_t i = 0; i < ARRAY_LEN(cases); i++)
			probe[i] = (struct world_probe){world->host, cases[i].kind, "10.220.0.1",
			    cases[i].port, cases[i].uid, false};
		world_try(probe, ARRAY_LEN(probe), WAIT_MS / 4);
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			/* inside cannot know who asks on the host */
			bool is_open = cases[i].reaches || rules == WORLD_NONE ||
				       (rules == WORLD_INSIDE_ONLY && cases[i].kind == WORLD_TCP &&
					   cases[i].port == WORLD_PORT);
			if (probe[i].reached != is_open)
				fail_msg("%s: %s port %u as %u", rules_name[rules],
				    kind_name[cases[i].kind], cases[i].port, cases[i].uid);
		}
		world_forget_all(world);
	}
}

static void nobody_answers_for_a_container_that_is_gone(void **state)
{
	struct world *world = world_of(state);
	struct world_probe probe = {world->host, WORLD_TCP, "10.220.200.1", WORLD_PORT, 0, false};

	assert_false(world_reaches(probe, NO_MS));
	world_sh(world->host, "nft flush ruleset");
	assert_true(world_reaches(probe, WAIT_MS));
}

/* A UDP datagram whose source is somebody else's. */
static void send_spoofed(const char *from, const char *to)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
		char data[3];
	} __attribute__((packed)) packet = {
	    .ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP},
	    .udp = {.source = htons(4000), .dest = htons(WORLD_OTHER), .len = htons(11)},
	    .data = "ask",
	};
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);

	inet_pton(AF_INET, from, &packet.ip.saddr);
	inet_pton(AF_INET, to, &packet.ip.daddr);
	address.sin_addr.s_addr = packet.ip.daddr;
	if (sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&address, sizeof(address)) <
		0 &&
	    errno != EPERM && errno != EHOSTUNREACH)
		_exit(1);
	_exit(0);
}

static bool spoofed_arrives(struct world *world, const char *from, const char *to, unsigned wait_ms)
{
	uint64_t before = world_datagrams(world->outside);
	int status;

	for (unsigned waited = 0; waited < wait_ms; waited += 30) {
		pid_t child = world_fork(world->container[0].netns_fd);
		if (child == 0)
			send_spoofed(from, to);
		waitpid(child, &status, 0);
		assert_int_equal(status, 0);
		usleep(30000);
		if (world_datagrams(world->outside) > before)
			return true;
	}
	return false;
}

static void no_packet_leaves_under_anothers_address(void **state)
{
	static const char *const from[] = {"10.220.0.3", "10.220.0.5", "4.4.4.4", "10.220.77.1"};
	struct world *world = world_of(state);

	for (enum world_rules rules = WORLD_BOTH; rules <= WORLD_NONE; rules++) {
		world_make_all(world, rules);
		if (rules ==
		    WORLD_NONE) /* the kernel's own check of sources would hide that the probe works */
			world_sh(world->host, "for i in all default n0-0; do echo 0 "
					      ">/proc/sys/net/ipv4/conf/$i/rp_filter; done");
		for (size_t i = 0; i < ARRAY_LEN(from); i++)
			if (spoofed_arrives(world, from[i], "8.8.8.8", wait_for(rules) / 4) !=
			    (rules == WORLD_NONE))
				fail_msg("%s: as %s", rules_name[rules], from[i]);
		world_forget_all(world);
	}
}

/* The same with the kernel's check of sources off: the set of links alone. */
static void the_set_of_links_alone_stops_spoofing(void **state)
{
	struct world *world = world_of(state);

	world_make_all(world, WORLD_HOST_ONLY);
	world_sh(world->host,
	    "for i in all default n0-0; do echo 0 >/proc/sys/net/ipv4/conf/$i/rp_filter; done");
	assert_true(spoofed_arrives(world, "10.220.0.1", "8.8.8.8", WAIT_MS));
	assert_false(spoofed_arrives(world, "10.220.0.3", "8.8.8.8", NO_MS));
	assert_false(spoofed_arrives(world, WORLD_HOST, "8.8.8.8", NO_MS));
}

/* Asks by ARP, as often as it takes, and says whether anybody answers. */
static int ask_arp(const char *target, unsigned wait_ms)
{
	struct ether_arp request = {.ea_hdr = {htons(ARPHRD_ETHER), htons(ETH_P_IP), 6, 4,
					htons(ARPOP_REQUEST)}},
			 answer;
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
	    .sll_protocol = htons(ETH_P_ARP),
	    .sll_ifindex = (int)if_nametoindex("eth0"),
	    .sll_halen = 6,
	    .sll_addr = {255, 255, 255, 255, 255, 255}};
	int fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ARP));
	struct pollfd pollfd = {fd, POLLIN, 0};

	inet_pton(AF_INET, "10.220.0.1", request.arp_spa);
	inet_pton(AF_INET, target, request.arp_tpa);
	memcpy(request.arp_sha, "\2\0\0\0\0\1", 6);
	for (unsigned waited = 0; waited < wait_ms; waited += 100) {
		sendto(fd, &request, sizeof(request), 0, (struct sockaddr *)&to, sizeof(to));
		while (poll(&pollfd, 1, 100) == 1)
			if (recv(fd, &answer, sizeof(answer), 0) == sizeof(answer) &&
			    answer.ea_hdr.ar_op == htons(ARPOP_REPLY) &&
			    memcmp(answer.arp_spa, request.arp_tpa, 4) == 0)
				return 0;
	}
	return 1;
}

static void arp_finds_the_gateway_and_nobody_else(void **state)
{
	static const char *const asked[] = {"10.220.0.0", "10.220.0.2", "10.220.0.3",
	    "10.220.255.254", WORLD_HOST, WORLD_LAN, "8.8.8.8"};
	struct world *world = world_of(state);

	world_make_all(world, WORLD_NONE);
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		int status;
		pid_t child = world_fork(world->container[0].netns_fd);
		if (child == 0)
			_exit(ask_arp(asked[i], i == 0 ? WAIT_MS : 300));
		waitpid(child, &status, 0);
		if ((status == 0) != (i == 0))
			fail_msg("%s: %d", asked[i], status);
	}
}

/* Even if somebody gave both ends IPv6 again and routes besides. */
static void no_ipv6_passes(void **state)
{
	struct world *world = world_of(state);

	for (enum world_rules rules = WORLD_BOTH; rules <= WORLD_NONE; rules++) {
		world_make_all(world, rules);
		for (unsigned i = 0; i < 2; i++) {
			world_sh(world->host,
			    "echo 0 >/proc/sys/net/ipv6/conf/n0-%u/disable_ipv6;"
			    "ip -6 addr add fd01:%u::1/64 dev n0-%u nodad",
			    i, i, i);
			world_sh(world->container[i].netns_fd,
			    "echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6;"
			    "ip -6 addr add fd01:%u::2/64 dev eth0 nodad;"
			    "ip -6 route add default via fd01:%u::1",
			    i, i);
		}
		int from = world->container[0].netns_fd;
		static const char *const to[] = {"fd01:1::2", "fd01::1", "fd01:1::1", "fd00:77::1",
		    "2001:4860::77", "fd00:77::2", "fd99::1", "2001:4860::1"};
		struct world_probe probe[3 * ARRAY_LEN(to) + 2];
		size_t n = 0;
		for (size_t i = 0; i < ARRAY_LEN(to); i++) {
			probe[n++] =
			    (struct world_probe){from, WORLD_TCP, to[i], WORLD_OTHER, 0, false};
			probe[n++] =
			    (struct world_probe){from, WORLD_UDP, to[i], WORLD_OTHER, 0, false};
			probe[n++] = (struct world_probe){from, WORLD_ICMP, to[i], 0, 0, false};
		}
		probe[n++] =
		    (struct world_probe){world->host, WORLD_TCP, "fd01::2", WORLD_PORT, 0, false};
		probe[n++] = (struct world_probe){
		    world->outside, WORLD_TCP, "fd01::2", WORLD_PORT, 0, false};
		expect(probe, n, rules);
		world_forget_all(world);
	}
}

static void a_container_has_no_ipv6_but_its_own_loopback(void **state)
{
	struct world *world = world_of(state);

	world_make_all(world, WORLD_BOTH);
	world_sh(world->container[0].netns_fd,
	    "test -z \"$(ip -6 addr show dev eth0)\"; ip -6 addr show dev lo | grep -q ::1");
	world_sh(world->host, "test -z \"$(ip -6 addr show dev n0-0)\"");
	assert_true(world_reaches((struct world_probe){world->container[0].netns_fd, WORLD_TCP,
				      "::1", WORLD_OTHER, 0, false},
	    WAIT_MS));
	assert_true(world_reaches((struct world_probe){world->container[0].netns_fd, WORLD_TCP,
				      "127.0.0.1", WORLD_OTHER, 0, false},
	    WAIT_MS));
	assert_true(world_reaches((struct world_probe){world->container[0].netns_fd, WORLD_TCP,
				      "10.220.0.1", WORLD_OTHER, 0, false},
	    WAIT_MS));
}

/* A port that the host forwards elsewhere (docker -p) is an address of the host all the same. */
static void a_port_that_the_host_forwards_is_not_reached(void **state)
{
	struct world *world = world_of(state);
	struct world_probe probe = {-1, WORLD_TCP, WORLD_HOST, 4444, 0, false};

	for (enum world_rules rules = WORLD_HOST_ONLY; rules <= WORLD_NONE; rules += 2) {
		world_make_all(world, rules);
		world_sh(world->host,
		    "nft 'table ip docker { chain p { type nat hook prerouting priority dstnat;"
		    "tcp dport 4444 dnat to 8.8.8.8:80; }; }'");
		probe.netns_fd = world->container[0].netns_fd;
		expect(&probe, 1, rules);
		world_sh(world->host, "nft delete table ip docker");
		world_forget_all(world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(neighbours_reach_nothing_of_each_other, world_clean),
	    cmocka_unit_test_teardown(no_range_that_is_not_public_is_reached, world_clean),
	    cmocka_unit_test_teardown(no_address_of_the_host_is_reached, world_clean),
	    cmocka_unit_test_teardown(public_addresses_are_reached_but_not_their_mail, world_clean),
	    cmocka_unit_test_teardown(the_world_reaches_no_container, world_clean),
	    cmocka_unit_test_teardown(of_the_host_only_callers_reach_the_agents_port, world_clean),
	    cmocka_unit_test_teardown(nobody_answers_for_a_container_that_is_gone, world_clean),
	    cmocka_unit_test_teardown(no_packet_leaves_under_anothers_address, world_clean),
	    cmocka_unit_test_teardown(the_set_of_links_alone_stops_spoofing, world_clean),
	    cmocka_unit_test_teardown(arp_finds_the_gateway_and_nobody_else, world_clean),
	    cmocka_unit_test_teardown(no_ipv6_passes, world_clean),
	    cmocka_unit_test_teardown(a_container_has_no_ipv6_but_its_own_loopback, world_clean),
	    cmocka_unit_test_teardown(a_port_that_the_host_forwards_is_not_reached, world_clean),
	};

	return cmocka_run_group_tests(tests, world_open, world_close);
}
