#include "tests/unit/warden/network_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/warden/network_server.h"

static int own_netns(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int new_netns(void)
{
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	return own_netns();
}

pid_t world_fork(int netns_fd)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setns(netns_fd, CLONE_NEWNET) != 0)
			_exit(9);
	}
	return child;
}

void world_end(pid_t *child)
{
	if (*child <= 0)
		return;
	kill(*child, SIGKILL);
	waitpid(*child, NULL, 0);
	*child = 0;
}

void world_sh(int netns_fd, const char *fmt, ...)
{
	char command[2048];
	int status;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	pid_t child = world_fork(netns_fd);
	if (child == 0) {
		execl("/bin/sh", "sh", "-ec", command, (char *)NULL);
		_exit(127);
	}
	waitpid(child, &status, 0);
	if (status != 0)
		fail_msg("%s: %d", command, status);
}

uint64_t world_datagrams(int netns_fd)
{
	char line[512];
	uint64_t datagrams = 0;
	int home = own_netns();

	assert_int_equal(setns(netns_fd, CLONE_NEWNET), 0);
	FILE *f = fopen("/proc/thread-self/net/snmp", "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Udp: %lu", &datagrams) == 1)
			break;
	fclose(f);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	return datagrams;
}

pid_t world_serve(int netns_fd)
{
	int ready[2];
	char byte;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid_t child = world_fork(netns_fd);
	if (child == 0)
		network_server_run(ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return child;
}

struct network *world_network(void)
{
	static const uid_t callers[] = {WORLD_CALLER};
	static const char *const denied[] = {"45.45.45.0/24", "2001:db8:9::/48"};
	struct network_config config = {.prefix = "n0",
	    .pool_bits = 16,
	    .agent_port = WORLD_PORT,
	    .gateway_port = WORLD_GATEWAY_PORT,
	    .callers = callers,
	    .ncallers = ARRAY_LEN(callers),
	    .denied = denied,
	    .ndenied = ARRAY_LEN(denied)};
	struct network *network = NULL;
	struct error err = {0};

	inet_pton(AF_INET, "10.220.0.0", &config.pool);
	MUST(network_open(&config, &network, &err));
	return network;
}

static void build_outside(struct world *world)
{
	static const char addresses[] =
	    "8.8.8.8 1.1.1.1 9.9.9.9 10.1.2.3 10.220.200.1 172.16.5.5 172.31.255.1 192.168.1.1 "
	    "169.254.169.254 100.64.0.1 100.100.100.200 198.18.0.1 198.19.255.1 192.0.0.8 "
	    "168.63.129.16 192.0.2.1 198.51.100.1 203.0.113.1 192.88.99.1 45.45.45.45 240.0.0.1";

	world_sh(world->host,
	    "ip link set lo up; ip link add up0 type veth peer name up1 netns /proc/%d/fd/%d;"
	    "ip addr add " WORLD_HOST "/24 dev up0; ip addr add " WORLD_LAN "/24 dev up0;"
	    "ip -6 addr add fd00:77::1/64 dev up0 nodad; ip link set up0 up;"
	    "ip -6 addr add 2001:4860::77/128 dev lo",
	    getpid(), world->outside);
	world_sh(world->outside,
	    "ip link set lo up; ip addr add 5.5.5.2/24 dev up1; ip addr add 192.168.77.2/24 dev "
	    "up1;"
	    "ip -6 addr add fd00:77::2/64 dev up1 nodad; ip link set up1 up;"
	    "for a in %s; do ip addr add $a/32 dev lo; done;"
	    "ip -6 addr add 2001:4860::1/128 dev lo; ip -6 addr add fd99::1/128 dev lo;"
	    "ip route add 10.220.0.0/16 via " WORLD_HOST ";"
	    "ip -6 route add default via fd00:77::1",
	    addresses);
	world_sh(world->host, "ip route add default via 5.5.5.2;"
			      "ip -6 route add default via fd00:77::2;"
			      "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
}

int world_open(void **state)
{
	if (geteuid() != 0)
		return 0;
	struct world *world = calloc(1, sizeof(*world));
	world->home = own_netns();
	world->outside = new_netns();
	world->host = new_netns();
	build_outside(world);
	world->network = world_network();
	world->server = world_serve(world->host);
	world->outside_server = world_serve(world->outside);
	for (size_t i = 0; i < WORLD_CONTAINERS; i++)
		world->container[i].netns_fd = -1;
	*state = world;
	return 0;
}

/* The machine's own network has nothing of ours, and the one we made has only what it had at first. */
int world_close(void **state)
{
	struct world *world = *state;

	if (!world)
		return 0;
	world_forget_all(world);
	world_sh(world->host, "test $(ls -d /proc/sys/net/ipv4/conf/n0-* 2>/dev/null | wc -l) = 0;"
			      "! nft list set inet n0_agents links | grep -q elements");
	network_close(&world->network);
	world_end(&world->server);
	world_end(&world->outside_server);
	assert_int_equal(setns(world->home, CLONE_NEWNET), 0);
	world_sh(world->home, "! ip link show | grep -q ' n0-'; ! nft list tables | grep -q n0_");
	close(world->home);
	close(world->host);
	close(world->outside);
	free(world);
	return 0;
}

struct world *world_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

void world_make(struct world *world, size_t container, const struct network_limits *limits)
{
	struct world_container *made = &world->container[container];
	struct error err = {0};

	network_link_of(world->network, (uint32_t)container, &made->link);
	MUST(network_link_make(world->network, (uint32_t)container, limits, &made->netns_fd, &err));
	made->server = world_serve(made->netns_fd);
}

void world_make_all(struct world *world, enum world_rules rules)
{
	static const struct network_limits limits = {.connections = 100};

	for (size_t i = 0; i < WORLD_CONTAINERS; i++) {
		world_make(world, i, &limits);
		if (rules == WORLD_HOST_ONLY || rules == WORLD_NONE)
			world_sh(world->container[i].netns_fd, "nft flush ruleset");
	}
	if (rules == WORLD_INSIDE_ONLY || rules == WORLD_NONE)
		world_sh(world->host, "nft flush ruleset");
}

void world_forget_all(struct world *world)
{
	struct error err = {0};

	for (size_t i = 0; i < WORLD_CONTAINERS; i++) {
		struct world_container *container = &world->container[i];
		world_end(&container->server);
		if (container->netns_fd >= 0)
			close(container->netns_fd);
		container->netns_fd = -1;
		MUST(network_link_forget(
		    world->network, (uint32_t)i, &(struct network_limits){0}, &err));
	}
	network_close(&world->network);
	world->network = world_network();
}

int world_clean(void **state)
{
	if (*state)
		world_forget_all(*state);
	return 0;
}
