#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/sandbox/probe.h"

#define TARGETS_MAX 512
#define WAIT_MS 1500

enum kind { TCP, UDP, ICMP, ARP, KINDS };
static const char *const names[KINDS] = {"tcp", "udp", "icmp", "arp"};

struct target {
	const char *text;
	enum kind kind;
	struct sockaddr_storage to;
	socklen_t len;
	int fd, error;
	int is_done, is_reached;
};

/* "kind:address" or "kind:address:port"; IPv6 in brackets. */
static int read_target(struct target *target, const char *text)
{
	char copy[128], *address, *port = NULL;
	struct sockaddr_in *v4 = (void *)&target->to;
	struct sockaddr_in6 *v6 = (void *)&target->to;

	target->text = text;
	snprintf(copy, sizeof(copy), "%s", text);
	address = strchr(copy, ':');
	if (!address)
		return -1;
	*address++ = '\0';
	for (target->kind = TCP; target->kind < KINDS; target->kind++)
		if (strcmp(names[target->kind], copy) == 0)
			break;
	if (target->kind == KINDS)
		return -1;
	if (*address == '[') {
		char *end = strchr(++address, ']'), *scope;
		if (!end)
			return -1;
		*end = '\0';
		port = end[1] == ':' ? end + 2 : NULL;
		scope = strchr(address, '%');
		if (scope)
			*scope++ = '\0';
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((unsigned short)(port ? strtoul(port, NULL, 10) : 0));
		v6->sin6_scope_id = scope ? if_nametoindex(scope) : 0;
		target->len = sizeof(*v6);
		return inet_pton(AF_INET6, address, &v6->sin6_addr) == 1 ? 0 : -1;
	}
	port = strchr(address, ':');
	if (port)
		*port++ = '\0';
	v4->sin_family = AF_INET;
	v4->sin_port = htons((unsigned short)(port ? strtoul(port, NULL, 10) : 0));
	target->len = sizeof(*v4);
	return inet_pton(AF_INET, address, &v4->sin_addr) == 1 ? 0 : -1;
}

/* ---- one of each kind */

static int fail(struct target *target)
{
	target->error = errno;
	target->is_done = 1;
	return -1;
}

static int begin_icmp(struct target *target)
{
	unsigned char echo[16] = {
	    target->to.ss_family == AF_INET6 ? 128 : 8, 0, 0, 0, 0x12, 0x34, 0, 1};
	int is_v6 = target->to.ss_family == AF_INET6;
	unsigned sum = 0;

	/* as an unprivileged ping does, or as root's */
	target->fd = socket(
	    target->to.ss_family, SOCK_RAW | SOCK_NONBLOCK, is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	if (target->fd < 0)
		target->fd = socket(target->to.ss_family, SOCK_DGRAM | SOCK_NONBLOCK,
		    is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	if (target->fd < 0)
		return fail(target);
	for (size_t i = 0; i < sizeof(echo); i += 2)
		sum += (unsigned)(echo[i] << 8 | echo[i + 1]);
	sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
	echo[2] = (unsigned char)(sum >> 8);
	echo[3] = (unsigned char)sum;
	if (connect(target->fd, (void *)&target->to, target->len) != 0 ||
	    send(target->fd, echo, sizeof(echo), 0) < 0)
		return fail(target);
	return 0;
}

/* Who has it? Asked on the container's only link. */
static int begin_arp(struct target *target)
{
	struct ifreq link = {.ifr_name = "eth0"};
	struct sockaddr_ll {
		unsigned short family, protocol;
		int index;
		unsigned short hatype;
		unsigned char pkttype, halen, addr[8];
	} to = {AF_PACKET, htons(ETH_P_ARP), 0, 0, 0, 6, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	struct ether_arp ask = {.ea_hdr = {htons(1), htons(ETH_P_IP), 6, 4, htons(ARPOP_REQUEST)}};

	target->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, htons(ETH_P_ARP));
	if (target->fd < 0 || ioctl(target->fd, SIOCGIFINDEX, &link) != 0)
		return fail(target);
	to.index = link.ifr_ifindex;
	if (ioctl(target->fd, SIOCGIFHWADDR, &link) == 0)
		memcpy(ask.arp_sha, link.ifr_hwaddr.sa_data, 6);
	if (ioctl(target->fd, SIOCGIFADDR, &link) == 0)
		memcpy(ask.arp_spa, &((struct sockaddr_in *)(void *)&link.ifr_addr)->sin_addr, 4);
	memcpy(ask.arp_tpa, &((struct sockaddr_in *)(void *)&target->to)->sin_addr, 4);
	if (bind(target->fd, (void *)&to, sizeof(to)) != 0 ||
	    sendto(target->fd, &ask, sizeof(ask), 0, (void *)&to, sizeof(to)) < 0)
		return fail(target);
	return 0;
}

static int begin(struct target *target)
{
	if (target->kind == ICMP)
		return begin_icmp(target);
	if (target->kind == ARP)
		return begin_arp(target);
	target->fd = socket(target->to.ss_family,
	    (target->kind == TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0);
	if (target->fd < 0)
		return fail(target);
	if (connect(target->fd, (void *)&target->to, target->len) != 0 && errno != EINPROGRESS)
		return fail(target);
	if (target->kind == UDP && send(target->fd, "probe", 5, 0) < 0)
		return fail(target);
	return 0;
}

static void hear(struct target *target)
{
	unsigned char bytes[256];
	socklen_t len = sizeof(target->error);

	if (target->kind == TCP) {
		getsockopt(target->fd, SOL_SOCKET, SO_ERROR, &target->error, &len);
		target->is_reached = !target->error;
		target->is_done = 1;
		return;
	}
	ssize_t got = recv(target->fd, bytes, sizeof(bytes), 0);
	if (got < 0) {
		if (errno != EAGAIN)
			fail(target);
		return;
	}
	/* a request that is heard again, or another's answer, is none */
	if (target->kind == ARP &&
	    (got < 28 || bytes[7] != 2 ||
		memcmp(bytes + 14, &((struct sockaddr_in *)(void *)&target->to)->sin_addr, 4) != 0))
		return;
	if (target->kind == ICMP) {
		const unsigned char *icmp =
		    got > 20 && bytes[0] >> 4 == 4 ? bytes + (bytes[0] & 15) * 4 : bytes;
		if (*icmp != 0 && *icmp != 129)
			return;
	}
	target->is_reached = target->is_done = 1;
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int reach_run(int argc, char **argv)
{
	static struct target targets[TARGETS_MAX];
	static struct pollfd fds[TARGETS_MAX];
	int n = argc - 1 < TARGETS_MAX ? argc - 1 : TARGETS_MAX;

	for (int i = 0; i < n; i++) {
		if (read_target(&targets[i], argv[i + 1]) != 0) {
			fprintf(stderr, "%s: not a target\n", argv[i + 1]);
			return 2;
		}
		begin(&targets[i]);
	}
	for (long until = now_ms() + WAIT_MS, left = WAIT_MS; left > 0; left = until - now_ms()) {
		int open = 0;
		for (int i = 0; i < n; i++) {
			fds[i].fd = targets[i].is_done ? -1 : targets[i].fd;
			fds[i].events = targets[i].kind == TCP ? POLLOUT : POLLIN;
			open += !targets[i].is_done;
		}
		if (!open || poll(fds, (nfds_t)n, (int)left) < 0)
			break;
		for (int i = 0; i < n; i++)
			if (!targets[i].is_done && fds[i].revents)
				hear(&targets[i]);
	}
	for (int i = 0; i < n; i++)
		printf("%s %s\n", targets[i].text,
		    targets[i].is_reached ? "ok"
		    : targets[i].error    ? strerrorname_np(targets[i].error)
					  : "silence");
	return 0;
}

/* ---- the other end */

/* Back from the address that was asked: a host has several. */
static void answer_udp(int fd)
{
	char bytes[64], text[64], control[64];
	struct sockaddr_in6 from;
	struct iovec io = {bytes, sizeof(bytes)};
	struct msghdr message = {.msg_name = &from,
	    .msg_namelen = sizeof(from),
	    .msg_iov = &io,
	    .msg_iovlen = 1,
	    .msg_control = control,
	    .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(fd, &message, 0);

	if (got < 0)
		return;
	io.iov_len = (size_t)got;
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	if (head && head->cmsg_type == IPV6_PKTINFO)
		((struct in6_pktinfo *)(void *)CMSG_DATA(head))->ipi6_ifindex = 0;
	inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof(text));
	printf("udp from %s\n", text);
	sendmsg(fd, &message, 0);
}

static void answer_tcp(int fd)
{
	struct sockaddr_in6 from;
	socklen_t len = sizeof(from);
	char text[64];
	int connection = accept(fd, (void *)&from, &len);

	if (connection < 0)
		return;
	inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof(text));
	printf("tcp from %s\n", text);
	close(connection);
}

int listen_run(int argc, char **argv)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6,
	    .sin6_port = htons((unsigned short)strtoul(argc > 1 ? argv[1] : "0", NULL, 10))};
	struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
	int one = 1;

	for (int i = 0; i < 2; i++) {
		fds[i].fd = socket(AF_INET6, i ? SOCK_DGRAM : SOCK_STREAM, 0);
		setsockopt(fds[i].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(fds[i].fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
		if (bind(fds[i].fd, (void *)&at, sizeof(at)) != 0 ||
		    (!i && listen(fds[i].fd, 128) != 0))
			return perror("listen"), 1;
	}
	printf("listening\n");
	while (fflush(stdout) == 0 && poll(fds, 2, -1) > 0) {
		if (fds[0].revents)
			answer_tcp(fds[0].fd);
		if (fds[1].revents)
			answer_udp(fds[1].fd);
	}
	return 0;
}
