#include "services/agent-wallet/sender.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/agent-wallet/relay.h"
#include "services/agent-wallet/verdict.h"
#include "services/agent-wallet/wallet.h"

#define CALL_MS 3000

/* One of the batch, while something is asked about it. */
struct look {
	struct sender *sender;
	struct operation *op;
};

static const char *const endings[] = {"finalized", "failed", "expired"};

static void rest(struct sender *sender)
{
	bool more = sender->n == OPERATIONS_CLAIM_MAX;
	uint64_t ms = more ? 0 : sender->wallet->again_ms / 4 + 10;
	struct timeval wait = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
	free(sender->ops);
	sender->ops = NULL;
	sender->n = sender->pending = 0;
	if (!sender->is_stopping)
		event_add(sender->timer, &wait);
}

void sender_note(
    const struct wallet *wallet, const struct operation *op, operations_done done, void *arg)
{
	const struct operation_note note = {.id = op->id,
	    .state = op->state,
	    .error = op->error,
	    .least = op->least,
	    .most = op->most,
	    .landed = op->landed,
	    .again_ms = wallet->again_ms,
	    .differ = op->differ,
	    .accepted = op->accepted};
	operations_note(wallet->process->redis, &note, done, arg);
}

/* ---- 4. written down */

static void on_noted(void *arg, const struct operation *op, const struct error *err)
{
	struct look *look = arg;
	struct sender *sender = look->sender;
	/* if it was not, the lease ends and it is looked at again */
	for (size_t i = 0; !err && op && i < ARRAY_LEN(endings); i++) {
		if (strcmp(op->state, endings[i]) != 0)
			continue;
		metric_add(sender->ended[i], 1);
		log_audit("wallet", "act", op->state, "operation", op->operation, "asset",
		    op->asset, "id", op->id, "signature", op->signature);
	}
	free(look);
	if (--sender->pending == 0)
		rest(sender);
}

static void note(struct look *look)
{
	sender_note(look->sender->wallet, look->op, on_noted, look);
}

/* ---- 3. sent again */

static void on_sent(void *arg, const void *rsp, const struct error *err)
{
	struct look *look = arg;
	relay_judge(err ? NULL : rsp, look->op);
	note(look);
}

/* A former owner's transaction would only fail, for a fee: it is looked after, but not sent any more. */
static void on_owner(void *arg, const struct ledger_owner *owner, const struct error *err)
{
	struct look *look = arg;
	struct wallet *wallet = look->sender->wallet;
	struct chain_send_req req;
	if (err || look->sender->is_stopping ||
	    !ledger_owner_vouches(owner, look->op->wallet, look->op->slot)) {
		note(look);
		return;
	}
	metric_add(look->sender->again, 1);
	relay_request(look->op, &req);
	bus_send(wallet->oracles, &chain_send_call, &req, clock_unix_ms() + CALL_MS, look->op->id,
	    on_sent, look);
}

static struct look *look_at(struct sender *sender, size_t i)
{
	struct look *look = calloc(1, sizeof(*look));
	bug_if(!look);
	*look = (struct look){sender, &sender->ops[i]};
	return look;
}

/* ---- 2. looked at */

static void on_statuses(void *arg, const void *message, const struct error *err)
{
	struct sender *sender = arg;
	const struct chain_statuses_rsp *rsp = message;
	bool known = !err && rsp->states.len == sender->n;
	sender->pending = sender->n;
	for (size_t i = 0; i < sender->n; i++) {
		struct look *look = look_at(sender, i);
		if (known)
			verdict_take(look->op, &rsp->states.item[i], sender->height);
		if (known && verdict_wants_sending(look->op, sender->height))
			ledger_owner(
			    sender->wallet->process->redis, look->op->asset, on_owner, look);
		else
			note(look);
	}
}

static void on_height(void *arg, const void *message, const struct error *err)
{
	struct sender *sender = arg;
	const struct chain_blockhash_rsp *latest = message;
	if (err) {
		on_statuses(sender, NULL, err);
		return;
	}
	sender->height = latest->height;
	struct chain_statuses_req *req = calloc(1, sizeof(*req));
	bug_if(!req);
	req->signatures.len = sender->n;
	for (size_t i = 0; i < sender->n; i++) {
		memcpy(req->signatures.item[i].signature, sender->ops[i].signature,
		    sizeof(req->signatures.item[i].signature));
		/* of older ones nodes know nothing unless they look them up */
		req->history |= sender->height > sender->ops[i].last_valid;
	}
	bus_send(sender->wallet->oracles, &chain_statuses_call, req, clock_unix_ms() + CALL_MS,
	    NULL, on_statuses, sender);
	free(req);
}

/* ---- 1. taken */

static void on_claimed(void *arg, const struct operation *ops, size_t n, const struct error *err)
{
	struct sender *sender = arg;
	const struct chain_blockhash_req req = {};
	if (err || n == 0 || sender->is_stopping) {
		rest(sender);
		return;
	}
	sender->ops = calloc(n, sizeof(*ops));
	bug_if(!sender->ops);
	memcpy(sender->ops, ops, n * sizeof(*ops));
	sender->n = n;
	bus_send(sender->wallet->oracles, &chain_blockhash_call, &req, clock_unix_ms() + CALL_MS,
	    NULL, on_height, sender);
}

/* The lease may run out while it is looked at: then two look, which harms nothing. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct sender *sender = arg;
	const struct wallet *wallet = sender->wallet;
	(void)fd, (void)what;
	operations_claim(wallet->process->redis, 2 * wallet->again_ms + 1000, on_claimed, sender);
}

void sender_start(struct sender *sender, struct wallet *wallet)
{
	static const char name[] = "multiclaw_wallet_ended_total",
			  help[] = "Transactions by how they ended.";
	struct metrics *metrics = wallet->process->metrics;
	sender->wallet = wallet;
	sender->timer = evtimer_new(wallet->process->base, on_timer, sender);
	bug_if(!sender->timer);
	sender->again = metrics_counter(metrics, "multiclaw_wallet_sent_again_total",
	    "Sendings of transactions beyond the first.", NULL);
	sender->ended[0] = metrics_counter(metrics, name, help, "state=\"finalized\"");
	sender->ended[1] = metrics_counter(metrics, name, help, "state=\"failed\"");
	sender->ended[2] = metrics_counter(metrics, name, help, "state=\"expired\"");
	rest(sender);
}

void sender_stop(struct sender *sender)
{
	sender->is_stopping = true;
	event_free(sender->timer);
}
