/* oracle - the state of services/chain-oracle. */
#ifndef CHAIN_ORACLE_ORACLE_H
#define CHAIN_ORACLE_ORACLE_H

#include <sys/queue.h>

#include "common/clock.h"
#include "common/http_client.h"
#include "common/service.h"
#include "proto/registry.h"
#include "services/chain-oracle/chain.h"
#include "services/chain-oracle/collection_scan.h"
#include "services/chain-oracle/observer.h"
#include "services/chain-oracle/push.h"
#include "services/chain-oracle/rpc_nodes.h"
#include "services/chain-oracle/sweep.h"

struct owner_read;
struct finalized_read;

enum finalized_result {
	FINALIZED_AGREED,
	FINALIZED_DISAGREED,
	FINALIZED_BEHIND,
	FINALIZED_FAILED,
	FINALIZED_RESULTS
};
struct finalized {
	TAILQ_HEAD(finalized_reads, finalized_read) reads; /* under way */
	size_t len;
	struct metric *results[FINALIZED_RESULTS];
};

struct oracle {
	struct process *process;
	struct setting_list rpc_urls, ws_urls;
	uint64_t sweep_s, rpc_timeout_ms, clock_lag_s, slots_per_s, watch_max, index_max, index_s;

	uint8_t collection[PUBKEY_LEN];
	struct http_client *http;
	struct rpc_nodes *nodes; /* NULL: stopped */
	struct push *push[PLAUSIBLE_NODES_MAX];
	struct watch *watch;
	struct index *index;
	struct observer observer;
	struct sweep sweep;
	struct collection_scan scan;
	TAILQ_HEAD(owner_reads, owner_read) reads; /* under way */
	struct finalized finalized;
	struct chain chain;
	struct metric *disagreements;
};

extern const struct setting oracle_settings[];
extern const size_t oracle_nsettings;

int oracle_open(void *self, struct error *err);
int oracle_start(void *self, struct error *err);
void oracle_stop(void *self);
void oracle_on_event(void *self, const struct ledger_event *event);
void oracle_on_restart(void *self, const char *history, struct event_id head);
bool oracle_chain_is_ready(void *self, char *why, size_t size);
bool oracle_push_is_ready(void *self, char *why, size_t size);

ORACLE_CALLS(PROTO_HANDLER)

/* Ends the reads that wait for a node; those that wait for Redis end with it. */
void oracle_owner_stop(struct oracle *self);
void oracle_finalized_start(struct oracle *self);
void oracle_finalized_stop(struct oracle *self);

/* Unix milliseconds: when patience is over, or the caller's is but for the way back. */
static inline uint64_t oracle_give_up_at(const struct bus_request *request, uint64_t patience_ms)
{
	const uint64_t margin_ms = 50, patience = clock_unix_ms() + patience_ms;
	uint64_t deadline = bus_request_deadline(request);
	deadline = deadline > margin_ms ? deadline - margin_ms : 0;
	return deadline < patience ? deadline : patience;
}

#endif
