#include "common/redis_link.h"

#include <arpa/inet.h>
#include <hiredis/adapters/libevent.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/redis_guard.h"

#define BACKOFF_MIN_MS 20u
#define BACKOFF_MAX_MS 1000u

struct redis_link {
	struct event_base *base;
	char *address;
	char *host; /* the path, if port is 0 */
	uint16_t port;
	char *user;
	struct secret *password;
	uint64_t timeout_ms;

	redisAsyncContext *ac;
	bool ready;
	uint32_t backoff_ms;
	/* what was logged last: a dead Redis is one line, not one a try */
	char trouble[ERROR_TEXT_MAX];
	struct event *deadline, *retry;
};

static void timer_set(struct event *timer, uint64_t ms)
{
	struct timeval tv = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	evtimer_add(timer, &tv);
}

static void complain(struct redis_link *link, const char *why)
{
	if (strncmp(link->trouble, why, sizeof(link->trouble) - 1) == 0)
		return;
	snprintf(link->trouble, sizeof(link->trouble), "%s", why);
	log_warn("redis is not available", "address", link->address, "why", why);
}

/* The connection is gone or was never there; hiredis looks after its context. */
static void lost(struct redis_link *link, const char *why)
{
	uint32_t half = link->backoff_ms / 2;

	link->ac = NULL;
	link->ready = false;
	complain(link, why);
	event_del(link->deadline);
	timer_set(link->retry, half + randombytes_uniform(half + 1));
	link->backoff_ms *= 2;
	if (link->backoff_ms > BACKOFF_MAX_MS)
		link->backoff_ms = BACKOFF_MAX_MS;
}

/* In the connect and disconnect callbacks freeing would read freed memory: they only note that
 * hiredis does it. */
void redis_link_drop(struct redis_link *link, const char *why)
{
	redisAsyncContext *ac = link->ac;

	if (!ac)
		return;
	ac->data = NULL;
	lost(link, why);
	redisAsyncFree(ac);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	redis_link_drop(arg, "connecting timed out");
}

static bool has_line(const redisReply *reply, const char *line)
{
	const char *at = memmem(reply->str, reply->len, line, strlen(line));

	return at && (at == reply->str || at[-1] == '\n');
}

/* A Redis that evicts would forget a change of owner and keep the session that it ended. */
static void on_info(redisAsyncContext *ac, void *r, void *privdata)
{
	struct redis_link *link = ac->data;
	const redisReply *reply = r;

	(void)privdata;
	if (!link || !reply)
		return;
	if (reply->type == REDIS_REPLY_ERROR) {
		redis_link_drop(link, reply->str);
		return;
	}
	if (reply->type != REDIS_REPLY_STRING ||
	    !has_line(reply, "maxmemory_policy:noeviction\r\n")) {
		redis_link_drop(link, "refused: its maxmemory-policy is not noeviction");
		return;
	}
	event_del(link->deadline);
	link->ready = true;
	link->backoff_ms = BACKOFF_MIN_MS;
	link->trouble[0] = '\0';
	log_info("redis connected", "address", link->address);
}

static void on_auth(redisAsyncContext *ac, void *r, void *privdata)
{
	struct redis_link *link = ac->data;
	const redisReply *reply = r;

	(void)privdata;
	if (link && reply && reply->type == REDIS_REPLY_ERROR)
		redis_link_drop(link, reply->str);
}

static void send_auth(struct redis_link *link)
{
	const char *argv[3] = {"AUTH"};
	size_t argvlen[3] = {strlen("AUTH")};
	int argc = 1;

	if (link->user) {
		argv[argc] = link->user;
		argvlen[argc++] = strlen(link->user);
	}
	argv[argc] = (const char *)secret_bytes(link->password);
	argvlen[argc++] = secret_len(link->password);
	redisAsyncCommandArgv(link->ac, on_auth, NULL, argc, argv, argvlen);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
	struct redis_link *link = ac->data;

	if (!link)
		return;
	if (status != REDIS_OK) {
		lost(link, ac->errstr && ac->errstr[0] ? ac->errstr : "cannot connect");
		return;
	}
	if (link->password)
		send_auth(link);
	redisAsyncCommand(link->ac, on_info, NULL, "INFO memory");
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
	struct redis_link *link = ac->data;

	(void)status;
	if (link)
		lost(link, ac->errstr && ac->errstr[0] ? ac->errstr : "connection lost");
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct redis_link *link = arg;
	redisAsyncContext *ac = link->port ? redisAsyncConnect(link->host, link->port)
					   : redisAsyncConnectUnix(link->host);

	(void)fd, (void)what;
	bug_if(!ac);
	if (ac->err) {
		lost(link, ac->errstr);
		redisAsyncFree(ac);
		return;
	}
	link->ac = ac;
	ac->data = link;
	redis_guard(ac);
	redisLibeventAttach(ac, link->base);
	redisAsyncSetConnectCallback(ac, on_connect);
	redisAsyncSetDisconnectCallback(ac, on_disconnect);
	timer_set(link->deadline, link->timeout_ms);
}

/* Names are refused: hiredis would resolve them with the whole loop waiting. */
static int address_parse(struct redis_link *link, const char *address, struct error *err)
{
	static const char *const form = "redis address %s: neither unix:<path> nor <ip>:<port>";
	const char *colon = strrchr(address, ':');
	unsigned char ignored[sizeof(struct in6_addr)];
	char *end;

	if (strncmp(address, "unix:", 5) == 0 && address[5]) {
		link->host = strdup(address + 5);
		return 0;
	}
	unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
	if (port == 0 || port > UINT16_MAX || *end)
		return error_set(err, ERR_INVALID, form, address);
	link->port = (uint16_t)port;
	bool brackets = address[0] == '[' && colon[-1] == ']';
	link->host = strndup(address + brackets, (size_t)(colon - address) - 2 * brackets);
	if (inet_pton(brackets ? AF_INET6 : AF_INET, link->host, ignored) != 1)
		return error_set(err, ERR_INVALID, form, address);
	return 0;
}

struct redis_link *redis_link_new(struct event_base *base, const char *address, const char *user,
    const struct secret *password, uint64_t timeout_ms, struct error *err)
{
	struct redis_link *link = calloc(1, sizeof(*link));

	bug_if(!link);
	link->base = base;
	link->address = strdup(address);
	link->user = user && user[0] ? strdup(user) : NULL;
	link->password = password ? secret_new(secret_bytes(password), secret_len(password)) : NULL;
	link->timeout_ms = timeout_ms;
	link->backoff_ms = BACKOFF_MIN_MS;
	link->deadline = evtimer_new(base, on_deadline, link);
	link->retry = evtimer_new(base, on_retry, link);
	bug_if(!link->address || !link->deadline || !link->retry);
	if (address_parse(link, address, err) < 0)
		redis_link_destroy(&link);
	else
		on_retry(-1, 0, link);
	return link;
}

void redis_link_destroy(struct redis_link **link)
{
	struct redis_link *l = *link;

	if (!l)
		return;
	*link = NULL;
	if (l->ac) {
		l->ac->data = NULL;
		redisAsyncFree(l->ac);
	}
	event_free(l->deadline);
	event_free(l->retry);
	secret_destroy(&l->password);
	free(l->user);
	free(l->host);
	free(l->address);
	free(l);
}

redisAsyncContext *redis_link_context(const struct redis_link *link)
{
	return link->ready ? link->ac : NULL;
}

const char *redis_link_trouble(const struct redis_link *link)
{
	return link->trouble;
}
