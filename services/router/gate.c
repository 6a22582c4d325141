#include "services/router/gate.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/envelope.h"
#include "services/router/router.h"

#define TRIES 3

struct ask {
	struct router *router;
	uint64_t deadline; /* Unix ms */
	unsigned tries;
	bool to_end;
	char trace[TRACE_LEN + 1];
	gate_done done;
	void *arg;
	size_t token_len;
	char token[];
};

int gate_open(const struct router *router, struct error *err)
{
	const struct follower *follower = router->process->follower;
	if (!follower_has_lease(follower))
		return error_refuse(err, ERR_UNAVAILABLE, "service_unavailable", "no lease");
	if (follower_chain_age_ms(follower) > router->process->settings.chain_grace_s * 1000)
		return error_refuse(err, ERR_UNAVAILABLE, "chain_unavailable",
		    "the chain was not read for too long");
	return 0;
}

static struct decision_moment moment_now(const struct router *router)
{
	const struct follower *follower = router->process->follower;
	return (struct decision_moment){
	    .has_lease = follower_has_lease(follower),
	    .history = follower_history_number(follower),
	    .unix_ms = clock_unix_ms(),
	    .boot_ms = clock_boot_ms(),
	};
}

enum decision_verdict gate_lookup(struct router *router, struct cookie_value token,
    const char *agent, const struct decision_entry **found_r)
{
	uint8_t key[DECISION_KEY_LEN];
	struct decision_moment now = moment_now(router);
	decision_key(router->table, token.text, token.len, key);
	return decision_lookup(router->table, key, agent, &now, found_r);
}

static int audience_of(const struct session_check_rsp *session, const uint8_t asset[PUBKEY_LEN],
    enum decision_audience *audience_r)
{
	char own[6 + AGENT_ID_LEN + 1] = "agent:";
	agent_id(asset, own + 6);
	if (strcmp(session->aud, "console") == 0)
		*audience_r = DECISION_CONSOLE;
	else if (strcmp(session->aud, own) == 0)
		*audience_r = DECISION_AGENT;
	else
		return -1;
	return 0;
}

static int answer_parse(
    const struct session_check_rsp *session, struct decision_answer *answer_r, struct error *err)
{
	*answer_r = (struct decision_answer){.exp_ms = session->exp_ms};
	if (pubkey_parse(session->asset, answer_r->asset) != 0 ||
	    pubkey_parse(session->wallet, answer_r->wallet) != 0 ||
	    event_id_parse(session->position, &answer_r->position) != 0 ||
	    sodium_hex2bin(
		answer_r->jti, sizeof(answer_r->jti), session->jti, JTI_LEN, NULL, NULL, NULL) != 0)
		return error_set(err, ERR_INTERNAL, "session answered with a malformed key or id");
	if (audience_of(session, answer_r->asset, &answer_r->audience) != 0)
		return error_refuse(
		    err, ERR_UNAUTHENTICATED, "session_invalid", "foreign audience");
	return 0;
}

static void ask_send(struct ask *ask);

static void ask_end(struct ask *ask, const struct session_check_rsp *session,
    enum decision_audience audience, const struct error *err)
{
	ask->done(ask->arg, session, audience, err);
	sodium_memzero(ask->token, ask->token_len);
	free(ask);
}

/* Does the answer still hold, here and now? It is kept only then. */
static bool keep(struct ask *ask, const char *history, struct decision_answer *answer)
{
	struct router *router = ask->router;
	struct decision_moment now = moment_now(router);
	uint8_t key[DECISION_KEY_LEN];
	if (strcmp(history, follower_history(router->process->follower)) != 0)
		return false;
	answer->history = now.history;
	decision_key(router->table, ask->token, ask->token_len, key);
	return decision_put(router->table, key, answer, &now);
}

static void forget(const struct ask *ask)
{
	uint8_t key[DECISION_KEY_LEN];
	decision_key(ask->router->table, ask->token, ask->token_len, key);
	decision_forget(ask->router->table, key);
}

static void on_check(void *arg, const void *rsp, const struct error *failure)
{
	struct ask *ask = arg;
	const struct session_check_rsp *session = rsp;
	struct decision_answer answer;
	struct error err;

	if (failure) {
		if (failure->code == ERR_UNAUTHENTICATED || failure->code == ERR_DENIED)
			forget(ask);
		ask_end(ask, NULL, 0, failure);
	} else if (answer_parse(session, &answer, &err) != 0) {
		ask_end(ask, NULL, 0, &err);
	} else if (ask->to_end) {
		ask_end(ask, session, answer.audience, NULL);
	} else if (gate_open(ask->router, &err) != 0) {
		ask_end(ask, NULL, 0, &err);
	} else if (session->exp_ms <= clock_unix_ms()) {
		error_refuse(&err, ERR_UNAUTHENTICATED, "session_expired", "expired");
		ask_end(ask, NULL, 0, &err);
	} else if (keep(ask, session->history, &answer)) {
		ask_end(ask, session, answer.audience, NULL);
	} else if (ask->tries < TRIES) {
		ask_send(ask);
	} else {
		error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "overtaken by events");
		ask_end(ask, NULL, 0, &err);
	}
}

static void ask_send(struct ask *ask)
{
	struct session_check_req req = {0};
	ask->tries++;
	memcpy(req.token, ask->token, ask->token_len);
	bus_send(ask->router->sessions, &session_check_call, &req, ask->deadline, ask->trace,
	    on_check, ask);
	sodium_memzero(&req, sizeof(req));
}

void gate_ask(
    struct router *router, const struct gate_question *question, gate_done done, void *arg)
{
	struct cookie_value token = question->token;
	bug_if(token.len == 0 || token.len > COOKIE_TOKEN_MAX);
	struct ask *ask = calloc(1, sizeof(*ask) + token.len);
	bug_if(!ask);
	ask->router = router;
	ask->deadline = clock_unix_ms() + question->timeout_ms;
	ask->to_end = question->to_end;
	snprintf(ask->trace, sizeof(ask->trace), "%s", question->trace);
	ask->done = done;
	ask->arg = arg;
	ask->token_len = token.len;
	memcpy(ask->token, token.text, token.len);
	ask_send(ask);
}
