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
#define SENTINEL_UNREAD_MAX 4096

struct redis_link {
	struct event_base *base;
	enum redis_link_kind kind;
	char *address; /* "": not known yet */
	char *host;    /* the path, if port is 0 */
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
	struct event *unread; /* of a Sentinel: looks at how much hiredis keeps */
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
	log_warn(link->kind == REDIS_LINK_SENTINEL ? "sentinel is not available"
						   : "redis is not available",
	    "address", link->address, "why", why);
}

/* The connection is gone or was never there; hiredis looks after its context. */
static void lost(struct redis_link *link, const char *why)
{
	uint32_t half = link->backoff_ms / 2;

	link->ac = NULL;
	link->ready = false;
	if (link->unread)
		event_free(link->unread);
	link->unread = NULL;
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

/* A Redis that evicts would forget a change of owner and keep the session that it ended. A primary
 * that goes on without its replicas would give leases to those who are cut off with it
 * (min_slaves_good_slaves is there if min-replicas-to-write and -max-lag are set). */
static const char *why_unfit(enum redis_link_kind kind, const redisReply *reply)
{
	if (kind == REDIS_LINK_SENTINEL)
		return reply->type == REDIS_REPLY_STATUS ? NULL : "refused: it is no Sentinel";
	if (reply->type != REDIS_REPLY_STRING ||
	    !has_line(reply, "maxmemory_policy:noeviction\r\n"))
		return "refused: its maxmemory-policy is not noeviction";
	if (kind == REDIS_LINK_ALONE)
		return NULL;
	if (!has_line(reply, "role:master\r\n"))
		return "refused: it is not the primary";
	if (!has_line(reply, "min_slaves_good_slaves:"))
		return "refused: its min-replicas-to-write is not set";
	return NULL;
}

static void on_proof(redisAsyncContext *ac, void *r, void *privdata)
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
	const char *why = why_unfit(link->kind, reply);
	if (why) {
		redis_link_drop(link, why);
		return;
	}
	event_del(link->deadline);
	link->ready = true;
	link->backoff_ms = BACKOFF_MIN_MS;
	link->trouble[0] = '\0';
	log_info(link->kind == REDIS_LINK_SENTINEL ? "sentinel connected" : "redis connected",
	    "address", link->address);
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

static void send_question(struct redis_link *link)
{
	static const char *const questions[] = {
	    [REDIS_LINK_ALONE] = "INFO memory",
	    [REDIS_LINK_PRIMARY] = "INFO memory replication",
	    [REDIS_LINK_SENTINEL] = "PING",
	};

	redisAsyncCommand(link->ac, on_proof, NULL, questions[link->kind]);
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
	send_question(link);
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
	struct redis_link *link = ac->data;

	(void)status;
	if (link)
		lost(link, ac->errstr && ac->errstr[0] ? ac->errstr : "connection lost");
}

/* hiredis collects a string until it is whole, however long. It reads 16 KB a turn of the loop. */
static void on_unread(evutil_socket_t fd, short what, void *arg)
{
	struct redis_link *link = arg;

	(void)fd, (void)what;
	if (link->ac->c.reader->len > SENTINEL_UNREAD_MAX)
		redis_link_drop(link, "refused: it says too much");
}

static void watch_unread(struct redis_link *link)
{
	if (link->kind != REDIS_LINK_SENTINEL)
		return;
	link->unread = event_new(link->base, link->ac->c.fd, EV_READ | EV_PERSIST, on_unread, link);
	bug_if(!link->unread || event_add(link->unread, NULL) != 0);
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
	redis_guard(ac, link->kind == REDIS_LINK_SENTINEL);
	redisLibeventAttach(ac, link->base);
	watch_unread(link);
	redisAsyncSetConnectCallback(ac, on_connect);
	redisAsyncSetDisconnectCallback(ac, on_disconnect);
	timer_set(link->deadline, link->timeout_ms);
}

/* Names are refused: hiredis would resolve them with the whole loop waiting. host_r: the caller
 * frees. */
static int address_parse(const char *address, char **host_r, uint16_t *port_r, struct error *err)
{
	static const char *const form = "redis address %s: neither unix:<path> nor <ip>:<port>";
	const char *colon = strrchr(address, ':');
	unsigned char ignored[sizeof(struct in6_addr)];
	char *end;

	*port_r = 0;
	if (strncmp(address, "unix:", 5) == 0 && address[5]) {
		*host_r = strdup(address + 5);
		return 0;
	}
	unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
	if (port == 0 || port > UINT16_MAX || *end)
		return error_set(err, ERR_INVALID, form, address);
	bool brackets = address[0] == '[' && colon[-1] == ']';
	char *host = strndup(address + brackets, (size_t)(colon - address) - 2 * brackets);
	bug_if(!host);
	if (inet_pton(brackets ? AF_INET6 : AF_INET, host, ignored) != 1) {
		free(host);
		return error_set(err, ERR_INVALID, form, address);
	}
	*host_r = host;
	*port_r = (uint16_t)port;
	return 0;
}

int redis_link_point(struct redis_link *link, const char *address, struct error *err)
{
	uint16_t port;
	char *host = NULL;

	if (address[0] && strcmp(address, link->address) == 0)
		return 0;
	if (address_parse(address, &host, &port, err) < 0)
		return -1;
	redis_link_drop(link, "the primary is another one now");
	free(link->host);
	free(link->address);
	link->host = host;
	link->port = port;
	link->address = strdup(address);
	bug_if(!link->host || !link->address);
	link->backoff_ms = BACKOFF_MIN_MS;
	link->trouble[0] = '\0';
	timer_set(link->retry, 0);
	return 0;
}

const char *redis_link_address(const struct redis_link *link)
{
	return link->address;
}

struct redis_link *redis_link_new(struct event_base *base, enum redis_link_kind kind,
    const char *address, const struct redis_login *login, struct error *err)
{
	struct redis_link *link = calloc(1, sizeof(*link));
	const struct secret *password = login->password;

	bug_if(!link);
	link->base = base;
	link->kind = kind;
	link->address = strdup("");
	link->user = login->user && login->user[0] ? strdup(login->user) : NULL;
	link->password = password ? secret_new(secret_bytes(password), secret_len(password)) : NULL;
	link->timeout_ms = login->timeout_ms;
	link->backoff_ms = BACKOFF_MIN_MS;
	link->deadline = evtimer_new(base, on_deadline, link);
	link->retry = evtimer_new(base, on_retry, link);
	bug_if(!link->address || !link->deadline || !link->retry);
	if (address && redis_link_point(link, address, err) < 0)
		redis_link_destroy(&link);
	return link;
}

void redis_link_destroy(struct redis_link **link)
{
	struct redis_link *l = *link;

	if (!l)
		return;
	*link = NULL;
	if (l->unread)
		event_free(l->unread);
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
