#include "services/chain-oracle/reading.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"

/* What 100 slices take, and room for members that nodes may add. */
#define BODY_MAX ((size_t)256 * 1024)

struct waiting {
	reading_taken taken;
	void *arg;
	reading_judge judge;
	void *judge_arg;
	size_t len;
	uint64_t min_slot;
	enum rpc_commitment commitment;
};

/* The accounts behind the reading, for as long as it is looked at; the last one is the clock. */
static int parse(const struct waiting *waiting, const struct rpc_answer *answer,
    struct rpc_account *accounts, struct reading *reading_r, int64_t *clock_r, struct error *err)
{
	if (rpc_answer_accounts(answer, waiting->len + 1, accounts, &reading_r->slot, err) < 0)
		return -1;
	if (rpc_account_clock(&accounts[waiting->len], clock_r) < 0)
		return error_set(err, ERR_INVALID, "no clock");
	if (reading_r->slot < waiting->min_slot)
		return error_set(err, ERR_INVALID, "slot %llu is below the one asked for",
		    (unsigned long long)reading_r->slot);
	reading_r->len = waiting->len;
	reading_r->account = accounts;
	return 0;
}

static bool makes_known(const struct waiting *waiting)
{
	return waiting->commitment == RPC_CONFIRMED;
}

static void note_view(struct rpc_node *node, uint64_t slot, int64_t clock_s)
{
	rpc_node_recovered(node);
	node->view.known = true;
	node->view.slot = slot;
	node->view.clock_s = clock_s;
	node->view.at_ms = clock_unix_ms();
	metric_set(node->slot, (double)slot);
}

static void note_broken(
    const struct waiting *waiting, struct rpc_node *node, const struct error *why)
{
	if (makes_known(waiting))
		rpc_node_broke(node, why);
	else
		metric_add(node->outcomes[RPC_BROKEN], 1);
}

static void on_answer(void *arg, struct rpc_node *node, const struct rpc_answer *answer)
{
	scoped_free struct waiting *waiting = arg;
	struct reading reading;
	struct error err;
	int64_t clock_s;
	if (answer->outcome != RPC_OK) {
		if (answer->outcome == RPC_BEHIND && makes_known(waiting))
			rpc_node_recovered(node);
		waiting->taken(waiting->arg, node, answer->outcome, NULL);
		return;
	}
	scoped_free struct rpc_account *accounts = calloc(waiting->len + 1, sizeof(*accounts));
	bug_if(!accounts);
	if (parse(waiting, answer, accounts, &reading, &clock_s, &err) < 0) {
		note_broken(waiting, node, &err);
		waiting->taken(waiting->arg, node, RPC_BROKEN, NULL);
		return;
	}
	if (makes_known(waiting))
		note_view(node, reading.slot, clock_s);
	bool plausible = waiting->judge(waiting->judge_arg, node, reading.slot);
	if (!plausible)
		metric_add(node->outcomes[RPC_IMPLAUSIBLE], 1);
	waiting->taken(
	    waiting->arg, node, plausible ? RPC_OK : RPC_IMPLAUSIBLE, plausible ? &reading : NULL);
}

void reading_take(
    struct rpc_node *node, const struct reading_request *request, reading_taken taken, void *arg)
{
	struct waiting *waiting = malloc(sizeof(*waiting));
	bug_if(!waiting);
	*waiting = (struct waiting){taken, arg, request->judge, request->judge_arg, request->len,
	    request->min_slot, request->commitment};
	uint64_t id = rpc_node_id(node);
	char *body = rpc_request_accounts(
	    id, request->keys, request->len, request->min_slot, request->commitment);
	const struct rpc_call call = {body, id, BODY_MAX, makes_known(waiting)};
	rpc_node_call(node, call, on_answer, waiting);
}
