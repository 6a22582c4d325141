#include "services/sandbox/resolver.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "services/sandbox/resolver_internal.h"

#define PACKETS_AT_ONCE 64
/* RFC 6895 §3.1: between these no types of records, but ways to ask (ANY, AXFR) */
#define META_FIRST 128
#define META_LAST 255

static const struct {
	const char *labels;
	enum resolver_rcode rcode;
} results[RESOLVER_NRESULTS] = {
#define RESOLVER_ROW(name, text, code) {"result=\"" text "\"", RESOLVER_##code},
    RESOLVER_RESULTS(RESOLVER_ROW)
#undef RESOLVER_ROW
};

void resolver_count(struct resolver *resolver, enum resolver_result result)
{
	metric_add(resolver->results[result], 1);
}

void resolver_reply(struct resolver *resolver, const struct sockaddr_in *client,
    const struct resolver_question *question, const struct resolver_answer *answer,
    enum resolver_result result)
{
	uint8_t packet[RESOLVER_REPLY_MAX];
	size_t len = resolver_wire_reply(question, results[result].rcode, answer, packet);

	resolver_count(resolver, result);
	sendto(resolver->fd, packet, len, MSG_DONTWAIT, (const struct sockaddr *)client,
	    sizeof(*client));
}

/* What can be said without asking anybody; RESOLVER_WAS_ANSWERED: nothing. */
static enum resolver_result judge(
    const struct resolver_question *question, const struct egress *egress)
{
	if (question->opcode != 0 || question->class != RESOLVER_IN ||
	    question->type == RESOLVER_OPT ||
	    (question->type >= META_FIRST && question->type <= META_LAST))
		return RESOLVER_WAS_NOTIMP;
	if (question->text[0] == '\0')
		return egress->is_narrowed ? RESOLVER_WAS_REFUSED : RESOLVER_WAS_NXDOMAIN;
	if (!egress_allows(egress, question->text))
		return RESOLVER_WAS_REFUSED;
	return question->type == RESOLVER_A ? RESOLVER_WAS_ANSWERED : RESOLVER_WAS_EMPTY;
}

static void serve(
    struct resolver *resolver, const struct sockaddr_in *client, const uint8_t *packet, size_t len)
{
	struct resolver_question question;
	const char *agent = NULL;
	const struct egress *egress =
	    resolver->hooks.policy(resolver->hooks.arg, client->sin_addr, &agent);
	struct resolver_source *source;

	if (!egress) {
		resolver_count(resolver, RESOLVER_WAS_UNKNOWN);
		return;
	}
	bug_if(!agent);
	source = resolver_sources_take(&resolver->sources, client->sin_addr);
	if (!source) {
		resolver_count(resolver, RESOLVER_WAS_LIMITED);
		return;
	}
	if (len > RESOLVER_PACKET_MAX || !resolver_wire_question(packet, len, &question)) {
		resolver_count(resolver, RESOLVER_WAS_MALFORMED);
		return;
	}
	enum resolver_result result = judge(&question, egress);
	if (result != RESOLVER_WAS_ANSWERED)
		resolver_reply(resolver, client, &question, NULL, result);
	else
		resolver_lookup_start(
		    resolver, &(struct resolver_asked){*client, &question, agent, source});
}

static void on_packet(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *resolver = arg;
	uint8_t packet[RESOLVER_PACKET_MAX + 1]; /* one more than counts: a longer one is seen */
	struct sockaddr_in client = {0};

	(void)what;
	for (int i = 0; i < PACKETS_AT_ONCE; i++) {
		socklen_t size = sizeof(client);
		ssize_t len = recvfrom(
		    fd, packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&client, &size);

		if (len < 0)
			return;
		if (size == sizeof(client) && client.sin_family == AF_INET)
			serve(resolver, &client, packet, (size_t)len);
	}
}

static void open_metrics(struct resolver *resolver, struct metrics *metrics)
{
	for (size_t i = 0; i < RESOLVER_NRESULTS; i++)
		resolver->results[i] = metrics_counter(metrics, "multiclaw_resolver_packets_total",
		    "Packets of containers to their resolver, by how they ended",
		    results[i].labels);
	resolver->special = metrics_counter(metrics, "multiclaw_resolver_special_total",
	    "Addresses left out of answers because they are not public", NULL);
	resolver->unfit = metrics_counter(metrics, "multiclaw_resolver_unfit_total",
	    "Packets to the resolver that answer nothing it asked upstream", NULL);
	resolver->asking =
	    metrics_gauge(metrics, "multiclaw_resolver_lookups", "Names being asked for", NULL);
}

struct resolver *resolver_new(struct event_base *base, int fd, const char *upstreams,
    const struct resolver_hooks *hooks, struct metrics *metrics, struct error *err)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	bug_if(!resolver);
	resolver->base = base;
	resolver->fd = fd;
	resolver->hooks = *hooks;
	LIST_INIT(&resolver->lookups);
	/* a late word about a ticket of the resolver before must mean none of this one */
	randombytes_buf(&resolver->last_ticket, sizeof(resolver->last_ticket));
	if (resolver_upstreams_init(&resolver->upstreams, upstreams, err) != 0) {
		resolver_destroy(&resolver);
		return NULL;
	}
	open_metrics(resolver, metrics);
	resolver->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_packet, resolver);
	bug_if(!resolver->readable || event_add(resolver->readable, NULL) != 0);
	return resolver;
}

void resolver_destroy(struct resolver **resolver)
{
	struct resolver *gone = *resolver;

	if (!gone)
		return;
	*resolver = NULL;
	resolver_lookup_end_all(gone);
	if (gone->readable)
		event_free(gone->readable);
	close(gone->fd);
	resolver_upstreams_clear(&gone->upstreams);
	free(gone);
}
