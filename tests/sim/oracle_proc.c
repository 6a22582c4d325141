/* Reads the chain, writes observations, opens sessions. chain-oracle's and auth's own code is not simulated, what they write is: by the same calls, with a follower
 * that tells what they wrote. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "proto/session.h"
#include "tests/sim/chain.h"
#include "tests/sim/seam.h"
#include "tests/sim/suite.h"

#define CALL_MS 2000

void suite_on_event(void *arg, const struct ledger_event *event)
{
	(void)arg, (void)event;
}

void suite_on_restart(void *arg, const char *history, struct event_id head)
{
	(void)arg, (void)history, (void)head;
}

void oracle_proc_start(struct proc *proc)
{
	struct process *process = &proc->daemon->process;

	process->bell = seam_bell_new(proc);
	proc->sessions = seam_client_new(proc, ROLE_SESSION);
	process->follower = follower_new(process->base, process->redis, proc->name, "chain-oracle",
	    &(struct follower_hooks){suite_on_event, suite_on_restart, NULL, proc},
	    process->metrics);
}

void oracle_proc_stop(struct proc *proc)
{
	bus_client_destroy(&proc->sessions);
}

static uint64_t least_slot(const struct proc *proc)
{
	return follower_chain(proc->daemon->process.follower)->slot;
}

static uint64_t deadline(void)
{
	return clock_unix_ms() + CALL_MS;
}

/* ---- observations */

struct sweep {
	struct proc *proc;
	uint64_t began, slot;
	unsigned open;
	bool has_failed;
};
struct observation {
	struct proc *proc;
	unsigned asset;
	struct sweep *sweep; /* NULL: a push */
};

static void on_counted(void *arg, const char *word, const struct error *err)
{
	(void)arg, (void)word, (void)err;
}

static void sweep_part(struct sweep *sweep, bool has_failed)
{
	sweep->has_failed |= has_failed;
	if (--sweep->open > 0 || sweep->has_failed || !sweep->proc->up)
		return;
	ledger_chain(sweep->proc->daemon->process.redis, sweep->slot,
	    (world.now - sweep->began) / MS, CHAIN_GENESIS, on_counted, NULL);
}

static void on_observed(void *arg, const struct ledger_record *out, const struct error *err)
{
	struct observation *observation = arg;
	struct proc *proc = observation->proc;

	if (out && out->changed && proc->up)
		process_announce(&proc->daemon->process, out->history, out->event,
		    chain_asset(observation->asset));
	if (observation->sweep)
		sweep_part(observation->sweep, err != NULL);
}

static void observe(struct proc *proc, unsigned asset, struct sweep *sweep)
{
	struct observation *observation = world_alloc(sizeof(*observation));
	struct chain_view view;

	*observation = (struct observation){proc, asset, sweep};
	if (!chain_read(asset, least_slot(proc) + (sweep != NULL), &view)) {
		if (sweep)
			sweep_part(sweep, true);
		return;
	}
	if (sweep && view.slot < sweep->slot)
		sweep->slot = view.slot;
	ledger_observe(proc->daemon->process.redis, chain_asset(asset), view.owner, view.slot,
	    false, on_observed, observation);
}

struct order {
	struct proc *proc;
	unsigned asset;
	bool everything;
};

static struct order *order_new(struct proc *proc, unsigned asset, bool everything)
{
	struct order *order = world_alloc(sizeof(*order));

	*order = (struct order){proc, asset, everything};
	return order;
}

static void push(void *arg)
{
	const struct order *order = arg;

	observe(order->proc, order->asset, NULL);
}

void oracle_push(struct proc *proc, unsigned asset)
{
	proc_deliver(proc, CHANNEL_HTTP, world.now, push, order_new(proc, asset, false));
}

static void sweep(void *arg)
{
	const struct order *order = arg;
	struct sweep *sweep = world_alloc(sizeof(*sweep));

	*sweep = (struct sweep){.proc = order->proc, .began = world.now, .slot = UINT64_MAX};
	sweep->open = chain_nassets();
	for (unsigned i = 0; i < chain_nassets(); i++)
		observe(order->proc, i, sweep);
}

void oracle_sweep(struct proc *proc)
{
	proc_deliver(proc, CHANNEL_HTTP, world.now, sweep, order_new(proc, 0, false));
}

/* ---- sign-in */

struct signing {
	struct proc *proc;
	unsigned asset;
	const char *wallet;
	uint64_t slot;
	uint8_t state[32];
	struct session_mint_rsp minted;
	oracle_signed_in done;
	void *arg;
};

static void fail(struct signing *signing)
{
	signing->done(signing->arg, NULL);
}

static void ask(
    struct signing *signing, const struct proto_call *call, const void *req, bus_done done)
{
	bus_send(signing->proc->sessions, call, req, deadline(), "sim", done, signing);
}

static void on_entered(void *arg, const void *rsp, const struct error *err)
{
	struct signing *signing = arg;
	const struct session_enter_rsp *entered = rsp;

	if (err)
		fail(signing);
	else
		signing->done(signing->arg, &(struct oracle_entered){signing->minted.token,
						entered->token, signing->minted.jti, entered->jti});
}

static void on_ticket(void *arg, const void *rsp, const struct error *err)
{
	struct signing *signing = arg;
	const struct session_ticket_rsp *ticket = rsp;
	struct session_enter_req req = {.ip = "192.0.2.1"};

	if (err || !signing->proc->up) {
		fail(signing);
		return;
	}
	memcpy(&req.ticket, &ticket->ticket, sizeof(req.ticket));
	memcpy(req.agent, chain_agent(signing->asset), sizeof(req.agent));
	req.state.len = sizeof(signing->state);
	memcpy(req.state.data, signing->state, sizeof(signing->state));
	ask(signing, &session_enter_call, &req, on_entered);
}

static void on_opening(void *arg, const void *rsp, const struct error *err)
{
	struct signing *signing = arg;
	const struct session_opening_rsp *opening = rsp;
	struct session_ticket_req req = {0};

	if (err || !signing->proc->up) {
		fail(signing);
		return;
	}
	memcpy(&req.opening, &opening->opening, sizeof(req.opening));
	memcpy(req.agent, chain_agent(signing->asset), sizeof(req.agent));
	req.state.len = sizeof(signing->state);
	memcpy(req.state.data, signing->state, sizeof(signing->state));
	ask(signing, &session_ticket_call, &req, on_ticket);
}

static void on_minted(void *arg, const void *rsp, const struct error *err)
{
	struct signing *signing = arg;
	struct session_opening_req req;

	if (err || !signing->proc->up) {
		fail(signing);
		return;
	}
	signing->minted = *(const struct session_mint_rsp *)rsp;
	memset(&req, 0, sizeof(req));
	memcpy(req.token, signing->minted.token, sizeof(signing->minted.token));
	ask(signing, &session_opening_call, &req, on_opening);
}

static void on_owner(void *arg, const struct ledger_record *out, const struct error *err)
{
	struct signing *signing = arg;
	struct session_mint_req req;

	if (err || !signing->proc->up) {
		fail(signing);
		return;
	}
	if (out->changed)
		process_announce(&signing->proc->daemon->process, out->history, out->event,
		    chain_asset(signing->asset));
	memset(&req, 0, sizeof(req));
	snprintf(req.asset, sizeof(req.asset), "%s", chain_asset(signing->asset));
	snprintf(req.wallet, sizeof(req.wallet), "%s", signing->wallet);
	memcpy(req.history, out->history, sizeof(out->history));
	snprintf(req.ip, sizeof(req.ip), "192.0.2.1");
	req.slot = signing->slot;
	ask(signing, &session_mint_call, &req, on_minted);
}

static void sign_in(void *arg)
{
	struct signing *signing = arg;
	struct chain_view view;

	if (!chain_read(signing->asset, least_slot(signing->proc), &view)) {
		fail(signing);
		return;
	}
	signing->slot = view.slot;
	randombytes_buf(signing->state, sizeof(signing->state));
	ledger_observe(signing->proc->daemon->process.redis, chain_asset(signing->asset),
	    view.owner, view.slot, true, on_owner, signing);
}

void oracle_sign_in(
    struct proc *proc, unsigned asset, const char *wallet, oracle_signed_in done, void *arg)
{
	struct signing *signing = world_alloc(sizeof(*signing));

	*signing = (struct signing){
	    .proc = proc, .asset = asset, .wallet = wallet, .done = done, .arg = arg};
	proc_deliver(proc, CHANNEL_HTTP, world.now, sign_in, signing);
}

/* ---- an operator */

static void on_revoked(void *arg, const void *rsp, const struct error *err)
{
	(void)arg, (void)rsp, (void)err;
}

static void revoke(void *arg)
{
	const struct order *order = arg;
	struct session_revoke_req req = {.everything = order->everything};

	if (!order->everything)
		snprintf(req.asset, sizeof(req.asset), "%s", chain_asset(order->asset));
	bus_send(
	    order->proc->sessions, &session_revoke_call, &req, deadline(), "sim", on_revoked, NULL);
}

void oracle_revoke(struct proc *proc, unsigned asset, bool everything)
{
	proc_deliver(proc, CHANNEL_HTTP, world.now, revoke, order_new(proc, asset, everything));
}

static void announce(void *arg)
{
	const struct order *order = arg;

	process_add_event(
	    &order->proc->daemon->process, chain_asset(order->asset), "agent", NULL, NULL);
}

void oracle_announce(struct proc *proc, unsigned asset)
{
	proc_deliver(proc, CHANNEL_HTTP, world.now, announce, order_new(proc, asset, false));
}
