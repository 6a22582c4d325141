#include "services/chain-oracle/asking.h"

#include <stdlib.h>
#include <string.h>

#include "services/chain-oracle/oracle.h"

#define WAIT_MS 100
#define PATIENCE_MS 2000
#define ROOM_MS 1000 /* of that, waiting for room in a node's queue */

struct asking {
	TAILQ_ENTRY(asking) link;
	struct askings *askings;
	const struct asking_kind *kind;
	const void *req; /* valid until the answer */
	struct bus_request *request;
	struct event *timer;
	uint64_t min_slot, give_up_at; /* Unix milliseconds */
	uint64_t room_until;           /* likewise */
	size_t wanted;                 /* healthy ones when they were asked */
	unsigned tried;                /* bits of the nodes that failed */
	bool behind;                   /* one of them only lags */
	size_t running;
	size_t len;
	struct asking_turn *turn[PLAUSIBLE_NODES_MAX]; /* owned */
	bool late;                                     /* what is there is enough */
	struct error why;                              /* the last that failed */
};

static void ask(struct asking *asking);

/* ---- the end of it ---- */

static void free_turn(struct asking_turn *turn)
{
	free(turn->rsp);
	free(turn->more);
	free(turn);
}

/* One that is not answered yet is freed by its answer. */
static void forget_turns(struct asking *asking)
{
	for (size_t i = 0; i < asking->len; i++)
		if (asking->turn[i]->ended)
			free_turn(asking->turn[i]);
		else
			asking->turn[i]->asking = NULL;
	asking->len = 0;
}

static void end(struct asking *asking)
{
	TAILQ_REMOVE(&asking->askings->list, asking, link);
	asking->askings->len--;
	forget_turns(asking);
	event_free(asking->timer);
	free(asking);
}

static void fail(struct asking *asking, const struct error *why)
{
	bus_fail(asking->request, why);
	end(asking);
}

static void fail_for(struct asking *asking, const char *reason, const char *text)
{
	struct error err;
	error_refuse(&err, ERR_UNAVAILABLE, reason, "%s", text);
	err.retry_after_s = 1;
	fail(asking, &err);
}

static void reply(struct asking *asking, void *rsp)
{
	if (asking->kind->finish)
		asking->kind->finish(rsp, asking->req);
	bus_reply(asking->request, rsp);
	end(asking);
}

/* ---- what failed, in the words of proto/chain.h ---- */

static const struct {
	enum rpc_outcome outcome;
	json_int_t code; /* 0: any */
	enum error_code as;
	const char *reason;
} refusals[] = {
    {RPC_FAILED, -32600, ERR_INVALID, "refused_by_node"},
    {RPC_FAILED, -32602, ERR_INVALID, "refused_by_node"},
    {RPC_FAILED, -32013, ERR_INVALID, "refused_by_node"},
    {RPC_FAILED, -32015, ERR_INVALID, "refused_by_node"},
    {RPC_FAILED, -32003, ERR_INVALID, "signature_wrong"},
    {RPC_BEHIND, 0, ERR_UNAVAILABLE, "chain_behind"},
    {RPC_LIMITED, 0, ERR_UNAVAILABLE, "chain_limited"},
    {RPC_REFUSED, 0, ERR_UNAVAILABLE, "not_served"},
};

static void explain(const struct rpc_answer *answer, struct error *why_r)
{
	const char *reason = "chain_unavailable";
	enum error_code as = ERR_UNAVAILABLE;
	if (strcmp(answer->err.reason, HTTP_TOO_LONG) == 0)
		reason = "too_much";
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		if (refusals[i].outcome == answer->outcome &&
		    (refusals[i].code == 0 || refusals[i].code == answer->code)) {
			reason = refusals[i].reason;
			as = refusals[i].as;
		}
	error_refuse(why_r, as, reason, "%s", answer->err.text);
	why_r->retry_after_s = answer->retry_after_s;
	if (as == ERR_UNAVAILABLE && why_r->retry_after_s == 0)
		why_r->retry_after_s = 1;
}

/* ---- turns ---- */

static void merge(struct asking *asking)
{
	struct asking_turn *first = NULL;
	size_t answered = 0;
	for (size_t i = 0; i < asking->len; i++) {
		struct asking_turn *turn = asking->turn[i];
		if (!turn->ok)
			continue;
		if (!first)
			first = turn;
		answered++;
		if (asking->kind->merge)
			asking->kind->merge(first->rsp, turn, turn == first);
	}
	if (first) {
		if (asking->kind->count)
			asking->kind->count(
			    first->rsp, asking->wanted > answered ? asking->wanted - answered : 0);
		reply(asking, first->rsp);
	} else {
		forget_turns(asking);
		ask(asking);
	}
}

static void end_turn(struct asking_turn *turn, bool ok)
{
	struct asking *asking = turn->asking;
	turn->ended = true;
	turn->ok = ok;
	if (!ok)
		asking->tried |= 1U << turn->node->index;
	asking->running--;
	if (asking->running == 0 || (asking->late && ok))
		merge(asking);
}

static void on_answer(void *arg, struct rpc_node *node, const struct rpc_answer *answer);

/* Called from inside ask, when all turns are counted, or from an answer. */
static void next_step(struct asking_turn *turn)
{
	const struct asking_kind *kind = turn->asking->kind;
	uint64_t id = rpc_node_id(turn->node);
	char *body = kind->write(turn, id);
	if (body)
		rpc_node_call(turn->node, (struct rpc_call){body, id, kind->body_max, false},
		    on_answer, turn);
	else
		end_turn(turn, true);
}

static void on_answer(void *arg, struct rpc_node *node, const struct rpc_answer *answer)
{
	struct asking_turn *turn = arg;
	struct asking *asking = turn->asking;
	if (!asking) {
		free_turn(turn);
		return;
	}
	struct rpc_answer broken = {.outcome = RPC_BROKEN};
	if (answer->outcome != RPC_OK && !asking->kind->keeps_errors) {
		asking->behind |= answer->outcome == RPC_BEHIND;
		explain(answer, &asking->why);
		end_turn(turn, false);
	} else if (asking->kind->read(turn, answer, &broken.err) < 0) {
		metric_add(node->outcomes[RPC_BROKEN], 1);
		explain(&broken, &asking->why);
		end_turn(turn, false);
	} else {
		turn->step++;
		next_step(turn);
	}
}

static void add_turn(struct asking *asking, struct rpc_node *node)
{
	struct asking_turn *turn = malloc(sizeof(*turn));
	bug_if(!turn);
	asking->turn[asking->len++] = turn;
	*turn = (struct asking_turn){.asking = asking,
	    .node = node,
	    .req = asking->req,
	    .rsp = calloc(1, asking->kind->rsp_size),
	    .min_slot = asking->min_slot,
	    .of = rpc_nodes_len(*asking->askings->nodes)};
	bug_if(!turn->rsp);
}

static bool is_wanted(struct rpc_nodes *nodes, const struct asking *asking, struct rpc_node *node)
{
	if (asking->tried & 1U << node->index)
		return false;
	return asking->kind->whom == ASKING_ALL ? !node->view.other_chain
						: rpc_nodes_is_healthy(nodes, node);
}

static bool has_room(const struct asking *asking, const struct rpc_node *node)
{
	size_t spared = asking->kind->is_kept_for ? 0 : ASKINGS_SPARE;
	return node->in_flight + spared < RPC_NODE_IN_FLIGHT_MAX;
}

static void choose(struct asking *asking, struct rpc_nodes *nodes)
{
	bool one = asking->kind->whom == ASKING_ONE;
	asking->wanted = rpc_nodes_healthy(nodes);
	for (size_t i = 0; i < rpc_nodes_len(nodes) && !(one && asking->len == 1); i++) {
		struct rpc_node *node = rpc_nodes_at(nodes, i);
		if (is_wanted(nodes, asking, node) && has_room(asking, node))
			add_turn(asking, node);
	}
}

/* Is the word of one wanted that has no room just now? */
static bool lacks_room(struct asking *asking, struct rpc_nodes *nodes)
{
	if (asking->kind->whom != ASKING_HEALTHY || clock_unix_ms() >= asking->room_until)
		return false;
	for (size_t i = 0; i < rpc_nodes_len(nodes); i++) {
		struct rpc_node *node = rpc_nodes_at(nodes, i);
		if (is_wanted(nodes, asking, node) && !has_room(asking, node))
			return true;
	}
	return false;
}

/* ---- asking ---- */

/* For those that have not answered; whoever of them is the first to, if nobody has yet. */
static void stop_waiting(struct asking *asking)
{
	asking->late = true;
	for (size_t i = 0; i < asking->len; i++)
		if (asking->turn[i]->ok) {
			merge(asking);
			return;
		}
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	struct asking *asking = arg;
	(void)fd;
	(void)what;
	if (asking->running > 0) {
		stop_waiting(asking);
		return;
	}
	asking->tried = 0;
	asking->behind = false;
	ask(asking);
}

static void ask_soon(struct asking *asking)
{
	const struct timeval soon = {.tv_usec = WAIT_MS * 1000};
	event_add(asking->timer, &soon);
}

/* Nobody is left: a node that lags, or gets well, is worth waiting for; one that failed is not. */
static void wait(struct asking *asking)
{
	bool worth = asking->behind || asking->tried == 0;
	if (worth && clock_unix_ms() + WAIT_MS < asking->give_up_at)
		ask_soon(asking);
	else if (asking->why.code != ERR_NONE)
		fail(asking, &asking->why);
	else
		fail_for(asking, "chain_unavailable", "no node answers");
}

static void wait_for_all(struct asking *asking)
{
	uint64_t now = clock_unix_ms(),
		 ms = asking->give_up_at > now ? asking->give_up_at - now : 0;
	const struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000};
	event_add(asking->timer, &tv);
}

static void ask(struct asking *asking)
{
	struct rpc_nodes *nodes = *asking->askings->nodes;
	if (!nodes || rpc_nodes_are_stopping(nodes)) {
		fail_for(asking, "service_unavailable", "stopping");
		return;
	}
	if (rpc_nodes_are_foreign(nodes)) {
		fail_for(
		    asking, "chain_unavailable", "the state in Redis belongs to another chain");
		return;
	}
	if (lacks_room(asking, nodes)) {
		ask_soon(asking);
		return;
	}
	choose(asking, nodes);
	asking->running = asking->len;
	if (asking->len == 0) {
		wait(asking);
		return;
	}
	if (asking->len > 1)
		wait_for_all(asking);
	/* no turn ends before its first answer, which never comes from inside */
	for (size_t i = 0; i < asking->len; i++)
		next_step(asking->turn[i]);
}

void asking_begin(struct askings *askings, const struct asking_kind *kind, const void *req,
    uint64_t min_slot, struct bus_request *request)
{
	const struct ledger_chain *chain = follower_chain(askings->process->follower);
	const size_t max = kind->is_kept_for ? ASKINGS_MAX : ASKINGS_MAX - ASKINGS_KEPT;
	if (askings->len >= max) {
		struct error busy;
		error_set(&busy, ERR_BUSY, "%zu requests are under way", askings->len);
		busy.retry_after_s = 1;
		bus_fail(request, &busy);
		return;
	}
	struct asking *asking = calloc(1, sizeof(*asking));
	bug_if(!asking);
	asking->askings = askings;
	asking->kind = kind;
	asking->req = req;
	asking->request = request;
	asking->min_slot = chain->known && chain->slot > min_slot ? chain->slot : min_slot;
	asking->give_up_at = oracle_give_up_at(request, PATIENCE_MS);
	asking->room_until = oracle_give_up_at(request, ROOM_MS);
	asking->timer = event_new(askings->process->base, -1, 0, on_time, asking);
	bug_if(!asking->timer);
	askings->len++;
	TAILQ_INSERT_TAIL(&askings->list, asking, link);
	ask(asking);
}

int asking_slot(const struct asking_turn *turn, const struct rpc_answer *answer, uint64_t *slot_r,
    struct error *err)
{
	if (rpc_answer_slot(answer, slot_r, err) < 0)
		return -1;
	if (*slot_r < turn->min_slot)
		return error_set(err, ERR_INVALID, "a slot below the one asked for");
	if (!rpc_nodes_accept(*turn->asking->askings->nodes, turn->node, *slot_r))
		return error_set(err, ERR_INVALID, "the node is not plausible");
	return 0;
}

void askings_open(struct askings *askings, struct process *process, struct rpc_nodes **nodes)
{
	*askings = (struct askings){.process = process, .nodes = nodes};
	TAILQ_INIT(&askings->list);
}

void askings_stop(struct askings *askings)
{
	struct asking *asking, *next;
	for (asking = TAILQ_FIRST(&askings->list); asking; asking = next) {
		next = TAILQ_NEXT(asking, link);
		if (asking->running == 0)
			fail_for(asking, "service_unavailable", "stopping");
	}
}
