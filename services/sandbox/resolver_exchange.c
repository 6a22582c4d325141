#include "services/sandbox/resolver_exchange.h"

#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <unistd.h>

#define PACKETS_AT_ONCE 16

static void next_try(struct resolver_exchange *exchange);

static void close_try(struct resolver_exchange *exchange)
{
	if (exchange->readable)
		event_free(exchange->readable);
	exchange->readable = NULL;
	if (exchange->fd >= 0)
		close(exchange->fd);
	exchange->fd = -1;
}

/* Tail call: the exchange may be gone afterwards. */
static void finish(struct resolver_exchange *exchange, const struct resolver_answer *answer)
{
	static const struct resolver_answer failed = {.rcode = RESOLVER_SERVFAIL};

	close_try(exchange);
	event_del(exchange->timer);
	exchange->done(exchange->arg, answer ? answer : &failed);
}

static void randomise(struct resolver_exchange *exchange)
{
	struct resolver_name *name = &exchange->name;
	uint8_t bits[RESOLVER_NAME_MAX];

	randombytes_buf(&exchange->id, sizeof(exchange->id));
	randombytes_buf(bits, sizeof(bits));
	for (size_t i = 0; i < name->len; i++) {
		uint8_t upper = name->bytes[i] & 0xdf;

		if (upper >= 'A' && upper <= 'Z')
			name->bytes[i] = upper | (bits[i] & 0x20);
	}
}

/* An upstream did not answer, or not well: others are asked before it from now on. */
static void prefer_another(struct resolver_exchange *exchange)
{
	struct resolver_upstreams *upstreams = exchange->upstreams;

	if (upstreams->first == exchange->upstream)
		upstreams->first = (upstreams->first + 1) % upstreams->n;
}

/* Upstreams that cannot serve a name say so; another one may. */
static void take_answer(struct resolver_exchange *exchange, const struct resolver_answer *answer)
{
	bool is_good = answer->rcode == RESOLVER_NOERROR || answer->rcode == RESOLVER_NXDOMAIN;
	bool is_edns = answer->rcode == RESOLVER_FORMERR || answer->rcode == RESOLVER_NOTIMP;

	if (is_good) {
		finish(exchange, answer);
	} else if (is_edns && !exchange->is_plain) {
		exchange->is_plain = true;
		next_try(exchange);
	} else if (exchange->upstreams->n > 1) {
		next_try(exchange);
	} else {
		finish(exchange, NULL);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct resolver_exchange *exchange = arg;
	uint8_t packet[RESOLVER_PACKET_MAX + 1];
	struct resolver_answer answer;

	(void)what;
	for (int i = 0; i < PACKETS_AT_ONCE; i++) {
		ssize_t len = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);

		if (len < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (len < 0) { /* nobody is there, by ICMP */
			prefer_another(exchange);
			next_try(exchange);
			return;
		}
		if ((size_t)len <= RESOLVER_PACKET_MAX &&
		    resolver_wire_answer(
			packet, (size_t)len, exchange->id, &exchange->name, &answer)) {
			take_answer(exchange, &answer);
			return;
		}
		metric_add(exchange->unfit, 1);
	}
}

static bool begin_try(struct resolver_exchange *exchange)
{
	uint8_t packet[RESOLVER_REPLY_MAX];
	struct resolver_upstream *to = &exchange->upstreams->at[exchange->upstream];

	randomise(exchange);
	size_t len = resolver_wire_ask(exchange->id, &exchange->name, !exchange->is_plain, packet);
	exchange->fd = socket(to->address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (exchange->fd < 0 ||
	    connect(exchange->fd, (const struct sockaddr *)&to->address, to->len) != 0 ||
	    send(exchange->fd, packet, len, 0) != (ssize_t)len)
		return false;
	exchange->readable =
	    event_new(exchange->base, exchange->fd, EV_READ | EV_PERSIST, on_readable, exchange);
	bug_if(!exchange->readable);
	return event_add(exchange->readable, NULL) == 0;
}

/* The others in turn after the one that answered last; a list that became shorter since is no trouble. */
static void next_try(struct resolver_exchange *exchange)
{
	static const struct timeval patience = {
	    RESOLVER_TRY_MS / 1000, RESOLVER_TRY_MS % 1000 * 1000};
	struct resolver_upstreams *upstreams = exchange->upstreams;

	close_try(exchange);
	event_del(exchange->timer);
	while (exchange->tries < RESOLVER_TRIES) {
		exchange->upstream = exchange->tries++ == 0
					 ? upstreams->first % upstreams->n
					 : (exchange->upstream + 1) % upstreams->n;
		if (begin_try(exchange)) {
			if (exchange->tries < RESOLVER_TRIES)
				event_add(exchange->timer, &patience);
			return;
		}
		prefer_another(exchange);
		close_try(exchange);
	}
	finish(exchange, NULL);
}

static void on_silence(evutil_socket_t fd, short what, void *arg)
{
	struct resolver_exchange *exchange = arg;

	(void)fd;
	(void)what;
	prefer_another(exchange);
	/* some that do not know EDNS say nothing at all */
	exchange->is_plain = exchange->tries + 1 == RESOLVER_TRIES;
	next_try(exchange);
}

void resolver_exchange_start(struct resolver_exchange *exchange, const struct resolver_name *name)
{
	exchange->name = *name;
	exchange->tries = 0;
	exchange->is_plain = false;
	exchange->fd = -1;
	exchange->readable = NULL;
	exchange->timer = evtimer_new(exchange->base, on_silence, exchange);
	bug_if(!exchange->timer);
	next_try(exchange);
}

void resolver_exchange_end(struct resolver_exchange *exchange)
{
	close_try(exchange);
	event_free(exchange->timer);
	exchange->timer = NULL;
}
