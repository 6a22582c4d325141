/* redis_fixture - a private redis-server with an append-only file on a unix socket in a folder
 * of its own, and a loop to wait on. It dies with the test. */
#ifndef TESTS_REDIS_FIXTURE_H
#define TESTS_REDIS_FIXTURE_H

#include <event2/event.h>
#include <fcntl.h>
#include <ftw.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"

struct redis_fixture {
	char dir[64];
	char path[80];
	char address[96];
	const char *extra[8]; /* more of its command line */
	pid_t pid;
};

static inline uint64_t fixture_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* A synchronous connection, for looking at Redis from the side. Caller frees. */
static inline redisContext *fixture_client(const struct redis_fixture *fixture)
{
	uint64_t until = fixture_now_ms() + 10000;

	for (;;) {
		redisContext *client = redisConnectUnix(fixture->path);
		redisReply *reply = client && !client->err ? redisCommand(client, "PING") : NULL;
		bool up = reply && reply->type == REDIS_REPLY_STATUS;
		if (reply)
			freeReplyObject(reply);
		if (up)
			return client;
		if (client)
			redisFree(client);
		bug_if(fixture_now_ms() > until);
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
}

static inline void fixture_exec(const struct redis_fixture *fixture)
{
	const char *argv[32] = {"redis-server", "--port", "0", "--unixsocket", fixture->path,
	    "--dir", fixture->dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always"};
	size_t n = 13;

	for (size_t i = 0; i < ARRAY_LEN(fixture->extra) && fixture->extra[i]; i++)
		argv[n++] = fixture->extra[i];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int null = open("/dev/null", O_RDWR);
	dup2(null, 1);
	dup2(null, 2);
	union {
		const char **in;
		char **out;
	} u = {.in = argv};
	execvp(argv[0], u.out);
	_exit(127);
}

static inline void fixture_up(struct redis_fixture *fixture)
{
	fixture->pid = fork();
	bug_if(fixture->pid < 0);
	if (fixture->pid == 0)
		fixture_exec(fixture);
	redisFree(fixture_client(fixture));
}

static inline void fixture_start(struct redis_fixture *fixture)
{
	snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/mc-unit-XXXXXX");
	bug_if(!mkdtemp(fixture->dir));
	snprintf(fixture->path, sizeof(fixture->path), "%s/redis.sock", fixture->dir);
	snprintf(fixture->address, sizeof(fixture->address), "unix:%s", fixture->path);
	fixture_up(fixture);
}

/* kill -9; what it had written is there after fixture_up. */
static inline void fixture_kill(struct redis_fixture *fixture)
{
	kill(fixture->pid, SIGKILL);
	waitpid(fixture->pid, NULL, 0);
	unlink(fixture->path);
}

static inline int fixture_unlink(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static inline void fixture_remove(const char *dir)
{
	bug_if(nftw(dir, fixture_unlink, 8, FTW_DEPTH | FTW_PHYS) != 0);
}

/* Takes away all it had written; only while it does not run. */
static inline void fixture_empty(const struct redis_fixture *fixture)
{
	char written[96];

	snprintf(written, sizeof(written), "%s/appendonlydir", fixture->dir);
	fixture_remove(written);
}

static inline void fixture_stop(struct redis_fixture *fixture)
{
	fixture_kill(fixture);
	fixture_remove(fixture->dir);
}

static inline void fixture_say(const struct redis_fixture *fixture, const char *line)
{
	redisContext *client = fixture_client(fixture);
	redisReply *reply = redisCommand(client, line);

	bug_if(!reply || reply->type == REDIS_REPLY_ERROR);
	freeReplyObject(reply);
	redisFree(client);
}

/* Runs the loop until the flag is up; false: not within ms. */
static inline bool loop_until(struct event_base *base, const bool *flag, uint64_t ms)
{
	uint64_t until = fixture_now_ms() + ms;

	while (!*flag && fixture_now_ms() < until) {
		struct timeval tv = {.tv_usec = 5000};
		event_base_loopexit(base, &tv);
		event_base_loop(base, EVLOOP_ONCE);
	}
	return *flag;
}

static inline void loop_for(struct event_base *base, uint64_t ms)
{
	bool never = false;

	loop_until(base, &never, ms);
}

#endif
