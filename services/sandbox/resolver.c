#include "services/sandbox/resolver.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "proto/warden.h"
#include "services/sandbox/dns_message.h"
#include "services/sandbox/public_address.h"

#define PENDING_MAX 1024
#define PENDING_OF_AGENT_MAX 32
#define TTL_MAX_S 300
#define ALLOW_S 600 /* longer than an answer lives in the agent's own cache */
#define SOURCES 4096
#define PER_S 50
#define BURST 200
#define PER_TURN 64

struct source { /* a token bucket; two sources of one hash share it */
	uint64_t at_ms;
	unsigned left, pending;
};
struct question {
	struct resolver *resolver;
	struct dns_question asked;
	struct sockaddr_in from;
	struct source *source;
	char agent[AGENT_ID_LEN + 1], boot[VAULT_BOOT_ID_LEN + 1]; /* "": starting, not narrowed */
	TAILQ_ENTRY(question) link;
};
TAILQ_HEAD(questions, question);

struct resolver {
	struct sandbox *sandbox;
	struct evdns_base *upstream;
	int fd;
	struct event *readable;
	struct questions pending;
	size_t npending;
	struct source source[SOURCES];
	struct metric *asked, *refused;
};

/* What the socket does not take is lost, as anything over UDP may be. */
static void answer(const struct resolver *resolver, const struct dns_question *asked,
    const struct sockaddr_in *to, enum dns_code code, const struct in_addr *address, size_t n,
    uint32_t ttl_s)
{
	uint8_t bytes[DNS_MESSAGE_MAX];
	size_t len = dns_answer_write(asked, code, address, n, ttl_s, bytes);
	if (resolver->fd >= 0 && sendto(resolver->fd, bytes, len, MSG_DONTWAIT,
				     (const struct sockaddr *)to, sizeof(*to)) < 0)
		log_debug("an answer to a name was lost");
}

static void question_free(struct question *question)
{
	TAILQ_REMOVE(&question->resolver->pending, question, link);
	question->resolver->npending--;
	question->source->pending--;
	free(question);
}

/* ---- who asks */

/* The pool is this host's own, and its rules drop what comes from another's address. */
static struct agent *find(const struct sandbox *sandbox, struct in_addr address)
{
	for (size_t i = 0; i < agents_count(sandbox->agents); i++) {
		struct agent *agent = agents_at(sandbox->agents, i);
		if (agent->machine.phase == MACHINE_RUNNING &&
		    agent->address.s_addr == address.s_addr)
			return agent;
	}
	return NULL;
}

/* One that starts asks before its address is told here: answered if it cannot be a narrowed one. */
static bool may_be_starting(const struct sandbox *sandbox)
{
	bool is_any = false;
	for (size_t i = 0; i < agents_count(sandbox->agents); i++) {
		const struct agent *agent = agents_at(sandbox->agents, i);
		if (agent->machine.phase != MACHINE_STARTING || agent->start)
			continue;
		if (agent->record.egress.is_narrowed)
			return false;
		is_any = true;
	}
	return is_any;
}

static bool take_turn(struct resolver *resolver, struct in_addr address, struct source **source_r)
{
	struct source *source = &resolver->source[ntohl(address.s_addr) / 2 % SOURCES];
	uint64_t now = clock_boot_ms(), more = (now - source->at_ms) * PER_S / 1000;
	if (more > 0) {
		source->left = source->left + more > BURST ? BURST : source->left + (unsigned)more;
		source->at_ms = now;
	}
	*source_r = source;
	if (source->left == 0 || source->pending >= PENDING_OF_AGENT_MAX ||
	    resolver->npending >= PENDING_MAX)
		return false;
	source->left--;
	return true;
}

/* ---- what is answered */

static size_t keep_public(
    const struct in_addr *address, size_t n, struct in_addr kept_r[WARDEN_ALLOW_MAX])
{
	size_t kept = 0;
	for (size_t i = 0; i < n && kept < WARDEN_ALLOW_MAX; i++)
		if (public_address(address[i]))
			kept_r[kept++] = address[i];
	return kept;
}

/* 0: it may be told. A narrowed agent is let through to what it is told; the way is open before the answer leaves. */
static int open_way(const struct question *question, const struct in_addr *address, size_t n)
{
	const struct sandbox *sandbox = question->resolver->sandbox;
	struct agent *agent = agents_find(sandbox->agents, question->agent);
	const struct driver_boot of = {question->agent, question->boot};
	struct error err;
	if (!question->agent[0])
		return 0;
	if (!agent || strcmp(agent->boot, question->boot) != 0 ||
	    !egress_allows(&agent->record.egress, question->asked.name))
		return -1;
	if (!agent->record.egress.is_narrowed || n == 0)
		return 0;
	return sandbox->driver->allow(sandbox->driven, &of, address, n, ALLOW_S, &err);
}

static void on_answer(int result, char type, int count, int ttl, void *addresses, void *arg)
{
	struct question *question = arg;
	struct in_addr kept[WARDEN_ALLOW_MAX];
	size_t n = 0;
	enum dns_code code = DNS_OK;
	if (result == DNS_ERR_NONE && type == DNS_IPv4_A && count > 0)
		n = keep_public(addresses, (size_t)count, kept);
	else if (result == DNS_ERR_NOTEXIST)
		code = DNS_NO_SUCH_NAME;
	else if (result != DNS_ERR_NONE && result != DNS_ERR_NODATA)
		code = DNS_FAILED;
	if (code == DNS_OK && open_way(question, kept, n) != 0)
		code = DNS_REFUSED, n = 0;
	ttl = ttl < 0 ? 0 : ttl > TTL_MAX_S ? TTL_MAX_S : ttl;
	answer(question->resolver, &question->asked, &question->from, code, kept, n, (uint32_t)ttl);
	question_free(question);
}

/* ---- what is asked */

struct asked {
	struct dns_question question;
	struct sockaddr_in from;
	struct source *source;
};

static void forward(struct resolver *resolver, const struct asked *asked, const struct agent *agent)
{
	struct question *question = calloc(1, sizeof(*question));
	bug_if(!question);
	question->resolver = resolver;
	question->asked = asked->question;
	question->from = asked->from;
	question->source = asked->source;
	if (agent) {
		memcpy(question->agent, agent->id, sizeof(question->agent));
		memcpy(question->boot, agent->boot, sizeof(question->boot));
	}
	TAILQ_INSERT_TAIL(&resolver->pending, question, link);
	resolver->npending++;
	asked->source->pending++;
	if (!evdns_base_resolve_ipv4(resolver->upstream, question->asked.name, DNS_QUERY_NO_SEARCH,
		on_answer, question)) {
		question_free(question);
		answer(resolver, &asked->question, &asked->from, DNS_FAILED, NULL, 0, 0);
	}
}

static bool may_know(
    const struct resolver *resolver, const struct agent *agent, const struct asked *asked)
{
	return agent ? egress_allows(&agent->record.egress, asked->question.name)
		     : may_be_starting(resolver->sandbox);
}

/* Containers have no IPv6, and other types are for nobody here: there is such a name, and nothing of that type. */
static void take(struct resolver *resolver, const struct asked *asked)
{
	const struct agent *agent = find(resolver->sandbox, asked->from.sin_addr);
	if (!may_know(resolver, agent, asked)) {
		metric_add(resolver->refused, 1);
		answer(resolver, &asked->question, &asked->from, DNS_REFUSED, NULL, 0, 0);
	} else if (asked->question.type != DNS_TYPE_A) {
		answer(resolver, &asked->question, &asked->from, DNS_OK, NULL, 0, 0);
	} else {
		forward(resolver, asked, agent);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *resolver = arg;
	uint8_t bytes[DNS_MESSAGE_MAX];
	(void)what;
	for (int i = 0; i < PER_TURN; i++) {
		struct asked asked;
		socklen_t size = sizeof(asked.from);
		ssize_t n = recvfrom(
		    fd, bytes, sizeof(bytes), MSG_DONTWAIT, (struct sockaddr *)&asked.from, &size);
		if (n < 0)
			return;
		metric_add(resolver->asked, 1);
		if (size == sizeof(asked.from) && asked.from.sin_family == AF_INET &&
		    take_turn(resolver, asked.from.sin_addr, &asked.source) &&
		    dns_question_parse(&asked.question, bytes, (size_t)n) == 0)
			take(resolver, &asked);
	}
}

/* ---- life */

void resolver_listen(struct resolver *resolver, int fd)
{
	if (resolver->readable)
		event_free(resolver->readable);
	resolver->readable = NULL;
	if (resolver->fd >= 0)
		close(resolver->fd);
	resolver->fd = fd;
	if (fd < 0)
		return;
	resolver->readable = event_new(
	    resolver->sandbox->process->base, fd, EV_READ | EV_PERSIST, on_readable, resolver);
	bug_if(!resolver->readable || event_add(resolver->readable, NULL) != 0);
}

struct resolver *resolver_new(struct sandbox *sandbox)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	struct metrics *metrics = sandbox->process->metrics;
	bug_if(!resolver);
	resolver->sandbox = sandbox;
	resolver->fd = -1;
	TAILQ_INIT(&resolver->pending);
	resolver->upstream =
	    evdns_base_new(sandbox->process->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	bug_if(!resolver->upstream);
	/* libevent then asks 127.0.0.1, where there is nothing: agents get no names, and live */
	if (evdns_base_resolv_conf_parse(
		resolver->upstream, DNS_OPTION_NAMESERVERS, sandbox->resolv_conf) != 0)
		log_warn("no resolver of this host is known: agents get no answers to names",
		    "file", sandbox->resolv_conf);
	evdns_base_set_option(resolver->upstream, "timeout", "3");
	evdns_base_set_option(resolver->upstream, "attempts", "2");
	evdns_base_set_option(resolver->upstream, "max-inflight", "1024");
	evdns_base_set_option(resolver->upstream, "randomize-case", "0");
	resolver->asked = metrics_counter(
	    metrics, "multiclaw_sandbox_names_total", "Names that agents asked for.", NULL);
	resolver->refused = metrics_counter(metrics, "multiclaw_sandbox_names_refused_total",
	    "Names that agents asked for and may not know.", NULL);
	return resolver;
}

void resolver_destroy(struct resolver **resolver)
{
	struct resolver *r = *resolver;
	struct question *question;
	if (!r)
		return;
	*resolver = NULL;
	evdns_base_free(r->upstream, 0);
	while ((question = TAILQ_FIRST(&r->pending)))
		question_free(question);
	resolver_listen(r, -1);
	free(r);
}
