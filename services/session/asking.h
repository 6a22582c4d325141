/* asking - a call made with an owner's token: it is read, then looked up in the ledger, then the call goes on. */
#ifndef SESSION_ASKING_H
#define SESSION_ASKING_H

#include "services/session/session.h"

struct asking {
	struct session *self;
	struct bus_request *request;
	struct token_claims claims;
	/* the token is good: goes on with the call, and owns asking. look is borrowed for the call. */
	void (*next)(struct asking *asking, const struct ledger_look *look);
	char jti[JTI_LEN + 1]; /* end: which session */
	bool all;              /* end: every session of the asset */
};
/* Caller owns the result, and gives it away to asking_begin or asking_refuse. */
struct asking *asking_new(struct session *self, struct bus_request *request,
    void (*next)(struct asking *asking, const struct ledger_look *look));
void asking_begin(struct asking *asking, const char *token);
/* Ends the request and asking. */
void asking_refuse(struct asking *asking, const struct error *err);
/* ERR_UNAUTHENTICATED session_invalid for a session of an agent's origin: what runs there is not the owner's console. */
int asking_needs_console(const struct asking *asking, struct error *err);

#endif
