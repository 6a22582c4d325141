#include "tests/unit/warden/network_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void world_address(
    const char *text, uint16_t port, struct sockaddr_storage *address_r, socklen_t *len_r)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)address_r;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address_r;

	memset(address_r, 0, sizeof(*address_r));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*len_r = sizeof(*v4);
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		*len_r = sizeof(*v6);
	} else {
		fail_msg("not an address: %s", text);
	}
}

static bool hears(int fd, short what, unsigned wait_ms)
{
	struct pollfd pollfd = {fd, what, 0};

	return poll(&pollfd, 1, (int)wait_ms) == 1 && (pollfd.revents & what);
}

static bool try_tcp(const struct sockaddr_storage *to, socklen_t len, unsigned wait_ms)
{
	int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	char hi[2];

	if (connect(fd, (const struct sockaddr *)to, len) != 0 && errno != EINPROGRESS)
		return false;
	return hears(fd, POLLIN, wait_ms) && read(fd, hi, 2) == 2;
}

/* A few times: the first datagrams of a new link wait for ARP. */
static bool try_udp(const struct sockaddr_storage *to, socklen_t len, unsigned wait_ms)
{
	int fd = socket(to->ss_family, SOCK_DGRAM, 0);
	char answer[4];

	if (connect(fd, (const struct sockaddr *)to, len) != 0)
		return false;
	for (int i = 0; i < 3; i++) {
		if (send(fd, "ask", 3, 0) == 3 && hears(fd, POLLIN, wait_ms / 3) &&
		    recv(fd, answer, sizeof(answer), 0) == 3)
			return true;
	}
	return false;
}

static uint16_t checksum(const uint8_t *data, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(data[i] << 8 | data[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t) ~(sum + (sum >> 16)));
}

static bool is_answer(
    const struct sockaddr_storage *to, const uint8_t *packet, ssize_t n, uint16_t id)
{
	size_t at = to->ss_family == AF_INET ? 20 : 0;
	uint8_t type = to->ss_family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;
	uint16_t got;

	if (n < (ssize_t)at + 8 || packet[at] != type)
		return false;
	memcpy(&got, packet + at + 4, sizeof(got));
	return got == id;
}

static bool try_icmp(const struct sockaddr_storage *to, socklen_t len, unsigned wait_ms)
{
	bool is_v4 = to->ss_family == AF_INET;
	int fd = socket(to->ss_family, SOCK_RAW, is_v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	uint16_t id = (uint16_t)getpid(), sum;
	uint8_t echo[8] = {is_v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST}, answer[256];

	memcpy(echo + 4, &id, sizeof(id));
	sum = checksum(echo, sizeof(echo));
	memcpy(echo + 2, &sum, sizeof(sum));
	for (int i = 0; i < 3; i++) {
		sendto(fd, echo, sizeof(echo), 0, (const struct sockaddr *)to, len);
		while (hears(fd, POLLIN, wait_ms / 3))
			if (is_answer(to, answer, recv(fd, answer, sizeof(answer), 0), id))
				return true;
	}
	return false;
}

static bool try_one(const struct world_probe *probe, unsigned wait_ms)
{
	struct sockaddr_storage to;
	socklen_t len = 0;

	world_address(probe->to, probe->port, &to, &len);
	if (probe->uid != 0 && setresuid(probe->uid, probe->uid, probe->uid) != 0)
		return false;
	switch (probe->kind) {
	case WORLD_TCP:
		return try_tcp(&to, len, wait_ms);
	case WORLD_UDP:
		return try_udp(&to, len, wait_ms);
	case WORLD_ICMP:
		return try_icmp(&to, len, wait_ms);
	}
	return false;
}

void world_try(struct world_probe *probe, size_t n, unsigned wait_ms)
{
	pid_t *child = calloc(n, sizeof(*child));
	int status;

	for (size_t i = 0; i < n; i++) {
		child[i] = world_fork(probe[i].netns_fd);
		if (child[i] == 0)
			_exit(try_one(&probe[i], wait_ms) ? 0 : 1);
	}
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(waitpid(child[i], &status, 0), child[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		probe[i].reached = WEXITSTATUS(status) == 0;
	}
	free(child);
}

bool world_reaches(struct world_probe probe, unsigned wait_ms)
{
	world_try(&probe, 1, wait_ms);
	return probe.reached;
}
