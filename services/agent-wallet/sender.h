/* sender - goes after every transaction that was sent and has not ended: looks what became of it, sends the same bytes again while it can still land and some node
 * does not know it, at longer intervals the older it is and the more it is refused. What is due is in Redis, taken for a while by one replica; so it survives this process, and any replica goes on with it. */
#ifndef AGENT_WALLET_SENDER_H
#define AGENT_WALLET_SENDER_H

#include <event2/event.h>

#include "common/metrics.h"
#include "services/agent-wallet/operations.h"

struct wallet;
struct look;

struct sender {
	struct wallet *wallet;
	struct event *timer;
	bool is_stopping;
	/* the batch under way; n is 0 between batches */
	struct operation *ops;
	size_t n, pending;
	struct look *looks[OPERATIONS_CLAIM_MAX];
	struct look *old[OPERATIONS_CLAIM_MAX]; /* those of them whose history is searched */
	size_t n_old;
	struct metric *again, *ended[3];
};

void sender_start(struct sender *sender, struct wallet *wallet);
/* Begins nothing more. What waits for Redis ends later, and uses sender until then. */
void sender_stop(struct sender *sender);

/* Writes down what is known of op now. */
void sender_note(
    const struct wallet *wallet, const struct operation *op, operations_done done, void *arg);

#endif
