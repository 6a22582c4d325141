/* gate - is this token good at this moment? From the table at once, else from session over the bus; and is our knowledge fresh at all? */
#ifndef ROUTER_GATE_H
#define ROUTER_GATE_H

#include "common/error.h"
#include "proto/session.h"
#include "services/router/cookie.h"
#include "services/router/decision.h"

#define GATE_DECISION_MS 900 /* nginx waits a second */
#define GATE_API_MS 2000

struct router;

/* Knowledge is fresh: a lease at this very moment, and a chain age within chain_grace (rules 11, 18). ERR_UNAVAILABLE. */
int gate_open(const struct router *router, struct error *err);

/* The table alone. agent NULL: any. found_r is borrowed until control returns to the loop. */
enum decision_verdict gate_lookup(struct router *router, struct cookie_value token,
    const char *agent, const struct decision_entry **found_r);

struct gate_question {
	struct cookie_value token; /* copied */
	uint64_t timeout_ms;
	const char *trace; /* borrowed for the call */
	/* To end a session no fresh knowledge is needed, only session's own word: then lease, chain and marks do not matter. */
	bool to_end;
};
/* Called exactly once, never from inside gate_ask: session set and err NULL, or session NULL and err set. Unless to_end, a good answer is one that
 * gate_open allows and no event has overtaken at the moment of the call. audience is that of session's asset. Borrowed for the call. */
typedef void (*gate_done)(void *arg, const struct session_check_rsp *session,
    enum decision_audience audience, const struct error *err);
/* Asks session, up to three times if events keep overtaking its answer, and keeps what it says in the table. */
void gate_ask(
    struct router *router, const struct gate_question *question, gate_done done, void *arg);

#endif
