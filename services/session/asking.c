#include "services/session/asking.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

void asking_refuse(struct asking *asking, const struct error *err)
{
	if (err->code == ERR_UNAUTHENTICATED)
		metric_add(asking->self->bad, 1);
	bus_fail(asking->request, err);
	free(asking);
}

static bool record_agrees(const struct token_claims *claims, const struct ledger_look *look)
{
	return strcmp(claims->asset, look->asset) == 0 &&
	       strcmp(claims->wallet, look->wallet) == 0 && claims->slot == look->slot &&
	       claims->iat_s * 1000 == look->iat_ms && claims->exp_s * 1000 == look->exp_ms &&
	       strcmp(claims->aud, look->aud) == 0;
}

/* A ban reads as the end of the session: what a wallet did to be banned is not told to whoever holds its cookie. */
static int judge(const struct asking *asking, const struct ledger_look *look, struct error *err)
{
	if (look->verdict != LEDGER_GOOD)
		return error_refuse(
		    err, ERR_UNAUTHENTICATED, "session_revoked", "the session has ended");
	if (record_agrees(&asking->claims, look))
		return 0;
	log_audit("a token of ours differs from its record", "asset", look->asset, "jti",
	    asking->claims.jti, "trace", bus_request_trace(asking->request));
	return error_refuse(
	    err, ERR_UNAUTHENTICATED, "session_invalid", "the token differs from its record");
}

static void looked(void *arg, const struct ledger_look *look, const struct error *err)
{
	struct asking *asking = arg;
	struct error refused;
	if (err) {
		asking_refuse(asking, err);
	} else if (judge(asking, look, &refused) != 0) {
		asking_refuse(asking, &refused);
	} else {
		metric_add(asking->self->good, 1);
		asking->next(asking, look);
	}
}

struct asking *asking_new(struct session *self, struct bus_request *request,
    void (*next)(struct asking *asking, const struct ledger_look *look))
{
	struct asking *asking = calloc(1, sizeof(*asking));
	bug_if(!asking);
	asking->self = self;
	asking->request = request;
	asking->next = next;
	return asking;
}

void asking_begin(struct asking *asking, const char *token)
{
	struct error err;
	if (session_read_token(asking->self, token, &asking->claims, &err) != 0)
		asking_refuse(asking, &err);
	else
		ledger_look(asking->self->process->redis, asking->claims.jti, looked, asking);
}

int asking_needs_console(const struct asking *asking, struct error *err)
{
	if (token_is_console(&asking->claims))
		return 0;
	return error_refuse(err, ERR_UNAUTHENTICATED, "session_invalid", "an agent's session");
}
