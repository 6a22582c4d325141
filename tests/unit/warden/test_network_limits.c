#include "tests/unit/warden/network_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

#define WAIT_MS 6000
#define NO_MS 600

enum { MOST = 20 };

/* Opens connections and keeps them; says how many were greeted, and what hindered the first that was not. */
static unsigned open_many(const char *to, unsigned n, int *fds, int wait_ms, int *error_r)
{
	struct sockaddr_storage address;
	struct timeval wait = {wait_ms / 1000, wait_ms % 1000 * 1000};
	socklen_t len;
	unsigned opened = 0;
	char hi[2];

	world_address(to, WORLD_PORT, &address, &len);
	for (; opened < n; opened++) {
		fds[opened] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(fds[opened], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
		setsockopt(fds[opened], SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
		if (connect(fds[opened], (struct sockaddr *)&address, len) != 0 ||
		    read(fds[opened], hi, 2) != 2) {
			*error_r = errno;
			close(fds[opened]);
			break;
		}
	}
	return opened;
}

static unsigned udp_many(const char *to, unsigned n)
{
	unsigned answered = 0;

	for (unsigned i = 0; i < n; i++) {
		struct sockaddr_storage address;
		socklen_t len;
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		struct pollfd pollfd = {fd, POLLIN, 0};
		char answer[4];
		world_address(to, WORLD_OTHER, &address, &len);
		if (connect(fd, (struct sockaddr *)&address, len) == 0 &&
		    send(fd, "ask", 3, 0) == 3 && poll(&pollfd, 1, 1000) == 1 &&
		    recv(fd, answer, sizeof(answer), 0) == 3)
			answered++;
	}
	return answered;
}

static void narrow(struct world *world, bool is_narrowed)
{
	struct network_limits limits = {
	    .connections = is_narrowed ? 1000 : MOST, .is_narrowed = is_narrowed};

	world_make(world, 0, &limits);
}

static int in_container(struct world *world, int (*work)(void))
{
	int status;
	pid_t child = world_fork(world->container[0].netns_fd);

	if (child == 0)
		_exit(work());
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* One that is closed makes room for one more. */
static int begin_too_many(void)
{
	int fds[2 * MOST], error = 0;

	if (open_many("8.8.8.8", 2 * MOST, fds, WAIT_MS, &error) != MOST)
		return 1;
	if (error != ECONNREFUSED)
		return 2;
	close(fds[0]);
	for (int i = 0; i < 20; i++) {
		usleep(200000);
		if (open_many("8.8.8.8", 1, fds, WAIT_MS, &error) == 1)
			return 0;
	}
	return 3;
}

static int ask_too_many(void)
{
	return (int)udp_many("8.8.8.8", 2 * MOST);
}

/* What ended leaves its place to others, but not faster than the rate: the host remembers each for a while. Says by how many it was too fast. */
static int churn(void)
{
	uint64_t begin_ms = clock_boot_ms();
	int fd, error = 0, opened = 0;

	for (int i = 0; i < 4 * MOST && clock_boot_ms() - begin_ms < 3000; i++) {
		if (open_many("8.8.8.8", 1, &fd, 200, &error) != 1)
			continue;
		close(fd);
		opened++;
	}
	int rate = MOST / 8 + 1,
	    may = MOST + rate + rate * (int)((clock_boot_ms() - begin_ms) / 1000 + 1);
	return opened <= may ? 0 : opened - may;
}

static void a_container_has_no_more_connections_than_its_limit(void **state)
{
	struct world *world = world_of(state);

	narrow(world, false);
	assert_int_equal(in_container(world, begin_too_many), 0);
	world_forget_all(world);
	narrow(world, false);
	assert_int_equal(in_container(world, ask_too_many), MOST);
}

static void a_container_begins_connections_no_faster_than_its_rate(void **state)
{
	struct world *world = world_of(state);

	narrow(world, false);
	assert_int_equal(in_container(world, churn), 0);
}

static void the_host_has_no_more_connections_to_it_than_its_limit(void **state)
{
	struct world *world = world_of(state);
	int fds[2 * MOST] = {0}, error = 0;

	narrow(world, false);
	assert_int_equal(open_many("10.220.0.1", 2 * MOST, fds, WAIT_MS, &error), MOST);
	assert_int_equal(error, ECONNREFUSED);
	for (size_t i = 0; i < MOST; i++)
		close(fds[i]);
}

static void allow(struct world *world, const char *to, uint32_t ttl_s)
{
	struct network_allowed allowed[] = {{.ttl_s = ttl_s}, {.ttl_s = ttl_s}};
	struct error err = {0};

	inet_pton(AF_INET, to, &allowed[0].address);
	inet_pton(AF_INET, "9.9.9.9", &allowed[1].address);
	MUST(network_allow(
	    world->network, 0, world->container[0].netns_fd, allowed, ARRAY_LEN(allowed), &err));
}

static bool reaches(struct world *world, const char *to, unsigned wait_ms)
{
	return world_reaches((struct world_probe){world->container[0].netns_fd, WORLD_UDP, to,
				 WORLD_OTHER, 0, false},
	    wait_ms);
}

static void take_rules(struct world *world, enum world_rules rules)
{
	if (rules == WORLD_HOST_ONLY)
		world_sh(world->container[0].netns_fd,
		    "nft flush chain inet agent output;"
		    "nft add rule inet agent output accept; nft flush chain inet agent input;"
		    "nft add rule inet agent input accept");
	if (rules == WORLD_INSIDE_ONLY)
		world_sh(world->host, "nft flush chain inet n0_agents outward");
}

static void a_narrowed_container_reaches_only_what_is_allowed(void **state)
{
	struct world *world = world_of(state);

	for (enum world_rules rules = WORLD_BOTH; rules <= WORLD_INSIDE_ONLY; rules++) {
		narrow(world, true);
		take_rules(world, rules);
		assert_false(reaches(world, "8.8.8.8", NO_MS));
		allow(world, "8.8.8.8", 60);
		assert_true(reaches(world, "8.8.8.8", WAIT_MS));
		assert_true(reaches(world, "9.9.9.9", WAIT_MS));
		assert_false(reaches(world, "1.1.1.1", NO_MS));
		assert_true(world_reaches((struct world_probe){world->container[0].netns_fd,
					      WORLD_UDP, "10.220.255.254", 53, 0, false},
		    WAIT_MS));
		world_forget_all(world);
	}
}

static void allowing_what_is_denied_to_all_opens_nothing(void **state)
{
	static const char *const denied[] = {
	    "10.1.2.3", "169.254.169.254", "45.45.45.45", WORLD_HOST};
	struct world *world = world_of(state);

	narrow(world, true);
	for (size_t i = 0; i < ARRAY_LEN(denied); i++) {
		allow(world, denied[i], 60);
		assert_false(reaches(world, denied[i], NO_MS));
	}
}

static void an_allowed_address_is_shut_again_after_its_time(void **state)
{
	struct world *world = world_of(state);

	for (enum world_rules rules = WORLD_BOTH; rules <= WORLD_INSIDE_ONLY; rules++) {
		bool is_open = true;
		narrow(world, true);
		take_rules(world, rules);
		allow(world, "8.8.8.8", 1);
		for (int i = 0; i < 100 && is_open; i++) {
			usleep(50000);
			is_open = reaches(world, "8.8.8.8", NO_MS);
		}
		assert_false(is_open);
		world_forget_all(world);
	}
}

static void allowing_again_gives_the_new_time(void **state)
{
	struct world *world = world_of(state);

	narrow(world, true);
	allow(world, "8.8.8.8", 2);
	allow(world, "8.8.8.8", 100000);
	world_sh(world->host, "nft list set inet n0_agents allowed | grep -q 'timeout 10m'");
	world_sh(world->container[0].netns_fd,
	    "nft list set inet agent allowed | grep -q 'timeout 10m'");
}

static void the_next_of_a_slot_is_not_narrowed(void **state)
{
	static const struct network_limits none = {0};
	struct world *world = world_of(state);
	struct error err = {0};

	narrow(world, true);
	world_end(&world->container[0].server);
	close(world->container[0].netns_fd);
	MUST(network_link_forget(world->network, 0, &none, &err));
	narrow(world, false);
	assert_true(reaches(world, "8.8.8.8", WAIT_MS));
}

static void make_with_ranges(struct world *world, struct network_limits *limits)
{
	static struct cidr ranges[2] = {{.bits = 24}, {.bits = 32}};

	inet_pton(AF_INET, "8.8.8.0", &ranges[0].address);
	inet_pton(AF_INET, "9.9.9.9", &ranges[1].address);
	*limits = (struct network_limits){1000, true, ranges, ARRAY_LEN(ranges)};
	world_make(world, 0, limits);
}

static void a_narrowed_container_reaches_its_ranges_from_the_beginning(void **state)
{
	struct world *world = world_of(state);
	struct network_limits limits;

	for (enum world_rules rules = WORLD_BOTH; rules <= WORLD_INSIDE_ONLY; rules++) {
		make_with_ranges(world, &limits);
		take_rules(world, rules);
		assert_true(reaches(world, "8.8.8.8", WAIT_MS));
		assert_true(reaches(world, "9.9.9.9", WAIT_MS));
		assert_false(reaches(world, "1.1.1.1", NO_MS));
		allow(world, "1.1.1.1", 60);
		assert_true(reaches(world, "1.1.1.1", WAIT_MS));
		world_forget_all(world);
	}
}

/* The rules inside are as they were; those of the host begin anew. */
static void ranges_stay_when_a_link_is_adopted_and_go_with_it(void **state)
{
	struct world *world = world_of(state);
	struct network_limits limits;
	struct error err = {0};

	make_with_ranges(world, &limits);
	network_close(&world->network);
	world->network = world_network();
	assert_false(reaches(world, "8.8.8.8", NO_MS));
	MUST(network_link_adopt(world->network, 0, &limits, &err));
	assert_true(reaches(world, "8.8.8.8", WAIT_MS));
	assert_false(reaches(world, "1.1.1.1", NO_MS));
	MUST(network_check(world->network, &err));
	MUST(network_link_forget(world->network, 0, &limits, &err));
	world_sh(world->host, "! nft list set inet n0_agents ranges | grep -q elements");
	MUST(network_link_forget(world->network, 0, &limits, &err));
	MUST(network_check(world->network, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(
		a_container_has_no_more_connections_than_its_limit, world_clean),
	    cmocka_unit_test_teardown(
		a_container_begins_connections_no_faster_than_its_rate, world_clean),
	    cmocka_unit_test_teardown(
		the_host_has_no_more_connections_to_it_than_its_limit, world_clean),
	    cmocka_unit_test_teardown(
		a_narrowed_container_reaches_only_what_is_allowed, world_clean),
	    cmocka_unit_test_teardown(allowing_what_is_denied_to_all_opens_nothing, world_clean),
	    cmocka_unit_test_teardown(an_allowed_address_is_shut_again_after_its_time, world_clean),
	    cmocka_unit_test_teardown(allowing_again_gives_the_new_time, world_clean),
	    cmocka_unit_test_teardown(
		a_narrowed_container_reaches_its_ranges_from_the_beginning, world_clean),
	    cmocka_unit_test_teardown(
		ranges_stay_when_a_link_is_adopted_and_go_with_it, world_clean),
	    cmocka_unit_test_teardown(the_next_of_a_slot_is_not_narrowed, world_clean),
	};

	return cmocka_run_group_tests(tests, world_open, world_close);
}
