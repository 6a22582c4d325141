/* sweep - reads every watched asset and writes down what it saw: the truth, where push is only the speed (architecture, rules 2 and 3).
 *
 * One begins 15 s (setting) after the last that counted began, whichever replica made that one, with a little chance, and at once when asked for:
 * after a push connection came up, after an observation was missed, on a new history. All its readings are of one node, another one each time.
 * It counts, that is, moves mc:chain, when every reading was taken and every observation written, in one history. Its age is measured from before the first reading
 * was sent.
 */
#ifndef CHAIN_ORACLE_SWEEP_H
#define CHAIN_ORACLE_SWEEP_H

#include "services/chain-oracle/observer.h"
#include "services/chain-oracle/rpc_nodes.h"

#define SWEEP_PAGE 396 /* assets asked of Redis at a time: four readings */

struct sweep_run {
	struct rpc_node *node;
	uint64_t began_ms; /* boot time */
	uint64_t min_slot, lowest;
	uint32_t history;
	bool failed;
	char cursor[24];
	size_t len, next; /* of the page; next: first that was not asked for yet */
	char (*page)[PUBKEY_TEXT_MAX + 1];
	size_t readings, writings; /* under way */
};

/* Part of its owner: Redis may answer until that is freed. */
struct sweep {
	struct process *process;
	struct rpc_nodes *nodes; /* NULL: stopped */
	struct observer *observer;
	struct watch *watch;
	const uint8_t *collection;
	uint64_t interval_ms, jitter_ms;
	struct event *tick;
	bool running, wanted;
	struct rpc_node *wanted_node; /* NULL: any */
	unsigned failures;
	uint64_t retry_at_ms, counted_ms; /* boot time; counted: when our last that counted began */
	struct sweep_run run;
	struct metric *counted, *behind, *failed, *assets;
	struct histogram *seconds;
};

/* Keeps the pointers. */
void sweep_open(struct sweep *sweep, struct process *process, struct rpc_nodes *nodes,
    struct observer *observer, const uint8_t *collection, uint64_t interval_ms);
void sweep_close(struct sweep *sweep);
/* As soon as possible, by that node if it is healthy then (NULL: any). */
void sweep_want(struct sweep *sweep, struct rpc_node *node);

#endif
