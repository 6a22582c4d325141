/* oracle.finalized - who owns an asset in a slot that no fork takes back: evidence that may destroy (architecture, rules 4, 14 and 19).
 *
 * Where two nodes are configured, two have to say the same, however well one of them is: less than that is no answer. They need not have finalized the same slot,
 * so when they differ, the one that spoke for the earlier slot is asked again for one not below the other's; a transfer in between looks like that, a lie
 * goes on. What they say is no observation: nothing is written, because it is older than what confirmed shows and ends nobody's session.
 *
 * No waiting for a slot to be finalized, which takes some 13 s: the caller asks again. A second node that is a little behind the first is waited for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "services/chain-oracle/oracle.h"

#define READS_MAX 16
#define BEHIND_MAX PLAUSIBLE_BEHIND /* of mc:chain: what finalizes no more is no evidence */
#define ROUNDS_MAX 3
#define WAIT_MS 400
#define PATIENCE_MS 2000
#define LATER_S 5

struct opinion {
	struct rpc_node *node;
	struct core_asset seen;
	uint64_t slot;
};

struct finalized_read {
	TAILQ_ENTRY(finalized_read) link;
	struct oracle *oracle;
	const struct oracle_finalized_req *req; /* valid until the answer */
	struct bus_request *request;
	struct event *timer;
	uint64_t give_up_at; /* Unix milliseconds */
	uint64_t min_slot;   /* rises with what was said */
	unsigned tried;      /* bits of the nodes that gave nothing for it */
	unsigned rounds;     /* in which two differed */
	bool behind;         /* one of them has not finalized it */
	size_t nopinions;
	struct opinion opinion[2];
};

static void ask(struct finalized_read *read);

/* ---- the end of it ---- */

static void end(struct finalized_read *read, enum finalized_result result)
{
	struct finalized *finalized = &read->oracle->finalized;
	metric_add(finalized->results[result], 1);
	finalized->len--;
	TAILQ_REMOVE(&finalized->reads, read, link);
	event_free(read->timer);
	free(read);
}

static void fail(struct finalized_read *read, const char *reason, const char *why)
{
	struct error err;
	error_refuse(&err, ERR_UNAVAILABLE, reason, "%s", why);
	err.retry_after_s = 1;
	bus_fail(read->request, &err);
	end(read, FINALIZED_FAILED);
}

static void give_up(struct finalized_read *read)
{
	struct error err;
	if (!read->behind) {
		fail(read, "chain_unavailable",
		    read->nopinions == 1 ? "no second node answers" : "no node answers");
		return;
	}
	error_refuse(&err, ERR_UNAVAILABLE, "not_finalized", "slot %s is not finalized yet",
	    log_u64(read->min_slot));
	err.retry_after_s = LATER_S;
	bus_fail(read->request, &err);
	end(read, FINALIZED_BEHIND);
}

static void disagree(struct finalized_read *read, const struct opinion *second)
{
	const struct opinion *first = &read->opinion[0];
	struct error err;
	log_warn("two nodes differ about what is finalized", "asset", read->req->asset, "node",
	    first->node->label, "slot", log_u64(first->slot), "verdict",
	    core_verdict_text(first->seen.verdict), "other_node", second->node->label, "other_slot",
	    log_u64(second->slot), "other_verdict", core_verdict_text(second->seen.verdict));
	error_refuse(&err, ERR_CONFLICT, "chain_disagrees",
	    "two nodes differ about who owns the asset at finalized");
	bus_fail(read->request, &err);
	end(read, FINALIZED_DISAGREED);
}

static void conclude(struct finalized_read *read)
{
	const struct opinion *first = &read->opinion[0], *second = &read->opinion[1];
	const bool two = read->nopinions == 2;
	struct oracle_finalized_rsp rsp = {
	    .slot = two && second->slot < first->slot ? second->slot : first->slot,
	    .nodes = read->nopinions,
	};
	snprintf(rsp.verdict, sizeof(rsp.verdict), "%s", core_verdict_text(first->seen.verdict));
	if (core_verdict_has_owner(first->seen.verdict))
		core_asset_owner(&first->seen, rsp.owner);
	log_info("read at finalized", "asset", read->req->asset, "verdict", rsp.verdict, "owner",
	    rsp.owner, "slot", log_u64(rsp.slot), "nodes", log_u64(rsp.nodes));
	bus_reply(read->request, &rsp);
	end(read, FINALIZED_AGREED);
}

/* ---- asking ---- */

static bool are_the_same(const struct core_asset *a, const struct core_asset *b)
{
	return a->verdict == b->verdict &&
	       (!core_verdict_has_owner(a->verdict) || memcmp(a->owner, b->owner, PUBKEY_LEN) == 0);
}

static void take_first(struct finalized_read *read, const struct opinion *first)
{
	read->opinion[0] = *first;
	read->nopinions = 1;
	read->tried = 0;
	read->behind = false;
	if (rpc_nodes_len(read->oracle->nodes) == 1)
		conclude(read);
	else
		ask(read);
}

static void take_second(struct finalized_read *read, const struct opinion *second)
{
	const struct opinion *first = &read->opinion[0];
	if (are_the_same(&first->seen, &second->seen)) {
		read->opinion[1] = *second;
		read->nopinions = 2;
		conclude(read);
	} else if (first->slot == second->slot || ++read->rounds == ROUNDS_MAX) {
		disagree(read, second);
	} else {
		const struct opinion later = first->slot > second->slot ? *first : *second;
		read->min_slot = later.slot;
		take_first(read, &later);
	}
}

static void on_reading(
    void *arg, struct rpc_node *node, enum rpc_outcome outcome, const struct reading *reading)
{
	struct finalized_read *read = arg;
	if (outcome != RPC_OK) {
		read->behind |= outcome == RPC_BEHIND;
		read->tried |= 1U << node->index;
		ask(read);
		return;
	}
	struct opinion opinion = {.node = node, .slot = reading->slot};
	core_account_read(&reading->account[0].core, read->oracle->collection, &opinion.seen);
	core_asset_check_signer(&opinion.seen);
	if (read->nopinions == 0)
		take_first(read, &opinion);
	else
		take_second(read, &opinion);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	struct finalized_read *read = arg;
	(void)fd;
	(void)what;
	read->tried = 0;
	ask(read);
}

static void wait(struct finalized_read *read)
{
	const struct timeval soon = {.tv_usec = WAIT_MS * 1000};
	if (clock_unix_ms() + WAIT_MS >= read->give_up_at)
		give_up(read);
	else
		event_add(read->timer, &soon);
}

static void ask(struct finalized_read *read)
{
	struct rpc_nodes *nodes = read->oracle->nodes;
	if (!nodes || rpc_nodes_are_stopping(nodes)) {
		fail(read, "service_unavailable", "stopping");
		return;
	}
	if (rpc_nodes_are_foreign(nodes)) {
		fail(read, "chain_unavailable", "the state in Redis belongs to another chain");
		return;
	}
	if (clock_unix_ms() >= read->give_up_at) {
		give_up(read);
		return;
	}
	unsigned except = read->tried;
	if (read->nopinions == 1)
		except |= 1U << read->opinion[0].node->index;
	struct rpc_node *node = rpc_nodes_first(nodes, except);
	if (node)
		rpc_nodes_read_finalized(
		    nodes, node, read->req->asset, read->min_slot, on_reading, read);
	else if (rpc_nodes_any_healthy(nodes, except) || (read->nopinions == 1 && read->behind))
		wait(read);
	else
		give_up(read);
}

static int check(struct oracle *self, const struct oracle_finalized_req *req, struct error *err)
{
	uint8_t key[PUBKEY_LEN];
	if (pubkey_parse(req->asset, key) < 0)
		return error_refuse(err, ERR_INVALID, "asset_invalid", "asset is not an address");
	if (!follower_chain(self->process->follower)->known) {
		error_refuse(err, ERR_UNAVAILABLE, "chain_unavailable", "no sweep has counted yet");
		err->retry_after_s = 1;
		return -1;
	}
	if (self->finalized.len == READS_MAX) {
		error_set(err, ERR_BUSY, "%d readings at finalized are under way", READS_MAX);
		err->retry_after_s = 1;
		return -1;
	}
	return 0;
}

static uint64_t min_slot(const struct oracle *self, uint64_t asked)
{
	uint64_t chain = follower_chain(self->process->follower)->slot;
	uint64_t floor = chain > BEHIND_MAX ? chain - BEHIND_MAX : 0;
	return asked > floor ? asked : floor;
}

void oracle_finalized(
    struct oracle *self, const struct oracle_finalized_req *req, struct bus_request *request)
{
	struct error err;
	if (check(self, req, &err) < 0) {
		bus_fail(request, &err);
		return;
	}
	struct finalized_read *read = calloc(1, sizeof(*read));
	bug_if(!read);
	read->oracle = self;
	read->req = req;
	read->request = request;
	read->min_slot = min_slot(self, req->min_slot);
	read->give_up_at = oracle_give_up_at(request, PATIENCE_MS);
	read->timer = event_new(self->process->base, -1, 0, on_time, read);
	bug_if(!read->timer);
	self->finalized.len++;
	TAILQ_INSERT_TAIL(&self->finalized.reads, read, link);
	ask(read);
}

void oracle_finalized_start(struct oracle *self)
{
	static const char *const labels[] = {
	    [FINALIZED_AGREED] = "result=\"agreed\"",
	    [FINALIZED_DISAGREED] = "result=\"disagreed\"",
	    [FINALIZED_BEHIND] = "result=\"behind\"",
	    [FINALIZED_FAILED] = "result=\"failed\"",
	};
	TAILQ_INIT(&self->finalized.reads);
	for (size_t i = 0; i < ARRAY_LEN(labels); i++)
		self->finalized.results[i] =
		    metrics_counter(self->process->metrics, "multiclaw_oracle_finalized_total",
			"Readings at finalized by result.", labels[i]);
}

void oracle_finalized_stop(struct oracle *self)
{
	struct finalized_read *read, *next;
	for (read = TAILQ_FIRST(&self->finalized.reads); read; read = next) {
		next = TAILQ_NEXT(read, link);
		if (evtimer_pending(read->timer, NULL))
			fail(read, "service_unavailable", "stopping");
	}
}
