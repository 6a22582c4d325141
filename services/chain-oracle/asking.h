/* asking - a request of agent-wallet's (proto/chain.h), put to one node or to several, in one step or more.
 *
 * Each node that is asked makes a whole reply of its own, step by step; a turn is that. Of ASKING_ONE the first turn that comes to an end is the answer, and a
 * node that fails hands over to the next; of the others, the turns run side by side and are merged, in the order of the nodes, when the last has
 * ended, or after two seconds (or when the caller's time is nearly over) as soon as one has. Who did not answer is counted: silence of one node must
 * not make another's word everybody's. A node's failing here says nothing about its health. No node that can be asked: one is waited for, for two
 * seconds at most; a healthy one whose queue is full is no absent one and is waited for, for one.
 */
#ifndef CHAIN_ORACLE_ASKING_H
#define CHAIN_ORACLE_ASKING_H

#include <sys/queue.h>

#include "common/service.h"
#include "services/chain-oracle/rpc_nodes.h"
#include "services/chain-oracle/rpc_request.h"

#define ASKINGS_MAX 40 /* under way */
#define ASKINGS_KEPT 8 /* of them for what is on its way: sending, and what became of it */
#define ASKINGS_SPARE \
	8 /* places in a node's queue that all others leave to those, and to sign-ins */

struct asking;
struct asking_turn {
	struct asking *asking;
	struct rpc_node *node;
	const void *req;
	void *rsp;  /* owned, zeroed at first */
	void *more; /* owned; what a step keeps for a later one, NULL at first */
	unsigned step;
	uint64_t min_slot;
	uint64_t of; /* nodes that are configured and not known to be of another chain */
	bool ended, ok;
};

enum asking_whom {
	ASKING_ONE,     /* a healthy one */
	ASKING_HEALTHY, /* every one of them */
	ASKING_ALL,     /* every one that is not of another chain */
};
struct asking_kind {
	enum asking_whom whom;
	size_t rsp_size;
	size_t body_max;   /* of each answer */
	bool keeps_errors; /* read is also given answers that are errors */
	bool is_kept_for;  /* one of those that ASKINGS_KEPT is for */
	/* What to ask at this step; NULL: the turn has come to its end. */
	char *(*write)(const struct asking_turn *turn, uint64_t id);
	/* 0, or -1: it is not an answer to what was asked. */
	int (*read)(struct asking_turn *turn, const struct rpc_answer *answer, struct error *err);
	/* Not for ASKING_ONE: adds what one node said to what the ones before it did; first: nothing was there yet. */
	void (*merge)(void *rsp, const struct asking_turn *turn, bool first);
	/* May be NULL: looks over the whole before it is sent. */
	void (*finish)(void *rsp, const void *req);
	/* May be NULL: the healthy nodes that did not answer. */
	void (*count)(void *rsp, uint64_t silent);
};

/* Part of its owner. */
struct askings {
	struct process *process;
	struct rpc_nodes **nodes; /* *nodes NULL: stopped */
	TAILQ_HEAD(asking_list, asking) list;
	size_t len;
};
void askings_open(struct askings *askings, struct process *process, struct rpc_nodes **nodes);
/* Ends those that wait for a node; the nodes' end ends the others. */
void askings_stop(struct askings *askings);

/* Answers the request, now or later. min_slot: below mc:chain it counts as that. */
void asking_begin(struct askings *askings, const struct asking_kind *kind, const void *req,
    uint64_t min_slot, struct bus_request *request);

/* For read: the slot of an answer that has a context; -1 if it is below the one asked for, or from the future. */
int asking_slot(const struct asking_turn *turn, const struct rpc_answer *answer, uint64_t *slot_r,
    struct error *err);

#endif
