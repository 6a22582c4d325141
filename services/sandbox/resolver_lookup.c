#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/special_addresses.h"
#include "services/sandbox/resolver_internal.h"

static void free_lookup(struct resolver_lookup *lookup)
{
	LIST_REMOVE(lookup, next);
	metric_set(lookup->resolver->asking, (double)--lookup->resolver->nlookups);
	lookup->source->outstanding--;
	resolver_exchange_end(&lookup->exchange);
	event_free(lookup->deadline);
	free(lookup);
}

static void reply(struct resolver_lookup *lookup, enum resolver_result result)
{
	resolver_reply(
	    lookup->resolver, &lookup->client, &lookup->question, &lookup->answer, result);
	free_lookup(lookup);
}

static bool is_denied(const struct resolver *resolver, struct in_addr address)
{
	const struct resolver_hooks *hooks = &resolver->hooks;

	return special_range_of(address, 32) ||
	       (hooks->is_denied && hooks->is_denied(hooks->arg, address));
}

/* What is left of an upstream's answer for a container. Returns how the lookup ends. */
static enum resolver_result filter(
    struct resolver_lookup *lookup, const struct resolver_answer *from)
{
	struct resolver_answer *answer = &lookup->answer;
	size_t room = resolver_wire_room(&lookup->question);

	*answer = (struct resolver_answer){.ttl_s = from->ttl_s};
	if (answer->ttl_s < 1)
		answer->ttl_s = 1;
	if (answer->ttl_s > RESOLVER_TTL_MAX_S)
		answer->ttl_s = RESOLVER_TTL_MAX_S;
	for (size_t i = 0; i < from->n; i++) {
		if (is_denied(lookup->resolver, from->address[i]))
			metric_add(lookup->resolver->special, 1);
		else if (answer->n < room)
			answer->address[answer->n++] = from->address[i];
	}
	if (from->rcode == RESOLVER_SERVFAIL)
		return RESOLVER_WAS_FAILED;
	if (from->rcode == RESOLVER_NXDOMAIN || (from->n > 0 && answer->n == 0))
		return RESOLVER_WAS_NXDOMAIN;
	return answer->n > 0 ? RESOLVER_WAS_ANSWERED : RESOLVER_WAS_EMPTY;
}

/* The hook may answer at once: nothing of lookup is used after it. */
static void ask_to_allow(struct resolver_lookup *lookup)
{
	const struct resolver_hooks *hooks = &lookup->resolver->hooks;
	char agent[RESOLVER_AGENT_MAX + 1];
	struct resolver_answer answer = lookup->answer;

	memcpy(agent, lookup->agent, sizeof(agent));
	lookup->ticket = ++lookup->resolver->last_ticket;
	lookup->ticket += lookup->ticket == 0; /* which means none */
	lookup->resolver->last_ticket = lookup->ticket;
	hooks->allow(hooks->arg, &(struct resolver_allowing){.agent = agent,
				     .address = answer.address,
				     .n = answer.n,
				     .ttl_s = answer.ttl_s + RESOLVER_ALLOW_MORE_S,
				     .ticket = lookup->ticket});
}

/* Meanwhile the agent may have ended, and been started with another list. */
static void on_answer(void *arg, const struct resolver_answer *from)
{
	struct resolver_lookup *lookup = arg;
	struct resolver *resolver = lookup->resolver;
	enum resolver_result result = filter(lookup, from);
	const char *agent = NULL;
	const struct egress *egress =
	    resolver->hooks.policy(resolver->hooks.arg, lookup->client.sin_addr, &agent);

	if (!egress || strcmp(agent, lookup->agent) != 0) {
		resolver_count(resolver, RESOLVER_WAS_UNKNOWN);
		free_lookup(lookup);
	} else if (!egress_allows(egress, lookup->question.text)) {
		lookup->answer.n = 0;
		reply(lookup, RESOLVER_WAS_REFUSED);
	} else if (egress->is_narrowed && result == RESOLVER_WAS_ANSWERED) {
		ask_to_allow(lookup);
	} else {
		reply(lookup, result);
	}
}

void resolver_allowed(struct resolver *resolver, uint64_t ticket)
{
	struct resolver_lookup *lookup;

	LIST_FOREACH(lookup, &resolver->lookups, next)
	if (ticket != 0 && lookup->ticket == ticket) {
		reply(lookup, RESOLVER_WAS_ANSWERED);
		return;
	}
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct resolver_lookup *lookup = arg;

	(void)fd;
	(void)what;
	lookup->answer.n = 0;
	reply(lookup, RESOLVER_WAS_FAILED);
}

void resolver_lookup_start(struct resolver *resolver, const struct resolver_asked *asked)
{
	static const struct timeval patience = {
	    RESOLVER_PATIENCE_MS / 1000, RESOLVER_PATIENCE_MS % 1000 * 1000};

	if (asked->source->outstanding >= RESOLVER_OUTSTANDING_MAX ||
	    resolver->nlookups >= RESOLVER_LOOKUPS_MAX) {
		resolver_reply(
		    resolver, &asked->client, asked->question, NULL, RESOLVER_WAS_OVERLOAD);
		return;
	}
	struct resolver_lookup *lookup = calloc(1, sizeof(*lookup));

	bug_if(!lookup);
	lookup->resolver = resolver;
	lookup->client = asked->client;
	lookup->question = *asked->question;
	lookup->source = asked->source;
	snprintf(lookup->agent, sizeof(lookup->agent), "%s", asked->agent);
	lookup->deadline = evtimer_new(resolver->base, on_deadline, lookup);
	bug_if(!lookup->deadline || event_add(lookup->deadline, &patience) != 0);
	LIST_INSERT_HEAD(&resolver->lookups, lookup, next);
	metric_set(resolver->asking, (double)++resolver->nlookups);
	lookup->source->outstanding++;
	resolver_upstreams_look(&resolver->upstreams);
	lookup->exchange = (struct resolver_exchange){.base = resolver->base,
	    .upstreams = &resolver->upstreams,
	    .unfit = resolver->unfit,
	    .done = on_answer,
	    .arg = lookup};
	resolver_exchange_start(&lookup->exchange, &lookup->question.name);
}

void resolver_lookup_end_all(struct resolver *resolver)
{
	while (!LIST_EMPTY(&resolver->lookups))
		free_lookup(LIST_FIRST(&resolver->lookups));
}
