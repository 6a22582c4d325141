#include "common/redis.h"

#include <openssl/sha.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/redis_sentinels.h"

#define PENDING_MAX 10000
#define SHA_TEXT_LEN 40
#define DRAIN_TURN_MS 20 /* then it is tried again to write what did not fit */

/* A command under way is known to our list and to hiredis (as its callback's private data),
 * which calls back exactly once whatever happens; only then is it freed. */
struct command {
	TAILQ_ENTRY(command) link;
	struct redis *redis; /* NULL: told, because redis was destroyed */
	redis_done done;
	void *arg;
	uint64_t sent_at;
	const char *script; /* to be sent if Redis says NOSCRIPT, else NULL */
	struct error err;
	int argc;
	const char **argv;
	size_t *argvlen;
};
TAILQ_HEAD(commands, command);

struct redis {
	struct redis_link *link;
	struct redis_sentinels *sentinels; /* NULL: the address is fixed */
	uint64_t timeout_ms;
	struct commands sent;   /* in the order of their replies */
	struct commands failed; /* to be told by the loop, never from inside redis_command */
	size_t nsent;
	struct event *tell, *deadline;
	bool telling, destroyed; /* destroyed by one that on_tell tells: on_tell frees it */
	struct {
		const char *text;
		char sha[SHA_TEXT_LEN + 1];
	} scripts[2]; /* the last ones */
};

static void timer_set(struct event *timer, uint64_t ms)
{
	struct timeval tv = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	if (!evtimer_pending(timer, NULL))
		evtimer_add(timer, &tv);
}

/* One block: the struct, the vectors, the arguments' bytes. The first `fixed` arguments are left
 * for command_set. */
static struct command *command_new(
    int fixed, int argc, const char *const *argv, const size_t *argvlen, redis_done done, void *arg)
{
	size_t n = (size_t)fixed + (size_t)argc, bytes = 0;

	for (int i = 0; i < argc; i++)
		bytes += argvlen ? argvlen[i] : strlen(argv[i]);
	struct command *command =
	    calloc(1, sizeof(*command) + n * (sizeof(char *) + sizeof(size_t)) + bytes);
	bug_if(!command);
	command->done = done;
	command->arg = arg;
	command->argc = fixed + argc;
	command->argv = (const char **)(command + 1);
	command->argvlen = (size_t *)(command->argv + n);
	char *copy = (char *)(command->argvlen + n);
	for (int i = 0; i < argc; i++) {
		size_t len = argvlen ? argvlen[i] : strlen(argv[i]);
		memcpy(copy, argv[i], len);
		command->argv[fixed + i] = copy;
		command->argvlen[fixed + i] = len;
		copy += len;
	}
	return command;
}

/* The text is kept, not copied. */
static void command_set(struct command *command, int i, const char *text)
{
	command->argv[i] = text;
	command->argvlen[i] = strlen(text);
}

/* command->err says why. */
static void fail_later(struct redis *redis, struct command *command)
{
	TAILQ_INSERT_TAIL(&redis->failed, command, link);
	timer_set(redis->tell, 0);
}

/* Tells those that had failed when it began: one that tries again from its callback waits for
 * the loop's next turn. */
static void on_tell(evutil_socket_t fd, short what, void *arg)
{
	struct redis *redis = arg;
	struct command *command, *last = TAILQ_LAST(&redis->failed, commands);
	bool more = last;

	(void)fd, (void)what;
	redis->telling = true;
	while (more && !redis->destroyed) {
		command = TAILQ_FIRST(&redis->failed);
		more = command != last;
		TAILQ_REMOVE(&redis->failed, command, link);
		command->done(command->arg, NULL, &command->err);
		free(command);
	}
	redis->telling = false;
	if (redis->destroyed)
		free(redis);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct redis *redis = arg;
	const struct command *oldest = TAILQ_FIRST(&redis->sent);

	(void)fd, (void)what;
	if (!oldest)
		return;
	uint64_t age = clock_boot_ms() - oldest->sent_at;
	if (age >= redis->timeout_ms)
		redis_link_drop(redis->link, "no answer in time");
	else
		timer_set(redis->deadline, redis->timeout_ms - age);
}

static void send_or_fail(struct redis *redis, struct command *command);

static void on_reply(redisAsyncContext *ac, void *r, void *privdata)
{
	struct command *command = privdata;
	struct redis *redis = command->redis;
	const redisReply *reply = r;

	(void)ac;
	if (!redis) {
		free(command);
		return;
	}
	TAILQ_REMOVE(&redis->sent, command, link);
	redis->nsent--;
	if (!reply) {
		const char *why = redis_link_trouble(redis->link);
		error_set(
		    &command->err, ERR_UNAVAILABLE, "redis: %s", why[0] ? why : "connection lost");
		fail_later(redis, command);
		return;
	}
	bool failed = reply->type == REDIS_REPLY_ERROR;
	if (failed && command->script && strncmp(reply->str, "NOSCRIPT", strlen("NOSCRIPT")) == 0) {
		command_set(command, 0, "EVAL");
		command_set(command, 1, command->script);
		command->script = NULL;
		send_or_fail(redis, command);
		return;
	}
	if (failed)
		error_set(&command->err, ERR_UNAVAILABLE, "redis: %s", reply->str);
	command->done(command->arg, failed ? NULL : reply, failed ? &command->err : NULL);
	free(command);
}

static int send_now(struct redis *redis, struct command *command)
{
	redisAsyncContext *ac = redis->destroyed ? NULL : redis_link_context(redis->link);

	if (!ac)
		return error_set(&command->err, ERR_UNAVAILABLE, "redis: not connected");
	if (redis->nsent >= PENDING_MAX)
		return error_set(&command->err, ERR_BUSY, "redis: too many commands under way");
	if (redisAsyncCommandArgv(
		ac, on_reply, command, command->argc, command->argv, command->argvlen) != REDIS_OK)
		return error_set(
		    &command->err, ERR_UNAVAILABLE, "redis: the connection is closing");
	command->redis = redis;
	command->sent_at = clock_boot_ms();
	TAILQ_INSERT_TAIL(&redis->sent, command, link);
	redis->nsent++;
	timer_set(redis->deadline, redis->timeout_ms);
	return 0;
}

static void send_or_fail(struct redis *redis, struct command *command)
{
	if (send_now(redis, command) < 0)
		fail_later(redis, command);
}

/* Takes the link, which may be NULL. */
static struct redis *new_on(struct event_base *base, struct redis_link *link, uint64_t timeout_ms)
{
	if (!link)
		return NULL;
	struct redis *redis = calloc(1, sizeof(*redis));
	bug_if(!redis);
	redis->link = link;
	redis->timeout_ms = timeout_ms;
	TAILQ_INIT(&redis->sent);
	TAILQ_INIT(&redis->failed);
	redis->tell = evtimer_new(base, on_tell, redis);
	redis->deadline = evtimer_new(base, on_deadline, redis);
	bug_if(!redis->tell || !redis->deadline);
	return redis;
}

struct redis *redis_new(struct event_base *base, const char *address, const char *user,
    const struct secret *password, uint64_t timeout_ms, struct error *err)
{
	struct redis_login login = {user, password, timeout_ms};

	return new_on(
	    base, redis_link_new(base, REDIS_LINK_ALONE, address, &login, err), timeout_ms);
}

struct redis *redis_new_watched(struct event_base *base, const struct redis_sentinel_list *list,
    const struct redis_login *login, struct metrics *metrics, struct error *err)
{
	struct redis_link *link = redis_link_new(base, REDIS_LINK_PRIMARY, NULL, login, err);
	struct redis *redis = new_on(base, link, login->timeout_ms);

	bug_if(!redis); /* there was no address to refuse */
	redis->sentinels = redis_sentinels_new(base, list, login, link, metrics, err);
	if (!redis->sentinels)
		redis_destroy(&redis);
	return redis;
}

static void end_pending(struct redis *redis)
{
	struct command *command;
	struct error err;

	error_set(&err, ERR_UNAVAILABLE, "redis: closed");
	while ((command = TAILQ_FIRST(&redis->sent))) {
		TAILQ_REMOVE(&redis->sent, command, link);
		command->redis = NULL;
		command->done(command->arg, NULL, &err);
	}
	while ((command = TAILQ_FIRST(&redis->failed))) {
		TAILQ_REMOVE(&redis->failed, command, link);
		command->done(command->arg, NULL, &command->err);
		free(command);
	}
}

void redis_destroy(struct redis **redis)
{
	struct redis *r = *redis;

	if (!r)
		return;
	*redis = NULL;
	r->destroyed = true;
	end_pending(r);
	redis_sentinels_destroy(&r->sentinels);
	redis_link_destroy(&r->link);
	event_free(r->tell);
	event_free(r->deadline);
	if (!r->telling)
		free(r);
}

void redis_command(struct redis *redis, int argc, const char *const *argv, const size_t *argvlen,
    redis_done done, void *arg)
{
	send_or_fail(redis, command_new(0, argc, argv, argvlen, done, arg));
}

/* hiredis may end the connection, and its context, in either of its steps. */
static bool drain_once(const struct redis *redis)
{
	redisAsyncContext *ac = redis_link_context(redis->link);

	if (ac)
		redisAsyncHandleWrite(ac);
	ac = redis_link_context(redis->link);
	if (!ac)
		return false;
	struct pollfd answer = {.fd = ac->c.fd, .events = POLLIN};
	if (poll(&answer, 1, DRAIN_TURN_MS) > 0)
		redisAsyncHandleRead(ac);
	return true;
}

void redis_drain(struct redis *redis, uint64_t ms)
{
	uint64_t until = clock_boot_ms() + ms;

	while (redis->nsent > 0 && clock_boot_ms() < until && drain_once(redis))
		;
}

static const char *script_sha(struct redis *redis, const char *text)
{
	unsigned char digest[SHA_DIGEST_LENGTH];

	if (redis->scripts[1].text == text)
		return redis->scripts[1].sha;
	if (redis->scripts[0].text != text) {
		redis->scripts[1] = redis->scripts[0];
		SHA1((const unsigned char *)text, strlen(text), digest);
		sodium_bin2hex(
		    redis->scripts[0].sha, sizeof(redis->scripts[0].sha), digest, sizeof(digest));
		redis->scripts[0].text = text;
	}
	return redis->scripts[0].sha;
}

void redis_script(struct redis *redis, const char *sha, const char *text, int argc,
    const char *const *argv, const size_t *argvlen, redis_done done, void *arg)
{
	struct command *command = command_new(3, argc, argv, argvlen, done, arg);

	command->script = text;
	command_set(command, 0, "EVALSHA");
	command_set(command, 1, sha ? sha : script_sha(redis, text));
	command_set(command, 2, "0");
	send_or_fail(redis, command);
}

bool redis_is_ready(const struct redis *redis)
{
	return redis_link_context(redis->link) != NULL;
}

const char *redis_address(const struct redis *redis)
{
	return redis_link_address(redis->link);
}
