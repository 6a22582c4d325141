/* wallet - the state of services/agent-wallet. It has none of its own beyond what is under way: operations are in Redis (operations.h). */
#ifndef AGENT_WALLET_WALLET_H
#define AGENT_WALLET_WALLET_H

#include <sys/queue.h>

#include "common/service.h"
#include "common/wallet_accept.h"
#include "proto/registry.h"
#include "services/agent-wallet/sender.h"

struct asking;
struct wallet {
	struct process *process; /* first: the skeleton sets it */

	/* settings */
	uint64_t builds_per_minute, calls_per_minute, builds_kept, build_ttl_s, keep_s, again_ms;
	uint64_t max_priority_lamports;
	bool allow_lighthouse;

	uint8_t collection[PUBKEY_LEN];
	struct bus_client *sessions, *oracles, *auths;
	struct sender sender;
	LIST_HEAD(askings, asking) askings; /* under way */
	struct metric *built, *sent, *refused;
};

extern const struct setting wallet_settings[];
extern const size_t wallet_nsettings;

int wallet_open(void *self, struct error *err);
int wallet_start(void *self, struct error *err);
void wallet_stop(void *self);
void wallet_on_event(void *self, const struct ledger_event *event);
void wallet_on_restart(void *self, const char *history, struct event_id head);
bool wallet_reaches_peers(void *self, char *why, size_t size);

WALLET_CALLS(PROTO_HANDLER)

#endif
