/* session.opening, ticket and enter - from the console to the agent's own origin (security rule 5). Each step takes what the one before has handed out, once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/session/asking.h"
#include "services/session/ticket.h"

struct step {
	struct session *self;
	struct bus_request *request;
	const void *req; /* valid until the answer */
	struct ticket_record record;
	struct ticket_shown shown;
	char history[HISTORY_MAX + 1]; /* in which the step before was done */
	uint8_t secret[TICKET_LEN];    /* that is handed out */
	/* what this step is, once what was shown is found to be good, or what it hands out is stored */
	void (*redeemed)(struct step *step);
	void (*stored)(struct step *step);
	struct session_enter_rsp entered;
};

static struct step *step_new(struct session *self, const void *req, struct bus_request *request)
{
	struct step *step = calloc(1, sizeof(*step));
	bug_if(!step);
	step->self = self;
	step->req = req;
	step->request = request;
	return step;
}

static void end(struct step *step)
{
	sodium_memzero(step, sizeof(*step));
	free(step);
}

static void fail(struct step *step, const struct error *err)
{
	if (err->code == ERR_UNAUTHENTICATED) {
		metric_add(step->self->refused, 1);
		log_audit("entry", "outcome", err->reason, "why", err->text, "asset",
		    step->record.asset[0] ? step->record.asset : NULL, "parent",
		    step->record.parent[0] ? step->record.parent : NULL, "trace",
		    bus_request_trace(step->request));
	}
	bus_fail(step->request, err);
	end(step);
}

static int restarted(struct error *err)
{
	error_refuse(err, ERR_UNAVAILABLE, "service_unavailable", "Redis was restarted meanwhile");
	err->retry_after_s = 1;
	return -1;
}

/* ---- taking what was handed out */

static void on_redeemed(void *arg, const struct ledger_taken *out, const struct error *err)
{
	struct step *step = arg;
	struct error refused;
	if (err) {
		fail(step, err);
	} else if (ticket_judge(out, &step->shown, &step->record, &refused) != 0) {
		fail(step, &refused);
	} else {
		memcpy(step->history, out->history, sizeof(step->history));
		step->redeemed(step);
	}
}

static void redeem(struct step *step, const uint8_t *shown)
{
	char hash[TICKET_HASH_LEN + 1];
	ticket_hash(shown, hash);
	ledger_redeem(step->self->process->redis, hash, on_redeemed, step);
}

/* ---- handing out */

static int judge_stored(const struct step *step, const struct ledger_wait *out, struct error *err)
{
	if (out->wait_ms > 0) {
		error_refuse(err, ERR_BUSY, "rate_limited", "too many, next in %llu ms",
		    (unsigned long long)out->wait_ms);
		err->retry_after_s = (unsigned)((out->wait_ms + 999) / 1000);
		return -1;
	}
	return strcmp(out->history, step->history) == 0 ? 0 : restarted(err);
}

static void on_stored(void *arg, const struct ledger_wait *out, const struct error *err)
{
	struct step *step = arg;
	struct error refused;
	if (err)
		fail(step, err);
	else if (judge_stored(step, out, &refused) != 0)
		fail(step, &refused);
	else
		step->stored(step);
}

static void hand_out(struct step *step, const struct ledger_limit *limits, size_t nlimits)
{
	msgpack_sbuffer buf;
	char hash[TICKET_HASH_LEN + 1];
	struct error err;
	randombytes_buf(step->secret, sizeof(step->secret));
	ticket_hash(step->secret, hash);
	msgpack_sbuffer_init(&buf);
	if (ticket_encode(&step->record, &buf, &err) != 0)
		fail(step, &err);
	else
		ledger_ticket(step->self->process->redis, hash, buf.data, buf.size, limits, nlimits,
		    on_stored, step);
	msgpack_sbuffer_destroy(&buf);
}

/* ---- session.opening */

static void answer_opening(struct step *step)
{
	struct session_opening_rsp rsp = {.expires_ms = clock_unix_ms() + TICKET_MS};
	rsp.opening.len = sizeof(step->secret);
	memcpy(rsp.opening.data, step->secret, sizeof(step->secret));
	memcpy(rsp.asset, step->record.asset, sizeof(rsp.asset));
	bus_reply(step->request, &rsp);
	codec_wipe(&session_opening_rsp_message, &rsp);
	end(step);
}

static void go_on_to_open(struct asking *asking, const struct ledger_look *look)
{
	struct error err;
	if (asking_needs_console(asking, &err) != 0) {
		asking_refuse(asking, &err);
		return;
	}
	struct step *step = step_new(asking->self, NULL, asking->request);
	const struct ledger_limit limit = {.kind = "opening",
	    .key = step->record.asset,
	    .per_minute = asking->self->openings_per_minute,
	    .burst = asking->self->openings_per_minute};
	ticket_record_fill(&step->record, &asking->claims);
	memcpy(step->history, look->history, sizeof(step->history));
	step->stored = answer_opening;
	free(asking);
	hand_out(step, &limit, 1);
}

void session_opening(
    struct session *self, const struct session_opening_req *req, struct bus_request *request)
{
	asking_begin(asking_new(self, request, go_on_to_open), req->token);
}

/* ---- session.ticket */

static void answer_ticket(struct step *step)
{
	struct session_ticket_rsp rsp = {.ticket.len = sizeof(step->secret)};
	memcpy(rsp.ticket.data, step->secret, sizeof(step->secret));
	bus_reply(step->request, &rsp);
	codec_wipe(&session_ticket_rsp_message, &rsp);
	end(step);
}

static void bind_to_browser(struct step *step)
{
	const struct session_ticket_req *req = step->req;
	memcpy(step->record.stage, TICKET_TICKET, sizeof(TICKET_TICKET));
	memcpy(step->record.agent, req->agent, sizeof(step->record.agent));
	step->record.state.len = sizeof(step->record.state.data);
	memcpy(step->record.state.data, req->state.data, sizeof(step->record.state.data));
	hand_out(step, NULL, 0);
}

void session_ticket(
    struct session *self, const struct session_ticket_req *req, struct bus_request *request)
{
	struct step *step = step_new(self, req, request);
	step->shown = (struct ticket_shown){.stage = TICKET_OPENING, .agent = req->agent};
	step->redeemed = bind_to_browser;
	step->stored = answer_ticket;
	redeem(step, req->opening.data);
}

/* ---- session.enter */

static int judge_minted(enum ledger_verdict verdict, struct error *err)
{
	if (verdict == LEDGER_GOOD)
		return 0;
	if (verdict == LEDGER_HISTORY)
		return restarted(err);
	return error_refuse(
	    err, ERR_UNAUTHENTICATED, "session_revoked", "the console's session has ended");
}

static void on_minted(void *arg, const struct ledger_ended *out, const struct error *err)
{
	struct step *step = arg;
	struct session *self = step->self;
	const struct session_enter_req *req = step->req;
	struct error refused;
	if (err) {
		fail(step, err);
		return;
	}
	if (judge_minted(out->verdict, &refused) != 0) {
		fail(step, &refused);
		return;
	}
	metric_add(self->minted, 1);
	log_audit("entry", "outcome", "opened", "asset", step->record.asset, "jti",
	    step->entered.jti, "parent", step->record.parent, "ip", req->ip, "trace",
	    bus_request_trace(step->request));
	if (out->changed)
		process_announce(self->process, out->history, out->event, step->record.asset);
	bus_reply(step->request, &step->entered);
	end(step);
}

static void fill_claims(struct token_claims *claims_r, const struct ticket_record *record)
{
	*claims_r = (struct token_claims){
	    .slot = record->slot, .iat_s = clock_unix_ms() / 1000, .exp_s = record->exp_ms / 1000};
	memcpy(claims_r->asset, record->asset, sizeof(claims_r->asset));
	memcpy(claims_r->wallet, record->wallet, sizeof(claims_r->wallet));
	token_agent_aud(record->asset, claims_r->aud);
	token_new_jti(claims_r->jti);
}

/* The child is signed with its parent's key, so that whoever retires that one ends both. */
static const struct signing_key *signer(const struct step *step, struct error *err)
{
	const struct keys *keys = rotation_keys(&step->self->rotation, err);
	if (!keys)
		return NULL;
	const struct signing_key *key = keys_named(keys, step->record.kid, clock_unix_ms() / 1000);
	if (!key)
		error_refuse(err, ERR_UNAUTHENTICATED, "session_invalid",
		    "the key of the console's session was retired");
	return key;
}

static int compose(struct step *step, const struct signing_key *key, struct token_claims *claims_r,
    struct error *err)
{
	fill_claims(claims_r, &step->record);
	if (claims_r->iat_s >= claims_r->exp_s)
		return error_refuse(
		    err, ERR_UNAUTHENTICATED, "session_expired", "the session is 7 days old");
	if (token_compose(key, step->self->origin.text, claims_r, step->entered.token, err) != 0)
		return -1;
	memcpy(step->entered.jti, claims_r->jti, sizeof(step->entered.jti));
	memcpy(step->entered.asset, claims_r->asset, sizeof(step->entered.asset));
	step->entered.exp_ms = step->record.exp_ms;
	return 0;
}

static void mint(struct step *step)
{
	const struct session_enter_req *req = step->req;
	struct token_claims claims;
	struct error err;
	const struct signing_key *key = signer(step, &err);
	if (!key || compose(step, key, &claims, &err) != 0) {
		fail(step, &err);
		return;
	}
	const struct ledger_child child = {.parent = step->record.parent,
	    .history = step->history,
	    .jti = claims.jti,
	    .aud = claims.aud,
	    .ip = req->ip,
	    .agent = req->user_agent,
	    .kid = key->kid,
	    .iat_ms = claims.iat_s * 1000};
	ledger_mint_child(step->self->process->redis, &child, on_minted, step);
}

void session_enter(
    struct session *self, const struct session_enter_req *req, struct bus_request *request)
{
	struct step *step = step_new(self, req, request);
	step->shown = (struct ticket_shown){
	    .stage = TICKET_TICKET, .agent = req->agent, .state = req->state.data};
	step->redeemed = mint;
	redeem(step, req->ticket.data);
}
