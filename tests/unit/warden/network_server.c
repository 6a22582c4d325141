#include "tests/unit/warden/network_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/error.h"

static const struct {
	int type;
	uint16_t port;
} served[] = {{SOCK_STREAM, 18789}, {SOCK_STREAM, 80}, {SOCK_STREAM, 25}, {SOCK_STREAM, 53},
    {SOCK_STREAM, 7777}, {SOCK_DGRAM, 53}, {SOCK_DGRAM, 7777}, {SOCK_DGRAM, 18789}};

static int listen_on(int type, uint16_t port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0), on = 1, off = 0;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0 ||
	    (type == SOCK_STREAM && listen(fd, 512) != 0))
		_exit(8);
	return fd;
}

/* From the address that was asked, which need not be the one that the route would choose. */
static void echo(int fd)
{
	_Alignas(struct cmsghdr) char control[128];
	char data[64];
	struct sockaddr_in6 from;
	struct iovec iov = {data, sizeof(data)};
	struct msghdr message = {.msg_name = &from,
	    .msg_namelen = sizeof(from),
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control,
	    .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &message, 0);

	if (n < 0)
		return;
	iov.iov_len = (size_t)n;
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
	if (cmsg && cmsg->cmsg_type == IPV6_PKTINFO) {
		struct in6_pktinfo info;
		memcpy(&info, CMSG_DATA(cmsg), sizeof(info));
		info.ipi6_ifindex = 0;
		memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
	}
	sendmsg(fd, &message, 0);
}

#define CONNECTIONS 1024

struct server {
	struct pollfd fds[ARRAY_LEN(served) + CONNECTIONS];
	size_t n;
};

/* Connections stay open until the other end closes: they are what resets and limits are tried on. */
static void greet(struct server *server, int fd)
{
	int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	if (accepted < 0)
		return;
	if (server->n == ARRAY_LEN(server->fds) || write(accepted, "hi", 2) != 2)
		close(accepted);
	else
		server->fds[server->n++] = (struct pollfd){accepted, POLLIN, 0};
}

static void close_ended(struct server *server)
{
	for (size_t i = server->n; i-- > ARRAY_LEN(served);) {
		if (!server->fds[i].revents)
			continue;
		close(server->fds[i].fd);
		server->fds[i] = server->fds[--server->n];
	}
}

static void serve_once(struct server *server)
{
	poll(server->fds, server->n, -1);
	close_ended(server);
	for (size_t i = 0; i < ARRAY_LEN(served); i++) {
		if (server->fds[i].revents && served[i].type == SOCK_STREAM)
			greet(server, server->fds[i].fd);
		else if (server->fds[i].revents)
			echo(server->fds[i].fd);
	}
}

void network_server_run(int ready_fd)
{
	static struct server server;

	for (; server.n < ARRAY_LEN(served); server.n++)
		server.fds[server.n] = (struct pollfd){
		    listen_on(served[server.n].type, served[server.n].port), POLLIN, 0};
	if (write(ready_fd, "r", 1) != 1)
		_exit(8);
	for (;;)
		serve_once(&server);
}
