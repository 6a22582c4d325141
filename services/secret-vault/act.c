#include "services/secret-vault/act.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "services/secret-vault/eraser.h"

struct act *act_new(
    struct vault *vault, struct bus_request *request, const void *req, const char *what)
{
	struct act *act = calloc(1, sizeof(*act));
	bug_if(!act);
	act->vault = vault;
	act->request = request;
	act->req = req;
	act->what = what;
	snprintf(act->by, sizeof(act->by), "operator %s", bus_request_peer(request));
	return act;
}

static void end(struct act *act)
{
	master_destroy(&act->next);
	secret_destroy(&act->passphrase);
	free(act);
}

static void tell(const struct act *act, const char *target, const char *outcome)
{
	log_audit("operator", "act", act->what, "outcome", outcome, "target", target, "by", act->by,
	    "trace", bus_request_trace(act->request));
}

void act_fail(struct act *act, const struct error *err)
{
	tell(act, NULL, err->reason[0] ? err->reason : error_name(err->code));
	bus_fail(act->request, err);
	end(act);
}

void act_reply(struct act *act, const void *rsp, const char *target)
{
	tell(act, target, "done");
	bus_reply(act->request, rsp);
	end(act);
}

/* ---- the state */

static void fill_counts(struct vault_state_rsp *rsp, const struct survey_view *view)
{
	rsp->periods = view->counts.periods;
	rsp->locked = view->counts.locked;
	rsp->rewrapped = view->rewrapped;
	rsp->head_seq = view->head_seq;
	if (view->head_seq > 0) {
		rsp->head.len = sizeof(view->head);
		memcpy(rsp->head.data, view->head, sizeof(view->head));
	}
}

static void fill_state(struct vault_state_rsp *rsp, const struct vault *vault)
{
	bool is_sqlite = strncmp(vault->store_at, "sqlite:", 7) == 0;
	snprintf(rsp->state, sizeof(rsp->state), "%s", vault_state_name(vault->state));
	snprintf(rsp->why, sizeof(rsp->why), "%s", vault->why);
	snprintf(rsp->store, sizeof(rsp->store), "%s", is_sqlite ? "sqlite" : "postgres");
	memcpy(rsp->key_id, vault->key_id, sizeof(vault->key_id));
	memcpy(rsp->next_key_id, vault->next_key_id, sizeof(vault->next_key_id));
	rsp->breaker = vault->eraser && eraser_is_tripped(vault->eraser);
}

static int look(void *arg, struct desk *desk, struct error *err)
{
	struct act *act = arg;
	return survey_read(&act->view, desk, true, err);
}

static void on_looked(void *arg, const struct error *err)
{
	struct act *act = arg;
	struct vault_state_rsp rsp = {0};
	if (!err)
		survey_take(act->vault, &act->view);
	fill_state(&rsp, act->vault);
	if (err)
		snprintf(rsp.why, sizeof(rsp.why), "%.159s", err->text);
	else
		fill_counts(&rsp, &act->view);
	if (act->what[0]) {
		act_reply(act, &rsp, NULL);
		return;
	}
	bus_reply(act->request, &rsp);
	end(act);
}

void act_reply_state(struct act *act)
{
	worker_do(act->vault->worker, WORKER_READ, look, on_looked, act);
}

/* ---- */

int act_needs_keys(const struct act *act, struct error *err)
{
	const struct vault *vault = act->vault;
	if ((vault->state == VAULT_OPEN || vault->state == VAULT_CATCHING_UP) &&
	    !vault->is_stopping)
		return 0;
	return error_refuse(err, ERR_UNAVAILABLE, "vault_sealed", "the vault is %s: %s",
	    vault_state_name(vault->state), vault->why);
}

int act_needs_owner(const struct act *act, const char *asset, const char *wallet, struct error *err)
{
	uint8_t key[PUBKEY_LEN];
	if (act_needs_keys(act, err) != 0)
		return -1;
	if (pubkey_parse(asset, key) != 0 || pubkey_parse(wallet, key) != 0)
		return error_refuse(
		    err, ERR_INVALID, "address_invalid", "asset and wallet are base58 addresses");
	return 0;
}

int act_note(const struct act *act, struct desk *desk, const char *detail, struct error *err)
{
	const struct audit_note note = {.act = act->what, .by = act->by, .detail = detail};
	return records_audit(desk, NULL, &note, err);
}
