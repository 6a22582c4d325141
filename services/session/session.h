/* session - the state of services/session. It keeps no cache: every check is one look in the ledger. */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include <sys/queue.h>

#include "common/codec.h"
#include "common/origin.h"
#include "common/service.h"
#include "proto/registry.h"
#include "services/session/rotation.h"
#include "services/session/token.h"

struct waiter;
struct session {
	struct process *process;
	struct origin origin; /* of the public URL: the tokens' issuer */
	struct rotation rotation;
	uint64_t openings_per_minute; /* setting */
	struct metric *minted, *refused, *good, *bad;

	/* enforced.c */
	LIST_HEAD(waiters, waiter) waiters;
	size_t nwaiters;
	struct event *again;
	bool is_stopping;
};

extern const struct setting session_settings[];
extern const size_t session_nsettings;

int session_open(void *self, struct error *err);
int session_start(void *self, struct error *err);
void session_stop(void *self);
void session_reload(void *self);
bool session_keys_are_ready(void *self, char *why, size_t size);

SESSION_CALLS(PROTO_HANDLER)

/* ---- enforced.c */
void enforced_start(struct session *self);
/* Whoever waits is refused. */
void enforced_stop(struct session *self);

/* A token as presented: MAC, claims and times. What the ledger says of it comes after. */
int session_read_token(const struct session *self, const char *token, struct token_claims *claims_r,
    struct error *err);
/* The common reply of what ends sessions: tells everybody, and names the event. */
void session_tell(struct session *self, const struct ledger_ended *ended, const char *asset,
    struct session_end_rsp *rsp_r);

#endif
