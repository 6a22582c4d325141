#include "services/auth/proof.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

void proof_audit(const struct proof *proof, const char *outcome)
{
	char wallet[9];
	snprintf(wallet, sizeof(wallet), "%.8s", proof->came.wallet);
	if (proof->act[0])
		log_audit(proof->way->name, "outcome", outcome, "act", proof->act, "asset",
		    proof->asset, "wallet", wallet, "ip", proof->client.text, "trace",
		    bus_request_trace(proof->request));
	else
		log_audit(proof->way->name, "outcome", outcome, "asset", proof->asset, "wallet",
		    wallet, "ip", proof->client.text, "trace", bus_request_trace(proof->request));
}

void proof_end(struct proof *proof, enum auth_outcome outcome)
{
	metric_add(proof->outcomes[outcome], 1);
	free(proof);
}

void proof_refuse(struct proof *proof, const struct error *err)
{
	enum auth_outcome outcome = auth_outcome(err->reason);
	if (err->code == ERR_UNAUTHENTICATED || err->code == ERR_DENIED || err->code == ERR_BUSY)
		proof_audit(proof, err->reason);
	bus_fail(proof->request, err);
	proof_end(proof, outcome);
}

int proof_unknown(struct error *err, const char *why)
{
	return error_refuse(err, ERR_UNAUTHENTICATED, "nonce_unknown", "nonce: %s", why);
}

static int judge_owner(
    const struct proof *proof, const struct oracle_owner_rsp *read, struct error *err)
{
	if (strcmp(read->verdict, "owned") != 0)
		return error_refuse(
		    err, ERR_DENIED, "asset_refused", "the asset is %s", read->verdict);
	if (strcmp(read->owner, proof->came.wallet) != 0)
		return error_refuse(err, ERR_DENIED, "not_owner", "somebody else owns the asset");
	if (strcmp(read->history, proof->history) != 0) {
		error_refuse(
		    err, ERR_UNAVAILABLE, "chain_unavailable", "Redis was restarted meanwhile");
		err->retry_after_s = 2;
		return -1;
	}
	return 0;
}

static void owner_read(void *arg, const void *message, const struct error *err)
{
	struct proof *proof = arg;
	const struct oracle_owner_rsp *read = message;
	struct error refused;
	if (err) {
		auth_chain_error(err, &refused);
		proof_refuse(proof, &refused);
		return;
	}
	if (judge_owner(proof, read, &refused) != 0) {
		proof_refuse(proof, &refused);
		return;
	}
	memcpy(proof->name, read->name, sizeof(proof->name));
	proof->way->is_owner(proof, read);
}

void proof_read_owner(struct proof *proof)
{
	struct oracle_owner_req req = {0};
	memcpy(req.asset, proof->asset, sizeof(req.asset));
	memcpy(req.wallet, proof->came.wallet, strlen(proof->came.wallet) + 1);
	bus_send(proof->self->oracle, &oracle_owner_call, &req,
	    bus_request_deadline(proof->request), bus_request_trace(proof->request), owner_read,
	    proof);
}

static void limited(void *arg, const struct ledger_wait *out, const struct error *err)
{
	struct proof *proof = arg;
	struct error busy;
	if (err) {
		proof_refuse(proof, err);
	} else if (out->wait_ms > 0) {
		auth_limited(out->wait_ms, &busy);
		proof_refuse(proof, &busy);
	} else {
		proof->way->is_signed(proof);
	}
}

/* Only a wallet's own good signature counts against it: nobody else can lock it out. */
static void limit_wallet(struct proof *proof)
{
	const struct ledger_limit limit =
	    auth_limit("sign-in", proof->came.wallet, proof->self->sign_ins_per_minute_per_wallet);
	ledger_limit(proof->self->process->redis, &limit, 1, limited, proof);
}

static int judge_nonce(
    const struct ledger_taken *taken, struct nonce_record *record_r, struct error *err)
{
	struct error broken;
	if (!taken->stored_history[0])
		return proof_unknown(err, "never issued, expired or used");
	/* a Redis that forgot the taking may offer it again, but as another history */
	if (strcmp(taken->stored_history, taken->history) != 0)
		return proof_unknown(err, "issued before Redis was restarted");
	if (nonce_decode(taken->value, taken->len, record_r, &broken) != 0)
		return proof_unknown(err, broken.text);
	if (clock_unix_ms() >= record_r->expires_ms)
		return proof_unknown(err, "expired");
	return 0;
}

static void taken(void *arg, const struct ledger_taken *out, const struct error *err)
{
	struct proof *proof = arg;
	struct nonce_record record;
	struct error refused;
	if (err) {
		proof_refuse(proof, err);
		return;
	}
	if (judge_nonce(out, &record, &refused) != 0 ||
	    proof->way->judge(proof, &record, &refused) != 0 ||
	    signature_check(&record, &proof->came, &refused) != 0) {
		proof_refuse(proof, &refused);
		return;
	}
	memcpy(proof->history, out->history, sizeof(proof->history));
	memcpy(proof->asset, record.asset, sizeof(proof->asset));
	limit_wallet(proof);
}

void proof_begin(const struct proof *from)
{
	struct error err;
	struct proof *proof = malloc(sizeof(*proof));
	bug_if(!proof);
	*proof = *from;
	if (!nonce_is_valid(proof->nonce)) {
		proof_unknown(&err, "not one of ours");
		proof_refuse(proof, &err);
		return;
	}
	if (client_address_parse(proof->ip, &proof->client, &err) != 0) {
		proof_refuse(proof, &err);
		return;
	}
	ledger_take(proof->self->process->redis, proof->nonce, taken, proof);
}
