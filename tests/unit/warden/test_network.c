#include "tests/unit/warden/network_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "services/warden/network_internal.h"

#define WAIT_MS 3000
#define NO_MS 500

static const struct network_limits limits = {.connections = 100};

static void *setup(void **state)
{
	struct world *world = world_of(state);

	world_make(world, 0, &limits);
	return world;
}

/* A connection from the host to the container, its greeting read. */
static int connected(const struct network_link *link)
{
	struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons(WORLD_PORT), .sin_addr = link->container};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char hi[2];

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(read(fd, hi, 2), 2);
	return fd;
}

static void a_link_made_twice_is_refused_and_the_first_stays(void **state)
{
	struct world *world = setup(state);
	struct network_text to = network_text_of(world->container[0].link.container);
	struct error err = {0};
	int fd = -1;

	assert_int_equal(network_link_make(world->network, 0, &limits, &fd, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(fd, -1);
	assert_true(world_reaches(
	    (struct world_probe){world->host, WORLD_TCP, to.s, WORLD_PORT, 0, false}, WAIT_MS));
}

static void making_a_link_leaves_the_caller_where_it_was(void **state)
{
	struct stat before, after;

	world_of(state);
	stat("/proc/thread-self/ns/net", &before);
	setup(state);
	stat("/proc/thread-self/ns/net", &after);
	assert_int_equal(before.st_ino, after.st_ino);
}

static void forgetting_is_idempotent(void **state)
{
	struct world *world = setup(state);
	struct error err = {0};

	for (int i = 0; i < 3; i++)
		MUST(network_link_forget(world->network, 0, &(struct network_limits){0}, &err));
	MUST(network_link_forget(world->network, 4000, &(struct network_limits){0}, &err));
	assert_int_equal(if_nametoindex("n0-0"), 0);
	world_sh(world->host, "! nft list set inet n0_agents links | grep -q n0-0");
}

static void forgetting_works_when_the_table_is_gone(void **state)
{
	struct world *world = setup(state);
	struct error err = {0};

	world_sh(world->host, "nft flush ruleset");
	MUST(network_link_forget(world->network, 0, &(struct network_limits){0}, &err));
}

static void the_link_goes_with_the_last_of_its_namespace(void **state)
{
	struct world *world = setup(state);
	struct world_container *container = &world->container[0];
	uint64_t end = clock_boot_ms() + 10000;

	world_end(&container->server);
	close(container->netns_fd);
	container->netns_fd = -1;
	while (if_nametoindex(container->link.ifname) != 0 && clock_boot_ms() < end)
		usleep(1000);
	assert_int_equal(if_nametoindex(container->link.ifname), 0);
}

static void a_link_found_alive_passes_nothing_until_adopted(void **state)
{
	struct world *world = setup(state);
	struct world_probe probe = {
	    world->container[0].netns_fd, WORLD_TCP, "8.8.8.8", 80, 0, false};
	struct error err = {0};

	network_close(&world->network);
	world->network = world_network();
	assert_false(world_reaches(probe, NO_MS));
	MUST(network_link_adopt(world->network, 0, &limits, &err));
	assert_true(world_reaches(probe, WAIT_MS));
	assert_int_equal(network_link_adopt(world->network, 7, &limits, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

/* Sends from port 5000 of a container to the world's port, and says where the world saw it come from. */
static int asks_the_world(struct world *world, int outside_fd, struct sockaddr_in *seen_r)
{
	pid_t child = world_fork(world->container[0].netns_fd);
	socklen_t len = sizeof(*seen_r);
	char data[8];

	if (child == 0) {
		struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(5000)};
		struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(6000)};
		int fd = socket(AF_INET, SOCK_DGRAM, 0);
		inet_pton(AF_INET, "5.5.5.2", &to.sin_addr);
		if (bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
		    sendto(fd, "ask", 3, 0, (struct sockaddr *)&to, sizeof(to)) != 3)
			_exit(1);
		pause();
	}
	ssize_t n = recvfrom(outside_fd, data, sizeof(data), 0, (struct sockaddr *)seen_r, &len);
	world_end(&child);
	return n == 3 ? 0 : -1;
}

static bool late_answer_arrives(struct world *world, bool is_forgotten)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(6000)}, seen;
	struct timeval wait = {3, 0};
	struct error err = {0};
	int home = world->host;

	assert_int_equal(setns(world->outside, 0), 0);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(home, 0), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(asks_the_world(world, fd, &seen), 0);

	world_end(&world->container[0].server);
	close(world->container[0].netns_fd);
	if (is_forgotten)
		MUST(network_link_forget(world->network, 0, &(struct network_limits){0}, &err));
	else
		world_sh(world->host, "ip link del n0-0 2>/dev/null || true");
	while (if_nametoindex("n0-0") != 0)
		usleep(1000);
	world_make(world, 0, &limits);
	/* its own rules would drop it: the host's are tried */
	world_sh(world->container[0].netns_fd, "nft flush ruleset");
	uint64_t before = world_datagrams(world->container[0].netns_fd);
	pid_t child = world_fork(world->container[0].netns_fd);
	if (child == 0) {
		struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(5000)};
		int in = socket(AF_INET, SOCK_DGRAM, 0);
		char data[8];
		if (bind(in, (struct sockaddr *)&any, sizeof(any)) != 0)
			_exit(1);
		while (recv(in, data, sizeof(data), 0) > 0)
			continue;
		_exit(0);
	}
	bool arrived = false;
	for (int i = 0; i < (is_forgotten ? 50 : 1000) && !arrived; i++) {
		sendto(fd, "late", 4, 0, (struct sockaddr *)&seen, sizeof(seen));
		usleep(10000);
		arrived = world_datagrams(world->container[0].netns_fd) > before;
	}
	world_end(&child);
	close(fd);
	return arrived;
}

static void a_late_answer_does_not_reach_the_next_of_the_address(void **state)
{
	struct world *world = setup(state);

	assert_true(late_answer_arrives(world, false));
	world_forget_all(world);
	world_make(world, 0, &limits);
	assert_false(late_answer_arrives(world, true));
}

static void counts_open_connections_and_ends_them(
    void **state, int (*end)(const struct network *network, uint32_t slot, struct error *err))
{
	struct world *world = setup(state);
	const struct network_link *link = &world->container[0].link;
	const struct network_limits many = {.connections = 400};
	struct error err = {0};
	uint64_t open = 99;
	int fds[300]; /* more than one call destroys */
	char byte;

	world_forget_all(world);
	world_make(world, 0, &many);
	world_make(world, 1, &limits);
	int other = connected(&world->container[1].link);
	MUST(network_count(world->network, 0, &open, &err));
	assert_int_equal(open, 0);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = connected(link);
	MUST(network_count(world->network, 0, &open, &err));
	assert_int_equal(open, ARRAY_LEN(fds));
	MUST(end(world->network, 0, &err));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		assert_int_equal(read(fds[i], &byte, 1), -1);
		assert_true(errno == ECONNABORTED || errno == ECONNRESET);
		close(fds[i]);
	}
	MUST(network_count(world->network, 0, &open, &err));
	assert_int_equal(open, 0);
	MUST(network_count(world->network, 1, &open, &err));
	assert_int_equal(open, 1);
	close(other);
}

static void counts_open_connections_and_resets_them(void **state)
{
	counts_open_connections_and_ends_them(state, network_reset);
}

static void counts_open_connections_and_cuts_them(void **state)
{
	counts_open_connections_and_ends_them(state, network_cut);
}

static void counts_and_resets_connections_of_ipv6_sockets(void **state)
{
	struct world *world = setup(state);
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(WORLD_PORT)};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct error err = {0};
	uint64_t open;
	char byte[2];

	inet_pton(AF_INET6, "::ffff:10.220.0.1", &to.sin6_addr);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(read(fd, byte, 2), 2);
	MUST(network_count(world->network, 0, &open, &err));
	assert_int_equal(open, 1);
	MUST(network_reset(world->network, 0, &err));
	assert_int_equal(read(fd, byte, 1), -1);
	close(fd);
}

static int bound(struct in_addr address)
{
	const struct sockaddr_in own = {
	    .sin_family = AF_INET, .sin_port = htons(WORLD_GATEWAY_PORT), .sin_addr = address};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (const struct sockaddr *)&own, sizeof(own)), 0);
	return fd;
}

/* Connects to the gateway, and stays so. */
static pid_t client_in(const struct world *world, struct in_addr gateway)
{
	const struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons(WORLD_GATEWAY_PORT), .sin_addr = gateway};
	pid_t child = world_fork(world->container[0].netns_fd);

	if (child == 0) {
		char byte;
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
			(void)!read(fd, &byte, 1);
		_exit(0);
	}
	return child;
}

static void a_reset_spares_the_gateways_own_and_nothing_else_of_its_port(void **state)
{
	struct world *world = setup(state);
	const struct network_link *link = &world->container[0].link;
	const struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons(WORLD_PORT), .sin_addr = link->container};
	struct in_addr gateway = network_resolver(world->network);
	struct error err = {0};
	uint64_t open;
	char hi[2];

	int listener = bound(gateway);
	assert_int_equal(listen(listener, 1), 0);
	pid_t client = client_in(world, gateway);
	int theirs = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(theirs >= 0);
	/* whoever widened the range of ports gets this one for a connection to an agent, once in a while */
	int ours = bound(link->host);
	assert_int_equal(connect(ours, (const struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(read(ours, hi, 2), 2);
	MUST(network_count(world->network, 0, &open, &err));
	assert_int_equal(open, 1);
	MUST(network_reset(world->network, 0, &err));
	assert_int_equal(read(ours, hi, 1), -1);
	assert_int_equal(recv(theirs, hi, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	MUST(network_link_forget(world->network, 0, &(struct network_limits){0}, &err));
	assert_int_equal(read(theirs, hi, 1), -1);
	assert_true(errno == ECONNABORTED || errno == ECONNRESET);
	close(ours);
	close(theirs);
	close(listener);
	world_end(&client);
}

static void the_check_sees_a_table_that_is_gone_or_changed(void **state)
{
	static const char *const changes[] = {"nft flush ruleset",
	    "nft delete table inet n0_agents", "nft flush chain inet n0_agents forward",
	    "nft flush chain inet n0_agents denied",
	    "nft insert rule inet n0_agents outward accept",
	    "nft 'add table inet n0_agents { flags dormant; }'",
	    "nft 'add chain inet n0_agents more'"};
	struct world *world = world_of(state);
	struct error err = {0};

	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		world_make(world, 0, &limits);
		MUST(network_check(world->network, &err));
		int watch = network_watch_socket(&err);
		struct pollfd pollfd = {watch, POLLIN, 0};
		assert_int_equal(poll(&pollfd, 1, 0), 0);
		world_sh(world->host, "%s", changes[i]);
		assert_int_equal(poll(&pollfd, 1, 0), 1);
		if (network_check(world->network, &err) == 0)
			fail_msg("%s was not seen", changes[i]);
		close(watch);
		world_forget_all(world);
	}
}

static void elements_do_not_disturb_the_check(void **state)
{
	struct world *world = world_of(state);
	struct error err = {0};

	world_make_all(world, WORLD_BOTH);
	MUST(network_check(world->network, &err));
}

static void the_resolvers_socket_hears_containers(void **state)
{
	struct world *world = world_of(state);
	struct error err = {0};
	struct network_text to = network_text_of(network_resolver(world->network));
	struct sockaddr_in from = {0};
	socklen_t len = sizeof(from);
	char data[8];

	world_end(&world->server);
	world_make(world, 0, &limits);
	int fd = network_resolver_socket(world->network, &err);
	MUST(fd);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	world_reaches(
	    (struct world_probe){world->container[0].netns_fd, WORLD_UDP, to.s, 53, 0, false}, 90);
	assert_int_equal(recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &len), 3);
	assert_int_equal(from.sin_addr.s_addr, world->container[0].link.container.s_addr);
	close(fd);
	world->server = world_serve(world->host);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void links_are_made_and_forgotten_without_a_trace(void **state)
{
	enum { ROUNDS = 60 };
	struct world *world = world_of(state);
	uint64_t make_us[ROUNDS], forget_us[ROUNDS];
	struct error err = {0};

	for (size_t i = 0; i < ROUNDS; i++) {
		struct timespec a, b, c;
		int fd = -1;
		clock_gettime(CLOCK_MONOTONIC, &a);
		MUST(network_link_make(world->network, (uint32_t)i, &limits, &fd, &err));
		clock_gettime(CLOCK_MONOTONIC, &b);
		close(fd);
		struct timespec d;
		clock_gettime(CLOCK_MONOTONIC, &d);
		MUST(network_link_forget(
		    world->network, (uint32_t)i, &(struct network_limits){0}, &err));
		clock_gettime(CLOCK_MONOTONIC, &c);
		make_us[i] =
		    (uint64_t)((b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000);
		forget_us[i] =
		    (uint64_t)((c.tv_sec - d.tv_sec) * 1000000 + (c.tv_nsec - d.tv_nsec) / 1000);
	}
	qsort(make_us, ROUNDS, sizeof(*make_us), by_value);
	qsort(forget_us, ROUNDS, sizeof(*forget_us), by_value);
	print_message(
	    "make: median %lu us, min %lu, max %lu; forget: median %lu us, min %lu, max %lu\n",
	    make_us[ROUNDS / 2], make_us[0], make_us[ROUNDS - 1], forget_us[ROUNDS / 2],
	    forget_us[0], forget_us[ROUNDS - 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(
		a_link_made_twice_is_refused_and_the_first_stays, world_clean),
	    cmocka_unit_test_teardown(making_a_link_leaves_the_caller_where_it_was, world_clean),
	    cmocka_unit_test_teardown(forgetting_is_idempotent, world_clean),
	    cmocka_unit_test_teardown(forgetting_works_when_the_table_is_gone, world_clean),
	    cmocka_unit_test_teardown(the_link_goes_with_the_last_of_its_namespace, world_clean),
	    cmocka_unit_test_teardown(a_link_found_alive_passes_nothing_until_adopted, world_clean),
	    cmocka_unit_test_teardown(
		a_late_answer_does_not_reach_the_next_of_the_address, world_clean),
	    cmocka_unit_test_teardown(counts_open_connections_and_resets_them, world_clean),
	    cmocka_unit_test_teardown(counts_open_connections_and_cuts_them, world_clean),
	    cmocka_unit_test_teardown(counts_and_resets_connections_of_ipv6_sockets, world_clean),
	    cmocka_unit_test_teardown(
		a_reset_spares_the_gateways_own_and_nothing_else_of_its_port, world_clean),
	    cmocka_unit_test_teardown(the_check_sees_a_table_that_is_gone_or_changed, world_clean),
	    cmocka_unit_test_teardown(elements_do_not_disturb_the_check, world_clean),
	    cmocka_unit_test_teardown(the_resolvers_socket_hears_containers, world_clean),
	    cmocka_unit_test_teardown(links_are_made_and_forgotten_without_a_trace, world_clean),
	};

	return cmocka_run_group_tests(tests, world_open, world_close);
}
