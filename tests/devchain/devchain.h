/* devchain - the whole: one chain, two nodes with their sockets, a timer that makes slots, and callers who wait for one. */
#ifndef DEVCHAIN_DEVCHAIN_H
#define DEVCHAIN_DEVCHAIN_H

#include <event2/event.h>

#include "tests/devchain/endpoint.h"
#include "tests/devchain/store.h"

#define NODES 2

struct devchain_options {
	const char *state_dir, *user;         /* user: to become, if root; may be NULL */
	uint16_t port[NODES], ws_port[NODES]; /* 0: any free one */
	uint64_t slot_ms, confirmed_lag, finalized_lag;
	bool demo;
};

struct devchain {
	struct event_base *base;
	struct event *slot_timer;
	struct store store;
	struct genesis genesis;
	struct chain *chain;
	struct bank bank;
	struct node nodes[NODES];
	struct endpoint *endpoints[NODES];
	uint64_t slots_a_second;
	struct waiter *waiters;
};

/* Opens the state, seeds it on the first start, listens, writes ports.json. Caller closes, also after an error. */
int devchain_open(struct devchain *devchain, struct event_base *base,
    const struct devchain_options *options, struct error *err);
/* Saves and frees everything. */
void devchain_close(struct devchain *devchain);

/* Saves the accounts; a change is reported to nobody before this returned 0. */
int devchain_save(struct devchain *devchain, struct error *err);
/* Calls done once: at once if the chain has slot at that commitment, else as soon as it does, or with false when a fork took it away. */
typedef void (*devchain_reached)(void *arg, bool reached);
void devchain_wait(struct devchain *devchain, uint64_t slot, enum commitment commitment,
    devchain_reached done, void *arg);
/* chain_fork, and what it means for the pushes. */
uint64_t devchain_fork(struct devchain *devchain, uint64_t n);

#endif
