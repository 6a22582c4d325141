#include "services/agent-wallet/sender.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/agent-wallet/relay.h"
#include "services/agent-wallet/verdict.h"
#include "services/agent-wallet/wallet.h"

#define CALL_MS 3000
#define PAUSES_MAX 8 /* the longest pause, in usual ones */

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
	sender->n = sender->pending = sender->n_old = 0;
	if (!sender->is_stopping)
		event_add(sender->timer, &wait);
}

/* What every node refuses, and what has been on its way for minutes, is not looked at as often: nodes limit how much they are asked. */
static uint64_t pause_ms(const struct wallet *wallet, const struct operation *op)
{
	const uint64_t least = wallet->again_ms, most = PAUSES_MAX * least, now = clock_unix_ms();
	uint64_t age = now > op->sent_ms ? now - op->sent_ms : 0;
	bool is_refused = op->error[0] && !op->accepted;
	uint64_t wait = age / (is_refused ? 2 : 32);
	return wait < least ? least : wait > most ? most : wait;
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
	    .again_ms = pause_ms(wallet, op),
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

static void go_on(struct look *look, const struct verdict_look *how)
{
	if (how && verdict_wants_sending(look->op, how))
		ledger_owner(look->sender->wallet->process->redis, look->op->asset, on_owner, look);
	else
		note(look);
}

static struct verdict_look word_of(const struct chain_statuses_rsp *rsp, bool history)
{
	return (struct verdict_look){.nodes = rsp->nodes,
	    .of = rsp->of,
	    .silent = rsp->silent,
	    .height = rsp->height,
	    .highest = rsp->highest,
	    .history = history};
}

static void ask_statuses(
    struct sender *sender, struct look *const *looks, size_t n, bool history, bus_done done)
{
	struct chain_statuses_req *req = calloc(1, sizeof(*req));
	bug_if(!req);
	req->history = history;
	req->signatures.len = n;
	for (size_t i = 0; i < n; i++)
		memcpy(req->signatures.item[i].signature, looks[i]->op->signature,
		    sizeof(req->signatures.item[i].signature));
	bus_send(sender->wallet->oracles, &chain_statuses_call, req, clock_unix_ms() + CALL_MS,
	    NULL, done, sender);
	free(req);
}

/* Not every node keeps a history: then it stays as it is, but what is young does not wait for it. */
static void on_searched(void *arg, const void *message, const struct error *err)
{
	struct sender *sender = arg;
	const struct chain_statuses_rsp *rsp = message;
	bool known = !err && rsp->states.len == sender->n_old;
	const struct verdict_look how = known ? word_of(rsp, true) : (struct verdict_look){0};
	size_t n = sender->n_old;
	sender->n_old = 0;
	for (size_t i = 0; i < n; i++) {
		if (known)
			verdict_take(sender->old[i]->op, &rsp->states.item[i], &how);
		go_on(sender->old[i], known ? &how : NULL);
	}
}

static void on_statuses(void *arg, const void *message, const struct error *err)
{
	struct sender *sender = arg;
	const struct chain_statuses_rsp *rsp = message;
	bool known = !err && rsp->states.len == sender->n;
	const struct verdict_look how = known ? word_of(rsp, false) : (struct verdict_look){0};
	sender->pending = sender->n;
	for (size_t i = 0; i < sender->n; i++) {
		struct look *look = sender->looks[i];
		if (known)
			verdict_take(look->op, &rsp->states.item[i], &how);
		if (known && verdict_wants_history(look->op, &how))
			sender->old[sender->n_old++] = look;
		else
			go_on(look, known ? &how : NULL);
	}
	if (sender->n_old > 0)
		ask_statuses(sender, sender->old, sender->n_old, true, on_searched);
}

/* ---- 1. taken */

static void on_claimed(void *arg, const struct operation *ops, size_t n, const struct error *err)
{
	struct sender *sender = arg;
	if (err || n == 0 || sender->is_stopping) {
		rest(sender);
		return;
	}
	sender->ops = calloc(n, sizeof(*ops));
	bug_if(!sender->ops);
	memcpy(sender->ops, ops, n * sizeof(*ops));
	sender->n = n;
	for (size_t i = 0; i < n; i++)
		sender->looks[i] = look_at(sender, i);
	ask_statuses(sender, sender->looks, n, false, on_statuses);
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
