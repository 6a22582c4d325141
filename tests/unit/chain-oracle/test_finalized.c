/* oracle.finalized over nodes that are made up: who is asked, in which order, and what is concluded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/log.h"
#include "services/chain-oracle/oracle.h"
#include "tests/unit/chain-oracle/fixtures.h"

#define NODES_MAX 3
#define READS_MAX 16
#define NOW_MS 1900000000000u

/* ---- nodes: what each finalized, and whose the asset was there */

enum state {
	WELL,
	ABSENT, /* set aside, or unwell */
	FULL,   /* well, but without room */
	BROKEN,
};
struct made_node {
	enum state state;
	uint64_t slot;       /* finalized */
	uint64_t step;       /* that it goes on with each reading */
	const char *owner;   /* NULL: the asset is missing */
	uint64_t sold_at;    /* 0: never */
	const char *buyer;   /* from that slot on */
	unsigned room_after; /* FULL: so many looks later there is room */
};

struct pending {
	struct rpc_node *node;
	uint64_t min_slot;
	reading_taken taken;
	void *arg;
};

struct rpc_nodes {
	size_t len;
	bool stopping, foreign;
	struct rpc_node node[NODES_MAX];
	struct made_node made[NODES_MAX];
	size_t npending, nreads;
	struct pending pending[READS_MAX];
	uint64_t asked[64]; /* the min_slot of each reading */
};

struct bus_request {
	bool answered;
	struct oracle_finalized_rsp rsp;
	struct error err;
};

struct bench {
	struct event_base *base;
	struct process process;
	struct ledger_chain chain;
	struct oracle oracle;
	struct rpc_nodes nodes;
	struct bus_request request;
};

/* stands for the one bench of a test: the functions below know no other way to it */
static struct bench *the_bench;

void bus_reply(struct bus_request *request, const void *rsp)
{
	assert_false(request->answered);
	request->answered = true;
	request->rsp = *(const struct oracle_finalized_rsp *)rsp;
}

void bus_fail(struct bus_request *request, const struct error *err)
{
	assert_false(request->answered);
	request->answered = true;
	request->err = *err;
}

uint64_t bus_request_deadline(const struct bus_request *request)
{
	(void)request;
	return NOW_MS + 60000;
}

const struct ledger_chain *follower_chain(const struct follower *follower)
{
	(void)follower;
	return &the_bench->chain;
}

bool rpc_nodes_are_stopping(const struct rpc_nodes *nodes)
{
	return nodes->stopping;
}

bool rpc_nodes_are_foreign(const struct rpc_nodes *nodes)
{
	return nodes->foreign;
}

size_t rpc_nodes_len(const struct rpc_nodes *nodes)
{
	return nodes->len;
}

struct rpc_node *rpc_nodes_first(struct rpc_nodes *nodes, unsigned except)
{
	for (size_t i = 0; i < nodes->len; i++) {
		struct made_node *made = &nodes->made[i];
		if (except & 1U << i || made->state == ABSENT)
			continue;
		if (made->state == FULL && made->room_after > 0)
			made->room_after--;
		else
			return &nodes->node[i];
	}
	return NULL;
}

bool rpc_nodes_any_healthy(const struct rpc_nodes *nodes, unsigned except)
{
	for (size_t i = 0; i < nodes->len; i++)
		if (!(except & 1U << i) && nodes->made[i].state != ABSENT)
			return true;
	return false;
}

void rpc_nodes_read_finalized(struct rpc_nodes *nodes, struct rpc_node *node, const char *key,
    uint64_t min_slot, reading_taken taken, void *arg)
{
	assert_string_equal(key, ASSET);
	assert_true(nodes->npending < READS_MAX && nodes->nreads < ARRAY_LEN(nodes->asked));
	nodes->asked[nodes->nreads++] = min_slot;
	nodes->pending[nodes->npending++] = (struct pending){node, min_slot, taken, arg};
}

/* An asset of that owner in the collection, as an account. */
static void make_account(const char *owner, struct rpc_account *account_r)
{
	*account_r = (struct rpc_account){0};
	if (!owner)
		return;
	uint8_t *at = account_r->bytes;
	at[0] = 1;
	assert_int_equal(pubkey_parse(owner, at + 1), 0);
	at[33] = 2;
	assert_int_equal(pubkey_parse(COLLECTION, at + 34), 0);
	account_r->core = (struct core_account){
	    .exists = true, .lamports = 1, .data = at, .len = CORE_SLICE, .space = CORE_SLICE};
	assert_int_equal(pubkey_parse(CORE_PROGRAM, account_r->core.program), 0);
}

static void answer(struct rpc_nodes *nodes, const struct pending *pending)
{
	struct made_node *made = &nodes->made[pending->node->index];
	struct rpc_account account;
	bool sold = made->sold_at > 0 && made->slot >= made->sold_at;
	make_account(sold ? made->buyer : made->owner, &account);
	const struct reading reading = {.slot = made->slot, .len = 1, .account = &account};
	enum rpc_outcome outcome = RPC_OK;
	if (made->state == BROKEN)
		outcome = RPC_BROKEN;
	else if (made->slot < pending->min_slot)
		outcome = RPC_BEHIND;
	made->slot += made->step;
	pending->taken(pending->arg, pending->node, outcome, outcome == RPC_OK ? &reading : NULL);
}

/* ---- the bench */

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	bug_if(!b);
	the_bench = b;
	b->base = event_base_new();
	b->process.base = b->base;
	b->process.metrics = metrics_new();
	b->oracle.process = &b->process;
	b->oracle.nodes = &b->nodes;
	assert_int_equal(pubkey_parse(COLLECTION, b->oracle.collection), 0);
	b->chain = (struct ledger_chain){.known = true, .slot = 100};
	for (size_t i = 0; i < NODES_MAX; i++)
		b->nodes.node[i].index = i;
	oracle_finalized_start(&b->oracle);
	clock_fake(NOW_MS, NOW_MS);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;
	assert_true(TAILQ_EMPTY(&b->oracle.finalized.reads));
	assert_int_equal(b->oracle.finalized.len, 0);
	metrics_destroy(&b->process.metrics);
	event_base_free(b->base);
	free(b);
	the_bench = NULL;
	clock_fake(0, 0);
	return 0;
}

static int take_timer(const struct event_base *base, const struct event *event, void *timer_r)
{
	(void)base;
	*(const struct event **)timer_r = event;
	return 0;
}

/* The timer that is set goes off, without the waiting. */
static void pass_time(struct bench *b)
{
	const struct event *timer = NULL;
	event_base_foreach_event(b->base, take_timer, &timer);
	assert_non_null(timer);
	event_callback_fn callback = event_get_callback(timer);
	void *arg = event_get_callback_arg(timer);
	callback(-1, EV_TIMEOUT, arg);
}

/* Until there is an answer; each time that the oracle waits, half a second has gone by. */
static void run(struct bench *b)
{
	uint64_t now_ms = NOW_MS;
	while (!b->request.answered) {
		if (b->nodes.npending > 0) {
			const struct pending next = b->nodes.pending[--b->nodes.npending];
			answer(&b->nodes, &next);
			continue;
		}
		now_ms += 500;
		clock_fake(now_ms, now_ms);
		pass_time(b);
	}
	assert_int_equal(b->nodes.npending, 0);
}

static const struct row {
	const char *name;
	size_t configured;
	struct made_node made[NODES_MAX];
	uint64_t min_slot;
	const char *reason, *verdict, *owner;
	enum error_code code; /* ERR_NONE: answered */
	uint64_t slot, nodes;
	size_t nreads;
} rows[] = {
    {"two agree: the lower slot", 2, {{.slot = 90, .owner = BOB}, {.slot = 88, .owner = BOB}}, 80,
	"", "owned", BOB, ERR_NONE, 88, 2, 2},
    {"two say that it is gone", 2, {{.slot = 90}, {.slot = 90}}, 80, "", "missing", "", ERR_NONE,
	90, 2, 2},
    {"the only one there is", 1, {{.slot = 90, .owner = BOB}}, 80, "", "owned", BOB, ERR_NONE, 90,
	1, 1},
    {"a third stands in for one that is absent", 3,
	{{.slot = 90, .owner = BOB}, {.state = ABSENT}, {.slot = 91, .owner = BOB}}, 80, "",
	"owned", BOB, ERR_NONE, 90, 2, 2},
    {"a third stands in for one that is broken", 3,
	{{.state = BROKEN}, {.slot = 90, .owner = BOB}, {.slot = 91, .owner = BOB}}, 80, "",
	"owned", BOB, ERR_NONE, 90, 2, 4},
    {"a third stands in for one that is behind", 3,
	{{.slot = 79, .owner = OWNER}, {.slot = 90, .owner = BOB}, {.slot = 91, .owner = BOB}}, 80,
	"", "owned", BOB, ERR_NONE, 90, 2, 4},
    {"two name different owners of one slot", 2,
	{{.slot = 90, .owner = BOB}, {.slot = 90, .owner = OWNER}}, 80, "chain_disagrees", "", "",
	ERR_CONFLICT, 0, 0, 2},
    {"one says that it is gone", 2, {{.slot = 90, .owner = BOB}, {.slot = 90}}, 80,
	"chain_disagrees", "", "", ERR_CONFLICT, 0, 0, 2},
    {"a lie goes on in later slots", 2,
	{{.slot = 90, .step = 3, .owner = BOB}, {.slot = 88, .step = 5, .owner = OWNER}}, 80,
	"chain_disagrees", "", "", ERR_CONFLICT, 0, 0, 4},
    {"a lie in an earlier slot is no agreement", 2,
	{{.slot = 90, .owner = BOB}, {.slot = 88, .owner = OWNER}}, 80, "not_finalized", "", "",
	ERR_UNAVAILABLE, 0, 0, 6},
    {"sold between their two slots", 2,
	{{.slot = 90, .owner = OWNER, .sold_at = 89, .buyer = BOB},
	    {.slot = 88, .step = 2, .owner = OWNER, .sold_at = 89, .buyer = BOB}},
	80, "", "owned", BOB, ERR_NONE, 90, 2, 3},
    {"sold between their two slots, the first is late", 2,
	{{.slot = 88, .step = 2, .owner = OWNER, .sold_at = 89, .buyer = BOB},
	    {.slot = 90, .owner = OWNER, .sold_at = 89, .buyer = BOB}},
	80, "", "owned", BOB, ERR_NONE, 90, 2, 3},
    {"the second comes after", 2,
	{{.slot = 90, .owner = BOB}, {.slot = 78, .step = 1, .owner = BOB}}, 80, "", "owned", BOB,
	ERR_NONE, 80, 2, 4},
    {"the second stays behind", 2, {{.slot = 90, .owner = BOB}, {.slot = 79, .owner = BOB}}, 80,
	"not_finalized", "", "", ERR_UNAVAILABLE, 0, 0, 5},
    {"neither is there", 2, {{.slot = 79, .owner = BOB}, {.slot = 79, .owner = BOB}}, 80,
	"not_finalized", "", "", ERR_UNAVAILABLE, 0, 0, 2},
    {"a slot that never comes", 2, {{.slot = 90, .owner = BOB}, {.slot = 90, .owner = BOB}},
	UINT64_MAX, "not_finalized", "", "", ERR_UNAVAILABLE, 0, 0, 2},
    {"the second is absent", 2, {{.slot = 90, .owner = BOB}, {.state = ABSENT}}, 80,
	"chain_unavailable", "", "", ERR_UNAVAILABLE, 0, 0, 1},
    {"the first is absent", 2, {{.state = ABSENT}, {.slot = 90, .owner = BOB}}, 80,
	"chain_unavailable", "", "", ERR_UNAVAILABLE, 0, 0, 1},
    {"the second is broken", 2, {{.slot = 90, .owner = BOB}, {.state = BROKEN}}, 80,
	"chain_unavailable", "", "", ERR_UNAVAILABLE, 0, 0, 2},
    {"the only one is broken", 1, {{.state = BROKEN}}, 80, "chain_unavailable", "", "",
	ERR_UNAVAILABLE, 0, 0, 1},
    {"nobody is there", 2, {{.state = ABSENT}, {.state = ABSENT}}, 80, "chain_unavailable", "", "",
	ERR_UNAVAILABLE, 0, 0, 0},
    {"the second is busy for a while", 2,
	{{.slot = 90, .owner = BOB}, {.state = FULL, .slot = 91, .owner = BOB, .room_after = 2}},
	80, "", "owned", BOB, ERR_NONE, 90, 2, 2},
    {"the second stays busy", 2,
	{{.slot = 90, .owner = BOB}, {.state = FULL, .slot = 91, .owner = BOB, .room_after = 1000}},
	80, "chain_unavailable", "", "", ERR_UNAVAILABLE, 0, 0, 1},
};

static void says_what_two_say(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct bench *b = *state;
		const struct oracle_finalized_req req = {.asset = ASSET, .min_slot = row->min_slot};
		b->nodes.len = row->configured;
		memcpy(b->nodes.made, row->made, sizeof(row->made));
		oracle_finalized(&b->oracle, &req, &b->request);
		run(b);
		const struct bus_request *got = &b->request;
		if (got->err.code != row->code || strcmp(got->err.reason, row->reason) != 0 ||
		    strcmp(got->rsp.verdict, row->verdict) != 0 ||
		    strcmp(got->rsp.owner, row->owner) != 0 || got->rsp.slot != row->slot ||
		    got->rsp.nodes != row->nodes || b->nodes.nreads != row->nreads)
			fail_msg("%s: %s '%s' %s, slot %llu of %llu nodes, %zu readings", row->name,
			    got->err.reason, got->err.text, got->rsp.verdict,
			    (unsigned long long)got->rsp.slot, (unsigned long long)got->rsp.nodes,
			    b->nodes.nreads);
		for (size_t j = 0; j < b->nodes.nreads; j++)
			assert_true(b->nodes.asked[j] >= row->min_slot);
		teardown(state);
		setup(state);
	}
}

static void tells_the_caller_when_to_ask_again(void **state)
{
	struct bench *b = *state;
	const struct oracle_finalized_req req = {.asset = ASSET, .min_slot = 91};
	b->nodes.len = 1;
	b->nodes.made[0] = (struct made_node){.slot = 90, .owner = BOB};
	oracle_finalized(&b->oracle, &req, &b->request);
	run(b);
	assert_string_equal(b->request.err.reason, "not_finalized");
	assert_int_equal(b->request.err.retry_after_s, 5);
}

static void a_node_that_finalizes_no_more_is_no_evidence(void **state)
{
	struct bench *b = *state;
	const struct oracle_finalized_req req = {.asset = ASSET};
	b->chain.slot = 1000;
	b->nodes.len = 1;
	b->nodes.made[0] = (struct made_node){.slot = 849, .owner = BOB};
	oracle_finalized(&b->oracle, &req, &b->request);
	run(b);
	assert_string_equal(b->request.err.reason, "not_finalized");
	b->request = (struct bus_request){0};
	b->nodes.made[0].slot = 850;
	oracle_finalized(&b->oracle, &req, &b->request);
	run(b);
	assert_int_equal(b->request.rsp.slot, 850);
}

static void asks_nobody_for_what_it_cannot_judge(void **state)
{
	struct bench *b = *state;
	struct oracle_finalized_req req = {.asset = "not an address"};
	b->nodes.len = 1;
	b->nodes.made[0] = (struct made_node){.slot = 90, .owner = BOB};
	oracle_finalized(&b->oracle, &req, &b->request);
	assert_string_equal(b->request.err.reason, "asset_invalid");

	b->request = (struct bus_request){0};
	req = (struct oracle_finalized_req){.asset = ASSET};
	b->chain.known = false;
	oracle_finalized(&b->oracle, &req, &b->request);
	assert_string_equal(b->request.err.reason, "chain_unavailable");

	b->request = (struct bus_request){0};
	b->chain.known = true;
	b->nodes.foreign = true;
	oracle_finalized(&b->oracle, &req, &b->request);
	assert_string_equal(b->request.err.reason, "chain_unavailable");
	assert_int_equal(b->nodes.nreads, 0);
}

static void no_more_than_16_are_under_way(void **state)
{
	struct bench *b = *state;
	const struct oracle_finalized_req req = {.asset = ASSET};
	struct bus_request requests[READS_MAX + 1] = {0};
	b->nodes.len = 1;
	b->nodes.made[0] = (struct made_node){.slot = 90, .owner = BOB};
	for (size_t i = 0; i < READS_MAX; i++) {
		oracle_finalized(&b->oracle, &req, &requests[i]);
		assert_false(requests[i].answered);
	}
	oracle_finalized(&b->oracle, &req, &requests[READS_MAX]);
	assert_int_equal(requests[READS_MAX].err.code, ERR_BUSY);
	while (b->nodes.npending > 0) {
		const struct pending next = b->nodes.pending[--b->nodes.npending];
		answer(&b->nodes, &next);
	}
	for (size_t i = 0; i < READS_MAX; i++)
		assert_true(requests[i].answered && requests[i].err.code == ERR_NONE);
	oracle_finalized(&b->oracle, &req, &b->request);
	run(b);
	assert_int_equal(b->request.err.code, ERR_NONE);
}

static void what_waits_at_the_stop_is_answered(void **state)
{
	struct bench *b = *state;
	const struct oracle_finalized_req req = {.asset = ASSET};
	b->nodes.len = 1;
	b->nodes.made[0] =
	    (struct made_node){.state = FULL, .slot = 90, .owner = BOB, .room_after = 1000};
	oracle_finalized(&b->oracle, &req, &b->request);
	assert_false(b->request.answered);
	oracle_finalized_stop(&b->oracle);
	assert_string_equal(b->request.err.reason, "service_unavailable");
}

static void what_comes_back_while_stopping_asks_nobody_again(void **state)
{
	struct bench *b = *state;
	const struct oracle_finalized_req req = {.asset = ASSET};
	b->nodes.len = 2;
	b->nodes.made[0] = (struct made_node){.slot = 90, .owner = BOB};
	oracle_finalized(&b->oracle, &req, &b->request);
	b->nodes.stopping = true;
	const struct pending last = b->nodes.pending[--b->nodes.npending];
	last.taken(last.arg, last.node, RPC_UNREACHABLE, NULL);
	assert_string_equal(b->request.err.reason, "service_unavailable");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(says_what_two_say, setup, teardown),
	    cmocka_unit_test_setup_teardown(tells_the_caller_when_to_ask_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_node_that_finalizes_no_more_is_no_evidence, setup, teardown),
	    cmocka_unit_test_setup_teardown(asks_nobody_for_what_it_cannot_judge, setup, teardown),
	    cmocka_unit_test_setup_teardown(no_more_than_16_are_under_way, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_waits_at_the_stop_is_answered, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		what_comes_back_while_stopping_asks_nobody_again, setup, teardown),
	};

	bug_if(sodium_init() < 0);
	log_open("test", "test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
