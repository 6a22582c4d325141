/* oracle - the state of services/chain-oracle. */
#ifndef CHAIN_ORACLE_ORACLE_H
#define CHAIN_ORACLE_ORACLE_H

#include <sys/queue.h>

#include "common/http_client.h"
#include "common/service.h"
#include "proto/registry.h"
#include "services/chain-oracle/collection_scan.h"
#include "services/chain-oracle/observer.h"
#include "services/chain-oracle/push.h"
#include "services/chain-oracle/rpc_nodes.h"
#include "services/chain-oracle/sweep.h"

struct owner_read;

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

#endif
