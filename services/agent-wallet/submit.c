/* wallet.submit and wallet.status - the one signed version of what was built, kept before it is sent, and what became of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/agent-wallet/asking.h"
#include "services/agent-wallet/operations.h"
#include "services/agent-wallet/relay.h"

#define SEND_MS 3000
#define ANSWER_MS 300 /* kept of the caller's time for the answer */

struct submitting {
	struct asking asking; /* first */
	const char *id;
	const struct wallet_submit_req *req; /* NULL: status */
	struct operation op;
};

static struct submitting *submitting_of(struct asking *asking)
{
	return (struct submitting *)asking;
}

static void answer(struct submitting *submitting)
{
	const struct operation *op = &submitting->op;
	struct wallet_status_rsp rsp = {.slot = op->landed,
	    .differ = op->differ,
	    .last_valid = op->last_valid,
	    .built_ms = op->built_ms,
	    .sent_ms = op->sent_ms};
	memcpy(rsp.operation, op->operation, sizeof(rsp.operation));
	memcpy(rsp.state, op->state, sizeof(rsp.state));
	memcpy(rsp.signature, op->signature, sizeof(rsp.signature));
	memcpy(rsp.error, op->error, sizeof(rsp.error));
	memcpy(rsp.least, op->least, sizeof(rsp.least));
	memcpy(rsp.most, op->most, sizeof(rsp.most));
	/* both answers have the same fields */
	_Static_assert(sizeof(struct wallet_submit_rsp) == sizeof(struct wallet_status_rsp), "");
	asking_reply(&submitting->asking, &rsp);
}

/* ---- 6. sent */

/* The first sending's outcome is worth telling; if it could not be written down, the next look will. */
static void on_noted(void *arg, const struct operation *op, const struct error *err)
{
	struct submitting *submitting = arg;
	if (!err && op)
		submitting->op = *op;
	answer(submitting);
}

static void on_sent(void *arg, const void *rsp, const struct error *err)
{
	struct submitting *submitting = arg;
	relay_judge(err ? NULL : rsp, &submitting->op);
	sender_note(submitting->asking.wallet, &submitting->op, on_noted, submitting);
}

static void send_first(struct submitting *submitting)
{
	const struct asking *asking = &submitting->asking;
	uint64_t until = bus_request_deadline(asking->request) - ANSWER_MS;
	uint64_t now = clock_unix_ms();
	struct chain_send_req req;
	relay_request(&submitting->op, &req);
	bus_send(asking->wallet->oracles, &chain_send_call, &req,
	    until < now + SEND_MS ? until : now + SEND_MS, bus_request_trace(asking->request),
	    on_sent, submitting);
}

/* ---- 5. kept */

static int judge_accepted(const char *word, struct error *err)
{
	if (strcmp(word, "accepted") == 0 || strcmp(word, "same") == 0)
		return 0;
	if (strcmp(word, "other") == 0)
		return error_refuse(err, ERR_CONFLICT, "already_submitted",
		    "other bytes were accepted for this operation");
	if (strcmp(word, "twin") == 0)
		return error_refuse(err, ERR_CONFLICT, "already_submitted",
		    "an equal order was submitted already and this is the same transaction, which "
		    "lands once: build it anew to do it twice");
	return error_refuse(err, ERR_NOT_FOUND, "operation_unknown", "forgotten meanwhile");
}

static void on_accepted(
    void *arg, const char *word, const struct operation *op, const struct error *err)
{
	struct submitting *submitting = arg;
	struct error refused;
	if (err) {
		asking_refuse(&submitting->asking, err);
		return;
	}
	if (judge_accepted(word, &refused) != 0) {
		asking_refuse(&submitting->asking, &refused);
		return;
	}
	submitting->op = *op;
	if (strcmp(word, "same") == 0) {
		answer(submitting);
		return;
	}
	metric_add(submitting->asking.wallet->sent, 1);
	log_audit("wallet", "act", "sent", "operation", op->operation, "asset", op->asset, "id",
	    op->id, "signature", op->signature, "trace",
	    bus_request_trace(submitting->asking.request));
	send_first(submitting);
}

/* ---- 4. in time */

static void on_height(void *arg, const void *message, const struct error *err)
{
	struct submitting *submitting = arg;
	const struct wallet *wallet = submitting->asking.wallet;
	const struct chain_blockhash_rsp *latest = message;
	struct error late;
	if (err) {
		asking_refuse(&submitting->asking, err);
	} else if (asking_still(&submitting->asking, &late) != 0) {
		asking_refuse(&submitting->asking, &late);
	} else if (latest->height > submitting->op.last_valid &&
		   !chain_is_vouched(latest->nodes, latest->of)) {
		error_refuse(&late, ERR_UNAVAILABLE, "chain_unavailable",
		    "only one node names the block height");
		late.retry_after_s = 1;
		asking_refuse(&submitting->asking, &late);
	} else if (latest->height > submitting->op.last_valid) {
		error_refuse(&late, ERR_CONFLICT, "operation_expired",
		    "block %llu was the last it could land at, now it is %llu: build it anew",
		    (unsigned long long)submitting->op.last_valid,
		    (unsigned long long)latest->height);
		asking_refuse(&submitting->asking, &late);
	} else {
		operations_accept(wallet->process->redis, &submitting->op, wallet->keep_s * 1000,
		    wallet->again_ms, on_accepted, submitting);
	}
}

static void owned(struct asking *asking)
{
	const struct chain_blockhash_req req = {};
	asking_ask(asking, &chain_blockhash_call, &req, on_height);
}

/* ---- 3. what came back is what was built */

/* In words for owners: what was changed, which signature is wrong. */
static void rename_refusal(struct error *err)
{
	static const char *const names[][2] = {{"tx_changed", "transaction_changed"},
	    {"tx_fee", "fee_too_high"}, {"tx_signature", "signature_missing"}};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(err->reason, names[i][0]) == 0)
			snprintf(err->reason, sizeof(err->reason), "%s", names[i][1]);
}

static int check_returned(struct submitting *submitting, struct error *err)
{
	const struct wallet *wallet = submitting->asking.wallet;
	const struct wallet_submit_req *req = submitting->req;
	const struct wallet_terms terms = {wallet->max_priority_lamports, wallet->allow_lighthouse};
	struct operation *op = &submitting->op;
	struct solana_tx built, returned;
	if (solana_tx_parse(op->built, op->built_len, &built, err) != 0)
		return error_set(err, ERR_INTERNAL, "what was built does not parse");
	if (solana_tx_parse(req->transaction.data, req->transaction.len, &returned, err) != 0)
		return -1;
	if (wallet_accept(&built, &returned, &terms, err) != 0) {
		rename_refusal(err);
		return -1;
	}
	memcpy(op->sent, req->transaction.data, req->transaction.len);
	op->sent_len = req->transaction.len;
	base58_encode(returned.signatures, SIGNATURE_LEN, op->signature, sizeof(op->signature));
	return 0;
}

static bool is_same(const struct submitting *submitting)
{
	const struct operation *op = &submitting->op;
	const struct wallet_submit_req *req = submitting->req;
	return op->sent_len == req->transaction.len &&
	       memcmp(op->sent, req->transaction.data, op->sent_len) == 0;
}

static void submit(struct submitting *submitting)
{
	struct error err;
	if (strcmp(submitting->op.state, "built") != 0) {
		if (is_same(submitting)) {
			answer(submitting);
			return;
		}
		error_refuse(&err, ERR_CONFLICT, "already_submitted",
		    "other bytes were accepted for this operation");
		asking_refuse(&submitting->asking, &err);
	} else if (check_returned(submitting, &err) != 0) {
		asking_refuse(&submitting->asking, &err);
	} else {
		asking_read_owner(&submitting->asking, owned);
	}
}

/* ---- 2. whose it is */

/* Of this owner, and of an ownership that nobody else's came after: one that was built before a sale is nobody's any more. */
static bool is_own(const struct asking *asking, const struct operation *op)
{
	return op && strcmp(op->asset, asking->asset) == 0 &&
	       strcmp(op->wallet, asking->owner) == 0 && op->slot > asking->other_slot;
}

static void on_read(void *arg, const struct operation *op, const struct error *err)
{
	struct submitting *submitting = arg;
	struct error unknown;
	if (err) {
		asking_refuse(&submitting->asking, err);
	} else if (!is_own(&submitting->asking, op)) {
		error_refuse(&unknown, ERR_NOT_FOUND, "operation_unknown",
		    "no such operation of this owner's; unsigned ones are forgotten");
		asking_refuse(&submitting->asking, &unknown);
	} else {
		submitting->op = *op;
		if (submitting->req)
			submit(submitting);
		else
			answer(submitting);
	}
}

/* ---- 1. named */

static bool is_id(const char *id)
{
	return strspn(id, "0123456789abcdef") == WALLET_ID_LEN;
}

static void begin(struct asking *asking)
{
	struct submitting *submitting = submitting_of(asking);
	struct error err;
	if (!is_id(submitting->id)) {
		error_refuse(&err, ERR_NOT_FOUND, "operation_unknown", "that is no id");
		asking_refuse(&submitting->asking, &err);
		return;
	}
	operations_get(asking->wallet->process->redis, submitting->id, on_read, submitting);
}

static void ask(struct wallet *self, const char *token, const char *id,
    const struct wallet_submit_req *req, struct bus_request *request)
{
	struct submitting *submitting = calloc(1, sizeof(*submitting));
	bug_if(!submitting);
	submitting->asking = (struct asking){.wallet = self, .request = request, .next = begin};
	submitting->id = id;
	submitting->req = req;
	asking_begin(&submitting->asking, token);
}

void wallet_submit(
    struct wallet *self, const struct wallet_submit_req *req, struct bus_request *request)
{
	ask(self, req->token, req->id, req, request);
}

void wallet_status(
    struct wallet *self, const struct wallet_status_req *req, struct bus_request *request)
{
	ask(self, req->token, req->id, NULL, request);
}
