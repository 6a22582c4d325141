#include "services/sandbox/resolver.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/dns_struct.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "proto/warden.h"
#include "services/sandbox/public_address.h"

#define PENDING_MAX 1024
#define PENDING_OF_AGENT_MAX 32
#define TTL_MAX_S 300
#define ALLOW_S 600 /* longer than an answer lives in the agent's own cache */
#define SOURCES 4096
#define PER_S 50
#define BURST 200

struct source { /* a token bucket; two sources of one hash share it */
	uint64_t at_ms;
	unsigned left, pending;
};
struct question {
	struct resolver *resolver;
	struct evdns_server_request *request;
	struct source *source;
	char agent[AGENT_ID_LEN + 1], boot[VAULT_BOOT_ID_LEN + 1]; /* "": starting, not narrowed */
	char name[EGRESS_HOST_MAX + 3];
	TAILQ_ENTRY(question) link;
};
TAILQ_HEAD(questions, question);

struct resolver {
	struct sandbox *sandbox;
	struct evdns_base *upstream;
	struct evdns_server_port *port;
	struct questions pending;
	size_t npending;
	struct source source[SOURCES];
	struct metric *asked, *refused;
};

static void answer(struct evdns_server_request *request, int code)
{
	evdns_server_request_respond(request, code);
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
	    !egress_allows(&agent->record.egress, question->name))
		return -1;
	if (!agent->record.egress.is_narrowed || n == 0)
		return 0;
	return sandbox->driver->allow(sandbox->driven, &of, address, n, ALLOW_S, &err);
}

static void on_answer(int result, char type, int count, int ttl, void *addresses, void *arg)
{
	struct question *question = arg;
	struct evdns_server_request *request = question->request;
	struct in_addr kept[WARDEN_ALLOW_MAX];
	size_t n = 0;
	int code = DNS_ERR_NONE;
	if (result == DNS_ERR_NONE && type == DNS_IPv4_A && count > 0)
		n = keep_public(addresses, (size_t)count, kept);
	else if (result == DNS_ERR_NOTEXIST)
		code = DNS_ERR_NOTEXIST;
	else if (result != DNS_ERR_NONE && result != DNS_ERR_NODATA)
		code = DNS_ERR_SERVERFAILED;
	if (code == DNS_ERR_NONE && open_way(question, kept, n) != 0)
		code = DNS_ERR_REFUSED;
	ttl = ttl < 0 ? 0 : ttl > TTL_MAX_S ? TTL_MAX_S : ttl;
	if (code == DNS_ERR_NONE && n > 0)
		evdns_server_request_add_a_reply(request, question->name, (int)n, kept, ttl);
	question_free(question);
	answer(request, code);
}

static void forward(struct resolver *resolver, struct evdns_server_request *request,
    const struct agent *agent, struct source *source)
{
	struct question *question = calloc(1, sizeof(*question));
	bug_if(!question);
	question->resolver = resolver;
	question->request = request;
	question->source = source;
	snprintf(question->name, sizeof(question->name), "%s", request->questions[0]->name);
	if (agent) {
		memcpy(question->agent, agent->id, sizeof(question->agent));
		memcpy(question->boot, agent->boot, sizeof(question->boot));
	}
	TAILQ_INSERT_TAIL(&resolver->pending, question, link);
	resolver->npending++;
	source->pending++;
	if (!evdns_base_resolve_ipv4(
		resolver->upstream, question->name, DNS_QUERY_NO_SEARCH, on_answer, question)) {
		question_free(question);
		answer(request, DNS_ERR_SERVERFAILED);
	}
}

/* ---- what is asked */

/* DNS_ERR_NONE, or why not. is_empty_r: there is such a name, and nothing of this type is told (containers have no IPv6). */
static int judge(struct resolver *resolver, const struct evdns_server_request *request,
    const struct agent *agent, bool *is_empty_r)
{
	const struct evdns_server_question *question = request->questions[0];
	*is_empty_r = question->type != EVDNS_TYPE_A;
	if (request->nquestions != 1 || question->dns_question_class != EVDNS_CLASS_INET)
		return DNS_ERR_NOTIMPL;
	if (strlen(question->name) > EGRESS_HOST_MAX)
		return DNS_ERR_FORMAT;
	if (!agent && !may_be_starting(resolver->sandbox))
		return DNS_ERR_REFUSED;
	return !agent || egress_allows(&agent->record.egress, question->name) ? DNS_ERR_NONE
									      : DNS_ERR_REFUSED;
}

static void on_request(struct evdns_server_request *request, void *arg)
{
	struct resolver *resolver = arg;
	struct sockaddr_in from = {0};
	struct source *source;
	bool is_empty = false;
	metric_add(resolver->asked, 1);
	if (evdns_server_request_get_requesting_addr(
		request, (struct sockaddr *)&from, sizeof(from)) < (int)sizeof(from) ||
	    from.sin_family != AF_INET || request->nquestions < 1 ||
	    !take_turn(resolver, from.sin_addr, &source)) {
		evdns_server_request_drop(request);
		return;
	}
	const struct agent *agent = find(resolver->sandbox, from.sin_addr);
	int code = judge(resolver, request, agent, &is_empty);
	if (code == DNS_ERR_NONE && !is_empty) {
		forward(resolver, request, agent, source);
		return;
	}
	if (code == DNS_ERR_REFUSED)
		metric_add(resolver->refused, 1);
	answer(request, code);
}

/* ---- life */

void resolver_listen(struct resolver *resolver, int fd)
{
	if (resolver->port)
		evdns_close_server_port(
		    resolver->port); /* closes its socket with the last answer */
	resolver->port = NULL;
	if (fd < 0)
		return;
	evutil_make_socket_nonblocking(fd);
	resolver->port = evdns_add_server_port_with_base(
	    resolver->sandbox->process->base, fd, 0, on_request, resolver);
	bug_if(!resolver->port);
}

struct resolver *resolver_new(struct sandbox *sandbox)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	struct metrics *metrics = sandbox->process->metrics;
	bug_if(!resolver);
	resolver->sandbox = sandbox;
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
	while ((question = TAILQ_FIRST(&r->pending))) {
		evdns_server_request_drop(question->request);
		question_free(question);
	}
	resolver_listen(r, -1);
	free(r);
}
