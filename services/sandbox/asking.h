/* asking - an owner's call, from its token to its answer: session says who it is (never router), the ledger says on which host the agent is, then the call
 * is done; one that waits (reach, logs) is looked at again before it is answered, if an event of the asset came meanwhile.
 */
#ifndef SANDBOX_ASKING_H
#define SANDBOX_ASKING_H

#include "services/sandbox/agent.h"

enum asking_kind {
	ASK_STATE,
	ASK_START,
	ASK_STOP,
	ASK_RESTART,
	ASK_REACH,
	ASK_LOGS,
	ASK_SNAPSHOTS,
	ASK_SNAPSHOT,
	ASK_RESTORE,
	ASK_DISCARD,
	ASK_HAND_OVER,
	ASK_ACCEPT,
};

struct asking {
	struct sandbox *sandbox;
	struct bus_request *request;
	enum asking_kind kind;
	const char *token; /* of the request */
	uint64_t until_ms; /* boot clock: how long it may wait */
	uint64_t after;    /* logs, snapshots */
	const void *more;  /* the request itself; for calls of snapshots.c */
	unsigned tries;
	bool is_done; /* what the call changes is changed: from now on it only waits */
	char history[HISTORY_MAX + 1];
	struct event_id position;
	char asset[PUBKEY_TEXT_MAX + 1], wallet[PUBKEY_TEXT_MAX + 1];
	uint64_t slot;
	struct event *timer;
	struct agent *agent; /* whose waiting it is in, or NULL */
	TAILQ_ENTRY(asking) link;
};

void asking_begin(struct sandbox *sandbox, enum asking_kind kind, const char *token,
    uint64_t wait_ms, uint64_t after, const void *more, struct bus_request *request);

/* ---- from agent.c and told.c */
void asking_tell(struct agent *agent);          /* it runs, or will not */
void asking_tell_log(struct agent *agent);      /* it wrote something */
void asking_tell_snapshot(struct agent *agent); /* one went on, or ended */
void asking_fail_all(struct agent *agent, const struct error *err);

/* ---- from calls.c: judged good, at this moment. agent NULL: nothing of it is here, nor to be made. */
void asking_act(struct asking *asking, struct agent *agent);
void asking_answer(struct asking *asking, struct agent *agent); /* of one that has waited */
/* For the start that follows: vault.grant wants the owner's session, the console's or the agent's. */
void asking_keep_token(const struct asking *asking, struct agent *agent);
/* ---- from snapshots.c: the same, of its calls; and what another host's answer is */
void snapshots_act(struct asking *asking, struct agent *agent);
void snapshots_answer(struct asking *asking, struct agent *agent);
void snapshots_answer_host(struct asking *asking, const char *host);
/* What they end in. */
void asking_reply(struct asking *asking, const void *rsp);
void asking_fail(struct asking *asking, const struct error *err);
/* Waits; false: it may not, or not any more. */
bool asking_wait(struct asking *asking, struct agent *agent);

#endif
