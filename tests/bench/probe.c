/* probe - when does each router stop allowing? One session after another: every address must allow it first; then nobody is asked anything until the
 * event of its asset is in the stream, as a plain reader of Redis is told of it (XREAD BLOCK, on a connection of its own); from then on each address is
 * asked again and again until it answers 401.
 *
 *	probe EVERY_US REDIS_SOCKET ADDRESS...
 * ADDRESS is unix:PATH. Read from stdin, for each session: a line "ASSET LENGTH" and LENGTH bytes of a request. Printed: "armed" once every address has
 * allowed it; then one line, Unix microseconds: when the event was told, and for each address when the 401 came. An address is asked at once, and at
 * least EVERY_US after it was asked before. 503 is neither; any other answer is an end: exit 1, as is a session that is not over within 20 s.
 */
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES_MAX 16
#define LIMIT_US 20000000u

struct address {
	const char *name;
	int fd;
	int waiting; /* for its answer */
	uint64_t asked_us, denied_us;
};

static char request[65536];
static size_t request_len;

static uint64_t unix_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "probe: %s: %s\n", what, why);
	exit(1);
}

static int connect_to(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s",
	    path + (strncmp(path, "unix:", 5) == 0 ? 5 : 0));
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die(path, "cannot connect");
	return fd;
}

/* ---- Redis ---- */

static redisContext *redis_open(const char *path)
{
	redisContext *redis = redisConnectUnix(path);

	if (!redis || redis->err)
		die(path, redis ? redis->errstr : "no memory");
	redisSetTimeout(redis, (struct timeval){.tv_sec = LIMIT_US / 1000000});
	freeReplyObject(redisCommand(redis, "AUTH tests x"));
	return redis;
}

static void newest_id(redisContext *redis, char id[64])
{
	redisReply *reply = redisCommand(redis, "XREVRANGE mc:events + - COUNT 1");

	if (!reply || reply->type != REDIS_REPLY_ARRAY)
		die("redis", "cannot read the newest event");
	snprintf(id, 64, "%s", reply->elements ? reply->element[0]->element[0]->str : "0-0");
	freeReplyObject(reply);
}

/* entry: [id, [field, value, ...]] */
static int is_of(const redisReply *entry, const char *asset)
{
	const redisReply *fields = entry->element[1];

	for (size_t i = 0; i + 1 < fields->elements; i += 2)
		if (strcmp(fields->element[i]->str, "a") == 0)
			return strcmp(fields->element[i + 1]->str, asset) == 0;
	return 0;
}

/* When the next event of the asset after id was told. */
static uint64_t wait_event(redisContext *redis, const char *asset, char id[64])
{
	for (;;) {
		redisReply *reply =
		    redisCommand(redis, "XREAD COUNT 100 BLOCK 0 STREAMS mc:events %s", id);
		uint64_t told_us = unix_us();
		if (!reply || reply->type != REDIS_REPLY_ARRAY)
			die(asset, "no event came");
		const redisReply *entries = reply->element[0]->element[1];
		int found = 0;
		for (size_t i = 0; i < entries->elements; i++) {
			found |= is_of(entries->element[i], asset);
			snprintf(id, 64, "%s", entries->element[i]->element[0]->str);
		}
		freeReplyObject(reply);
		if (found)
			return told_us;
	}
}

/* ---- the routers ---- */

static void ask(struct address *address)
{
	address->asked_us = unix_us();
	address->waiting = 1;
	if (write(address->fd, request, request_len) != (ssize_t)request_len)
		die(address->name, "cannot ask");
}

static int answer(struct address *address)
{
	char buf[8192];
	ssize_t n = read(address->fd, buf, sizeof(buf) - 1);

	if (n < 12)
		die(address->name, "closed the connection");
	buf[n] = '\0';
	address->waiting = 0;
	return (int)strtol(buf + 9, NULL, 10);
}

static void must_allow(struct address *address)
{
	char status[16];

	ask(address);
	snprintf(status, sizeof(status), "%d", answer(address));
	if (strcmp(status, "200") != 0)
		die(address->name, status);
}

static void judge(struct address *address)
{
	int status = answer(address);
	uint64_t now_us = unix_us();

	if (status == 401)
		address->denied_us = now_us;
	else if (status != 200 && status != 503)
		die(address->name, "neither 200, 401 nor 503");
}

/* Waits for an answer, or until somebody is to be asked again. */
static void wait_some(struct address *all, size_t n, uint64_t until_us)
{
	struct pollfd polled[ADDRESSES_MAX];
	uint64_t now_us = unix_us(), wait_us = until_us > now_us ? until_us - now_us : 0;
	struct timespec timeout = {(time_t)(wait_us / 1000000), (long)(wait_us % 1000000) * 1000};

	for (size_t i = 0; i < n; i++)
		polled[i] =
		    (struct pollfd){.fd = all[i].waiting ? all[i].fd : -1, .events = POLLIN};
	ppoll(polled, n, &timeout, NULL);
	for (size_t i = 0; i < n; i++)
		if (polled[i].revents)
			judge(&all[i]);
}

static void ask_until_denied(struct address *all, size_t n, uint64_t every_us)
{
	uint64_t begun_us = unix_us();

	for (size_t left = n; left;) {
		uint64_t now_us = unix_us(), next_us = now_us + every_us;
		if (now_us - begun_us > LIMIT_US)
			die("the session", "is still allowed");
		left = 0;
		for (size_t i = 0; i < n; i++) {
			if (all[i].denied_us)
				continue;
			left++;
			if (!all[i].waiting && now_us >= all[i].asked_us + every_us)
				ask(&all[i]);
			if (!all[i].waiting && all[i].asked_us + every_us < next_us)
				next_us = all[i].asked_us + every_us;
		}
		if (left)
			wait_some(all, n, next_us);
	}
}

static void watch(
    redisContext *redis, const char *asset, struct address *all, size_t n, uint64_t every_us)
{
	char id[64];

	for (size_t i = 0; i < n; i++) {
		must_allow(&all[i]);
		all[i].denied_us = all[i].asked_us = 0;
	}
	newest_id(redis, id);
	puts("armed");
	fflush(stdout);
	uint64_t told_us = wait_event(redis, asset, id);
	ask_until_denied(all, n, every_us);
	printf("%" PRIu64, told_us);
	for (size_t i = 0; i < n; i++)
		printf(" %" PRIu64, all[i].denied_us);
	puts("");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct address all[ADDRESSES_MAX] = {0};
	size_t n = argc > 3 ? (size_t)argc - 3 : 0;
	char asset[64], line[128];

	if (n == 0 || n > ADDRESSES_MAX) {
		fprintf(stderr, "usage: probe EVERY_US REDIS_SOCKET ADDRESS...\n");
		return 2;
	}
	redisContext *redis = redis_open(argv[2]);
	for (size_t i = 0; i < n; i++)
		all[i] = (struct address){.name = argv[3 + i], .fd = connect_to(argv[3 + i])};
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%63s %zu", asset, &request_len) != 2 ||
		    request_len > sizeof(request) ||
		    fread(request, 1, request_len, stdin) != request_len)
			die("stdin", "not a session");
		watch(redis, asset, all, n, strtoull(argv[1], NULL, 10));
	}
	redisFree(redis);
	return 0;
}
