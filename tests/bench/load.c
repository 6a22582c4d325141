/* load - closed-loop HTTP/1.1 load over TCP or a unix socket, the same for every peer that is measured.
 *
 *	load ADDRESS CONNECTIONS SECONDS REQUEST-FILE
 * ADDRESS is unix:PATH or 127.0.0.1:PORT. Each connection sends the file's bytes, reads one answer (Content-Length or 204), sends again.
 * The file may hold several requests, separated by a line "%%": connections take them in turn. Prints one JSON line:
 * requests, seconds, status counts, latency percentiles in microseconds. Exits 1 if anything but complete answers was seen.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define REQUESTS_MAX 4096
#define BUCKETS 400000 /* of 5 us */
#define ANSWER_MAX (2 * 1024 * 1024)

struct request {
	const char *bytes;
	size_t len;
};
struct connection {
	int fd;
	size_t got;
	uint64_t sent_at;
	char buf[ANSWER_MAX];
};

static struct request requests[REQUESTS_MAX];
static size_t nrequests, next_request;
static uint64_t statuses[6], broken, latency[BUCKETS];

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void read_requests(const char *path)
{
	static char text[16 * 1024 * 1024];
	FILE *file = fopen(path, "re");
	size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (!len)
		die(path);
	fclose(file);
	for (char *at = text; at && nrequests < REQUESTS_MAX;) {
		char *end = strstr(at, "%%\n");
		requests[nrequests++] = (struct request){at, end ? (size_t)(end - at) : strlen(at)};
		at = end ? end + 3 : NULL;
	}
}

static int connect_to(const char *address)
{
	int fd, on = 1;

	if (strncmp(address, "unix:", 5) == 0) {
		struct sockaddr_un to = {.sun_family = AF_UNIX};
		snprintf(to.sun_path, sizeof(to.sun_path), "%s", address + 5);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
			die(address);
	} else {
		struct sockaddr_in to = {
		    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		to.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
			die(address);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void send_next(struct connection *c)
{
	const struct request *r = &requests[next_request++ % nrequests];

	c->sent_at = now_ns();
	c->got = 0;
	if (write(c->fd, r->bytes, r->len) != (ssize_t)r->len)
		die("write");
}

/* Length of the whole answer, 0 if its head is not here yet. */
static size_t answer_len(struct connection *c)
{
	c->buf[c->got] = '\0';
	char *head = strstr(c->buf, "\r\n\r\n");
	if (!head)
		return 0;
	char *length = strcasestr(c->buf, "\r\ncontent-length:");
	size_t body = length && length < head ? strtoul(length + 17, NULL, 10) : 0;
	return (size_t)(head - c->buf) + 4 + body;
}

static void receive(struct connection *c)
{
	ssize_t n = read(c->fd, c->buf + c->got, sizeof(c->buf) - 1 - c->got);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		die("connection closed by the peer");
	c->got += (size_t)n;
	size_t len = answer_len(c);
	if (!len || c->got < len)
		return;
	uint64_t us = (now_ns() - c->sent_at) / 5000;
	latency[us < BUCKETS ? us : BUCKETS - 1]++;
	int class = c->buf[9] - '0';
	if (class < 1 || class > 5 || c->got != len)
		broken++;
	else
		statuses[class]++;
	send_next(c);
}

static double percentile(uint64_t total, double p)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < BUCKETS; i++) {
		seen += latency[i];
		if ((double)seen >= (double)total * p)
			return (double)i * 5;
	}
	return BUCKETS * 5;
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: load ADDRESS CONNECTIONS SECONDS REQUEST-FILE\n");
		return 2;
	}
	size_t n = strtoul(argv[2], NULL, 10);
	struct connection *all = calloc(n, sizeof(*all));
	int loop = epoll_create1(EPOLL_CLOEXEC);

	read_requests(argv[4]);
	for (size_t i = 0; i < n; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
		all[i].fd = connect_to(argv[1]);
		epoll_ctl(loop, EPOLL_CTL_ADD, all[i].fd, &event);
	}
	uint64_t start = now_ns(), end = start + (uint64_t)(strtod(argv[3], NULL) * 1e9);
	for (size_t i = 0; i < n; i++)
		send_next(&all[i]);
	while (now_ns() < end) {
		struct epoll_event events[64];
		int ready = epoll_wait(loop, events, 64, 100);
		for (int i = 0; i < ready; i++)
			receive(events[i].data.ptr);
	}
	double seconds = (double)(now_ns() - start) / 1e9;
	uint64_t total = 0;
	for (int i = 1; i < 6; i++)
		total += statuses[i];
	printf("{\"requests\":%lu,\"seconds\":%.3f,\"2xx\":%lu,\"4xx\":%lu,\"5xx\":%lu,\"broken\":%"
	       "lu,\"p50_us\":%.0f,\"p99_us\":%.0f}\n",
	    total, seconds, statuses[2], statuses[4], statuses[5], broken, percentile(total, 0.5),
	    percentile(total, 0.99));
	return broken || !total;
}
