/* resolver_internal - what resolver.c (packets of containers) and resolver_lookup.c (names that are being asked for) share. */
#ifndef SANDBOX_RESOLVER_INTERNAL_H
#define SANDBOX_RESOLVER_INTERNAL_H

#include <sys/queue.h>

#include "services/sandbox/resolver.h"
#include "services/sandbox/resolver_exchange.h"
#include "services/sandbox/resolver_sources.h"
#include "services/sandbox/resolver_upstreams.h"
#include "services/sandbox/resolver_wire.h"

#define RESOLVER_AGENT_MAX 32

/* How a container's packet ended: name, as metrics call it, what the reply says. */
/* clang-format off */
#define RESOLVER_RESULTS(X) \
	X(ANSWERED, "answered", NOERROR) \
	X(EMPTY, "empty", NOERROR) \
	X(NXDOMAIN, "nxdomain", NXDOMAIN) \
	X(REFUSED, "refused", REFUSED)    /* not a name that its owner listed */ \
	X(NOTIMP, "notimp", NOTIMP) \
	X(FAILED, "failed", SERVFAIL) \
	X(OVERLOAD, "overload", SERVFAIL) /* too many are being asked for */ \
	X(LIMITED, "limited", SERVFAIL)   /* no reply: asks too often */ \
	X(UNKNOWN, "unknown", SERVFAIL)   /* no reply: nobody's address, any more perhaps */ \
	X(MALFORMED, "malformed", SERVFAIL) /* no reply */
/* clang-format on */
enum resolver_result {
#define RESOLVER_ENUM(name, text, rcode) RESOLVER_WAS_##name,
	RESOLVER_RESULTS(RESOLVER_ENUM)
#undef RESOLVER_ENUM
	    RESOLVER_NRESULTS
};

struct resolver_lookup {
	LIST_ENTRY(resolver_lookup) next;
	struct resolver *resolver;
	struct sockaddr_in client;
	struct resolver_question question;
	struct resolver_source *source;
	char agent[RESOLVER_AGENT_MAX +
		   1]; /* who asked; its address may be nobody's when the answer comes */
	struct resolver_exchange exchange;
	struct event *deadline;
	uint64_t ticket;               /* not 0: answer waits for resolver_allowed */
	struct resolver_answer answer; /* with what a container may know of it */
};

struct resolver {
	struct event_base *base;
	int fd;
	struct event *readable;
	struct resolver_hooks hooks;
	struct resolver_upstreams upstreams;
	struct resolver_sources sources;
	LIST_HEAD(resolver_lookups, resolver_lookup) lookups;
	size_t nlookups;
	uint64_t last_ticket;
	struct metric *results[RESOLVER_NRESULTS], *special, *unfit, *asking;
};

void resolver_count(struct resolver *resolver, enum resolver_result result);
/* answer may be NULL. Counts; what the socket does not take is lost, as UDP may be. */
void resolver_reply(struct resolver *resolver, const struct sockaddr_in *client,
    const struct resolver_question *question, const struct resolver_answer *answer,
    enum resolver_result result);

/* What a container asks; source was taken for it. */
struct resolver_asked {
	struct sockaddr_in client;
	const struct resolver_question *question;
	const char *agent;
	struct resolver_source *source;
};

/* Begins; replies at once if too many are being asked for. */
void resolver_lookup_start(struct resolver *resolver, const struct resolver_asked *asked);
void resolver_lookup_end_all(struct resolver *resolver);

#endif
