/* resolver_exchange - one name put to the upstreams until one of them answers.
 *
 * Against forged answers (RFC 5452): each try has a socket of its own, so a port the kernel chose at random and an address the kernel compares, besides an id and a
 * case of the letters (0x20) that are random; what does not fit all of it is counted and waited past.
 */
#ifndef SANDBOX_RESOLVER_EXCHANGE_H
#define SANDBOX_RESOLVER_EXCHANGE_H

#include <event2/event.h>

#include "common/metrics.h"
#include "services/sandbox/resolver_upstreams.h"
#include "services/sandbox/resolver_wire.h"

#define RESOLVER_TRIES 3
#define RESOLVER_TRY_MS 1600 /* the last one waits as long as the caller does */

struct resolver_exchange {
	struct event_base *base;
	struct resolver_upstreams *upstreams;
	struct metric *unfit;
	/* Once at most, perhaps from start: an answer, or SERVFAIL. It may end the exchange and free it. */
	void (*done)(void *arg, const struct resolver_answer *answer);
	void *arg;

	/* its own */
	struct resolver_name name; /* as it was asked in this try */
	uint16_t id;
	unsigned tries;
	size_t upstream; /* of this try */
	bool is_plain;   /* without EDNS, which one of them did not understand */
	int fd;
	struct event *readable, *timer;
};

/* The members above "its own" are the caller's to set; name is copied, and its case does not matter. Silence of all upstreams is the caller's to end. */
void resolver_exchange_start(struct resolver_exchange *exchange, const struct resolver_name *name);
/* Of one that was started, done or not. */
void resolver_exchange_end(struct resolver_exchange *exchange);

#endif
