#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <inttypes.h>
#include <sodium.h>

#include "common/ledger.h"
#include "common/ledger_parse.h"
#include "common/log.h"
#include "tests/unit/common/redis_fixture.h"

#define ASSET "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi"
#define ALICE "8qbHbw2BbbTHBW1sbeqakYXVKRQM8Ne7pLK7m6CVfeR"
#define BOB "CktRuQ2mttgRGkXJtyksdKHjUdc2C4TgDzyB98oEzy8"
#define JTI "0123456789abcdef0123456789abcdef"
#define WEEK_MS 604800000u

/* ---- a private Redis, and the answers kept */

struct bench {
	struct redis_fixture fixture;
	struct event_base *base;
	struct redis *redis;
};

struct got {
	bool done;
	struct error err;
	struct ledger_follow follow;
	struct ledger_event events[4];
	struct ledger_look look;
	struct ledger_record record;
	struct ledger_owner owner;
	struct ledger_ended ended;
	struct ledger_session session;
	size_t nsessions;
	struct ledger_wait wait;
	char stored_history[HISTORY_MAX + 1], value[32], word[65], history[HISTORY_MAX + 1];
	size_t len;
};

static void note(struct got *got, const void *out, const struct error *err)
{
	assert_false(got->done);
	assert_true((out != NULL) != (err != NULL));
	got->done = true;
	got->err = err ? *err : (struct error){.code = ERR_NONE};
}

static void on_follow(void *arg, const struct ledger_follow *out, const struct error *err)
{
	struct got *got = arg;

	note(got, out, err);
	if (!out)
		return;
	got->follow = *out;
	for (size_t i = 0; i < out->nevents && i < ARRAY_LEN(got->events); i++)
		got->events[i] = out->events[i];
}

#define KEEPS(shape) \
	static void on_##shape( \
	    void *arg, const struct ledger_##shape *out, const struct error *err) \
	{ \
		struct got *got = arg; \
		note(got, out, err); \
		if (out) \
			got->shape = *out; \
	}
KEEPS(look)
KEEPS(record)
KEEPS(owner)
KEEPS(ended)
KEEPS(wait)

static void on_list(void *arg, const struct ledger_list *out, const struct error *err)
{
	struct got *got = arg;

	note(got, out, err);
	if (!out)
		return;
	got->nsessions = out->len;
	if (out->len > 0)
		got->session = out->session[0];
}

static void on_taken(void *arg, const struct ledger_taken *out, const struct error *err)
{
	struct got *got = arg;

	note(got, out, err);
	if (!out)
		return;
	memcpy(got->history, out->history, sizeof(got->history));
	memcpy(got->stored_history, out->stored_history, sizeof(got->stored_history));
	assert_true(out->len < sizeof(got->value));
	memcpy(got->value, out->value, out->len);
	got->len = out->len;
}

static void on_word(void *arg, const char *word, const struct error *err)
{
	struct got *got = arg;

	note(got, word, err);
	if (word)
		snprintf(got->word, sizeof(got->word), "%s", word);
}

/* Calls, runs the loop until the answer is there, and is the answer. */
#define ASK(b, call, ...) \
	({ \
		struct got got_ = {.done = false}; \
		call((b)->redis, ##__VA_ARGS__, &got_); \
		assert_false(got_.done); \
		assert_true(loop_until((b)->base, &got_.done, 5000)); \
		got_; \
	})

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	uint64_t until = fixture_now_ms() + 5000;

	fixture_start(&b->fixture);
	b->base = event_base_new();
	b->redis = redis_new(b->base, b->fixture.address, NULL, NULL, 2000, NULL);
	while (!redis_is_ready(b->redis) && fixture_now_ms() < until)
		loop_for(b->base, 5);
	assert_true(redis_is_ready(b->redis));
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	redis_destroy(&b->redis);
	event_base_free(b->base);
	fixture_stop(&b->fixture);
	free(b);
	return 0;
}

/* As if the history's first 2 s were over. */
static void settle(struct bench *b)
{
	fixture_say(&b->fixture, "HSET mc:history began 0");
}

static struct got follow(struct bench *b, const char *history, const struct event_id *cursor)
{
	return ASK(b, ledger_follow, "router-1", "router", history, cursor, NULL, 0,
	    &(struct ledger_progress){0}, on_follow);
}

static struct ledger_mint mint_of(const char *history, const char *wallet, uint64_t slot)
{
	uint64_t now = (uint64_t)time(NULL) * 1000;

	return (struct ledger_mint){
	    .asset = ASSET,
	    .wallet = wallet,
	    .history = history,
	    .jti = JTI,
	    .aud = "console",
	    .name = "Number 1",
	    .ip = "192.0.2.1",
	    .agent = "curl",
	    .kid = "k1",
	    .previous = "",
	    .slot = slot,
	    .iat_ms = now,
	    .exp_ms = now + WEEK_MS,
	};
}

static void a_sign_in_and_its_end_go_through_the_ledger(void **state)
{
	struct bench *b = *state;
	struct got first = follow(b, "", NULL);
	const char *history = first.follow.history;
	struct ledger_mint mint = mint_of(history, ALICE, 10);

	assert_true(
	    first.follow.restart && first.follow.settling_ms > 0 && !first.follow.chain.known);
	assert_string_equal(first.follow.head_history, "");
	assert_string_equal(ASK(b, ledger_chain, 9, 1000, ASSET, on_word).word, "counted");
	struct got record = ASK(b, ledger_observe, ASSET, ALICE, 10, true, on_record);
	assert_string_equal(record.record.owner, ALICE);
	assert_int_equal(record.record.seen_slot, 10);
	assert_false(record.record.changed);

	assert_int_equal(ASK(b, ledger_mint, &mint, on_ended).ended.verdict, LEDGER_SETTLING);
	settle(b);
	struct got minted = ASK(b, ledger_mint, &mint, on_ended);
	assert_int_equal(minted.ended.verdict, LEDGER_GOOD);
	assert_true(minted.ended.changed);

	struct got look = ASK(b, ledger_look, JTI, on_look);
	assert_int_equal(look.look.verdict, LEDGER_GOOD);
	assert_string_equal(look.look.history, history);
	assert_string_equal(look.look.asset, ASSET);
	assert_string_equal(look.look.wallet, ALICE);
	assert_string_equal(look.look.aud, "console");
	assert_string_equal(look.look.name, "Number 1");
	assert_int_equal(look.look.slot, 10);
	assert_int_equal(look.look.exp_ms, mint.exp_ms);
	assert_int_equal(event_id_compare(look.look.position, minted.ended.event), 0);

	struct got list = ASK(b, ledger_list, ASSET, on_list);
	assert_int_equal(list.nsessions, 1);
	assert_string_equal(list.session.jti, JTI);
	assert_string_equal(list.session.agent, "curl");

	struct got sold = ASK(b, ledger_observe, ASSET, BOB, UINT64_MAX, false, on_record);
	assert_true(sold.record.changed);
	assert_true(sold.record.seen_slot == UINT64_MAX);
	assert_int_equal(sold.record.other_slot, 10);
	assert_int_equal(ASK(b, ledger_look, JTI, on_look).look.verdict, LEDGER_ENDED);

	struct got read = follow(b, history, &first.follow.head);
	assert_false(read.follow.restart);
	assert_int_equal(read.follow.nevents, 2);
	assert_string_equal(read.events[0].kind, "session");
	assert_string_equal(read.events[1].kind, "transfer");
	assert_string_equal(read.events[1].asset, ASSET);
	assert_int_equal(event_id_compare(read.events[1].id, sold.record.event), 0);
	assert_int_equal(event_id_compare(read.follow.head, sold.record.event), 0);
	assert_string_equal(read.follow.head_history, history);
	assert_true(read.follow.chain.known);
	assert_int_equal(read.follow.chain.slot, 9);
	assert_string_equal(read.follow.chain.genesis, ASSET);
	assert_true(read.follow.now_ms - read.follow.chain.at_ms >= 1000);
}

static void kinds_that_nobody_knows_end_what_is_under_way(void **state)
{
	static const struct {
		const char *kind;
		bool ends;
	} rows[] = {{"session", false}, {"agent", false}, {"snapshot", false}, {"secret", false},
	    {"transfer", true}, {"logout", true}, {"lost", true}, {"secrets", true}, {"", true}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ledger_event event = {0};

		snprintf(event.kind, sizeof(event.kind), "%s", rows[i].kind);
		assert_int_equal(ledger_event_ends(&event), rows[i].ends);
	}
}

/* What every reader of events takes for an address, and no asset has. */
static void the_operators_keys_have_an_address(void **state)
{
	static const uint8_t system_program[PUBKEY_LEN];
	uint8_t key[PUBKEY_LEN];

	(void)state;
	assert_int_equal(pubkey_parse(LEDGER_OPERATORS, key), 0);
	assert_memory_equal(key, system_program, PUBKEY_LEN);
}

static void each_way_to_end_sessions_says_so(void **state)
{
	struct bench *b = *state;

	assert_false(ASK(b, ledger_end, ASSET, JTI, "logout", on_ended).ended.changed);
	assert_true(ASK(b, ledger_end_all, ASSET, "revoked", on_ended).ended.changed);
	assert_true(ASK(b, ledger_end_everything, on_ended).ended.changed);
	assert_true(ASK(b, ledger_ban, ALICE, true, on_ended).ended.changed);
	assert_true(ASK(b, ledger_announce, "key", on_ended).ended.changed);
	assert_true(ASK(b, ledger_announce_asset, ASSET, "agent", on_ended).ended.changed);
	struct got reset = ASK(b, ledger_reset, ASSET, on_ended);
	assert_true(reset.ended.changed);
	assert_int_equal(event_id_compare(follow(b, "", NULL).follow.head, reset.ended.event), 0);
	settle(b);
	ASK(b, ledger_chain, 9, 0, "genesis", on_word);
	ASK(b, ledger_observe, ASSET, ALICE, 10, true, on_record);
	struct ledger_mint mint = mint_of(reset.ended.history, ALICE, 10);
	assert_int_equal(ASK(b, ledger_mint, &mint, on_ended).ended.verdict, LEDGER_BANNED);
	ASK(b, ledger_ban, ALICE, false, on_ended);
	assert_int_equal(ASK(b, ledger_mint, &mint, on_ended).ended.verdict, LEDGER_GOOD);
	ASK(b, ledger_ban, ALICE, true, on_ended);
	struct got look = ASK(b, ledger_look, JTI, on_look);
	assert_int_equal(look.look.verdict, LEDGER_BANNED);
	assert_string_equal(look.look.wallet, ALICE);
}

static void a_nonces_value_may_be_any_bytes_and_is_taken_once(void **state)
{
	struct bench *b = *state;
	static const char value[] = "\x93\0\n\xff\r\n";
	struct ledger_limit limit = {
	    .kind = "challenge", .key = "192.0.2.1", .per_minute = 60, .burst = 1};

	assert_int_equal(
	    ASK(b, ledger_issue, "nonce", value, sizeof(value), &limit, 1, on_wait).wait.wait_ms,
	    0);
	assert_in_range(
	    ASK(b, ledger_issue, "other", value, sizeof(value), &limit, 1, on_wait).wait.wait_ms,
	    500, 1000);
	struct got taken = ASK(b, ledger_take, "nonce", on_taken);
	assert_string_equal(taken.stored_history, taken.history);
	assert_int_equal(taken.len, sizeof(value));
	assert_memory_equal(taken.value, value, sizeof(value));
	assert_string_equal(ASK(b, ledger_take, "nonce", on_taken).stored_history, "");
	assert_string_equal(ASK(b, ledger_take, "other", on_taken).stored_history, "");
}

static void a_ticket_is_redeemed_once_and_opens_a_child_of_the_session(void **state)
{
	struct bench *b = *state;
	const char *child_jti = "fedcba9876543210fedcba9876543210";
	struct got first = follow(b, "", NULL);

	settle(b);
	ASK(b, ledger_chain, 9, 0, "genesis", on_word);
	ASK(b, ledger_observe, ASSET, ALICE, 10, true, on_record);
	struct ledger_mint mint = mint_of(first.follow.history, ALICE, 10);
	ASK(b, ledger_mint, &mint, on_ended);

	struct ledger_limit limit = {.kind = "opening", .key = ASSET, .per_minute = 60, .burst = 1};
	assert_int_equal(
	    ASK(b, ledger_ticket, "hash", "a\0b", 3, &limit, 1, on_wait).wait.wait_ms, 0);
	assert_true(ASK(b, ledger_ticket, "hash2", "a\0b", 3, &limit, 1, on_wait).wait.wait_ms > 0);
	assert_string_equal(ASK(b, ledger_take, "hash", on_taken).stored_history, "");
	struct got taken = ASK(b, ledger_redeem, "hash", on_taken);
	assert_string_equal(taken.stored_history, first.follow.history);
	assert_memory_equal(taken.value, "a\0b", 3);
	assert_string_equal(ASK(b, ledger_redeem, "hash", on_taken).stored_history, "");

	struct ledger_child child = {.parent = JTI,
	    .history = "another",
	    .jti = child_jti,
	    .aud = "agent:0123456789abcdef0123456789abcdef",
	    .ip = "192.0.2.2",
	    .agent = "browser",
	    .kid = "k1",
	    .iat_ms = mint.iat_ms};
	assert_int_equal(ASK(b, ledger_mint_child, &child, on_ended).ended.verdict, LEDGER_HISTORY);
	child.history = taken.stored_history;
	assert_int_equal(ASK(b, ledger_mint_child, &child, on_ended).ended.verdict, LEDGER_GOOD);
	struct got look = ASK(b, ledger_look, child_jti, on_look);
	assert_int_equal(look.look.verdict, LEDGER_GOOD);
	assert_string_equal(look.look.aud, child.aud);
	assert_string_equal(look.look.wallet, ALICE);
	assert_int_equal(look.look.exp_ms, mint.exp_ms);
	ASK(b, ledger_end, ASSET, JTI, "logout", on_ended);
	assert_int_equal(ASK(b, ledger_look, child_jti, on_look).look.verdict, LEDGER_ENDED);
}

static void an_agent_has_one_place(void **state)
{
	struct bench *b = *state;
	const char *host = "sandbox-1.example_one";

	assert_string_equal(ASK(b, ledger_place, ASSET, host, false, on_word).word, "");
	assert_string_equal(ASK(b, ledger_place, ASSET, host, true, on_word).word, host);
	assert_string_equal(ASK(b, ledger_place, ASSET, "other", true, on_word).word, host);
	assert_string_equal(ASK(b, ledger_unplace, ASSET, "other", on_word).word, "0");
	assert_string_equal(ASK(b, ledger_unplace, ASSET, host, on_word).word, "1");
	assert_string_equal(ASK(b, ledger_place, ASSET, "other", true, on_word).word, "other");
	assert_false(ASK(b, ledger_move, ASSET, host, "third", on_ended).ended.changed);
	assert_true(ASK(b, ledger_move, ASSET, "other", "third", on_ended).ended.changed);
	assert_string_equal(
	    ASK(b, ledger_hold, ASSET, "sandbox:other", on_owner).owner.place, "third");
	assert_string_equal(ASK(b, ledger_hold, ASSET, "vault", on_owner).owner.place, "third");
}

static void limits_of_all_kinds_count(void **state)
{
	struct bench *b = *state;
	struct ledger_limit limits[8];

	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		limits[i] = (struct ledger_limit){.kind = "k",
		    .key = &"abcdefgh"[i],
		    .per_minute = UINT64_MAX,
		    .burst = UINT64_MAX};
	assert_int_equal(ASK(b, ledger_limit, limits, 8, on_wait).wait.wait_ms, 0);
	limits[7].burst = limits[7].per_minute = 1;
	assert_int_equal(ASK(b, ledger_limit, limits, 8, on_wait).wait.wait_ms, 0);
	assert_in_range(ASK(b, ledger_limit, limits, 8, on_wait).wait.wait_ms, 59000, 60000);
	assert_int_equal(ASK(b, ledger_limit, limits, 7, on_wait).wait.wait_ms, 0);
}

static void what_is_not_needed_is_forgotten(void **state)
{
	struct bench *b = *state;

	ASK(b, ledger_observe, ASSET, LEDGER_NOBODY, 10, true, on_record);
	assert_string_equal(ASK(b, ledger_forget, ASSET, on_word).word, "0");
	ASK(b, ledger_chain, 10, 0, "genesis", on_word);
	assert_string_equal(ASK(b, ledger_forget, ASSET, on_word).word, "1");
	assert_string_equal(
	    ASK(b, ledger_observe, ASSET, ALICE, 11, false, on_record).record.owner, "");
	assert_string_equal(ASK(b, ledger_chain, 10, 0, "genesis", on_word).word, "behind");
	assert_string_equal(ASK(b, ledger_chain, 11, 0, "other", on_word).word, "other_chain");
}

static void what_is_held_stays_watched_until_it_is_released(void **state)
{
	struct bench *b = *state;

	struct got unknown = ASK(b, ledger_hold, ASSET, "vault", on_owner);
	assert_string_equal(unknown.owner.owner, "");
	assert_false(ledger_owner_vouches(&unknown.owner, "", 1));
	assert_string_equal(ASK(b, ledger_release, ASSET, "sandbox:one", on_word).word, "0");

	ASK(b, ledger_chain, 12, 0, "genesis", on_word);
	ASK(b, ledger_observe, ASSET, ALICE, 10, true, on_record);
	struct got sold = ASK(b, ledger_observe, ASSET, BOB, 12, false, on_record);
	assert_string_equal(ASK(b, ledger_forget, ASSET, on_word).word, "0");
	struct got held = ASK(b, ledger_owner, ASSET, on_owner);
	assert_string_equal(held.owner.history, sold.record.history);
	assert_int_equal(event_id_compare(held.owner.position, sold.record.event), 0);
	assert_string_equal(held.owner.owner, BOB);
	assert_int_equal(held.owner.seen_slot, 12);
	assert_int_equal(held.owner.other_slot, 10);
	assert_true(ledger_owner_vouches(&held.owner, BOB, 11));
	assert_false(ledger_owner_vouches(&held.owner, BOB, 10));
	assert_false(ledger_owner_vouches(&held.owner, ALICE, UINT64_MAX));

	assert_string_equal(ASK(b, ledger_release, ASSET, "vault", on_word).word, "1");
	assert_string_equal(ASK(b, ledger_release, ASSET, "vault", on_word).word, "0");
	assert_string_equal(ASK(b, ledger_forget, ASSET, on_word).word, "1");
	assert_string_equal(ASK(b, ledger_owner, ASSET, on_owner).owner.owner, "");
}

static void epoch_of(struct bench *b, char epoch[LEDGER_EPOCH_MAX + 1])
{
	struct got got = ASK(b, ledger_owner, ASSET, on_owner);
	memcpy(epoch, got.owner.epoch, LEDGER_EPOCH_MAX + 1);
}

static void what_runs_without_a_session_sees_that_all_were_ended(void **state)
{
	struct bench *b = *state;
	char first[LEDGER_EPOCH_MAX + 1], other[LEDGER_EPOCH_MAX + 1];

	ASK(b, ledger_chain, 10, 0, "genesis", on_word);
	ASK(b, ledger_observe, ASSET, ALICE, 10, true, on_record);
	epoch_of(b, first);
	assert_int_equal(strlen(first), LEDGER_EPOCH_MAX);
	ASK(b, ledger_end, ASSET, JTI, "logout", on_ended);
	ASK(b, ledger_ban, BOB, true, on_ended);
	epoch_of(b, other);
	assert_string_equal(other, first);
	ASK(b, ledger_ban, ALICE, true, on_ended);
	epoch_of(b, other);
	assert_string_equal(other, "");
	ASK(b, ledger_ban, ALICE, false, on_ended);
	ASK(b, ledger_end_all, ASSET, "revoked", on_ended);
	epoch_of(b, other);
	assert_string_not_equal(other, first);
	memcpy(first, other, sizeof(first));
	ASK(b, ledger_end_everything, on_ended);
	epoch_of(b, other);
	assert_string_not_equal(other, first);
}

static void a_new_redis_is_taught_the_script(void **state)
{
	struct bench *b = *state;
	struct got before = follow(b, "", NULL);

	fixture_kill(&b->fixture);
	struct got dead = follow(b, "", NULL);
	assert_int_equal(dead.err.code, ERR_UNAVAILABLE);
	fixture_up(&b->fixture);
	uint64_t until = fixture_now_ms() + 5000;
	while (!redis_is_ready(b->redis) && fixture_now_ms() < until)
		loop_for(b->base, 5);
	struct got after = follow(b, before.follow.history, &before.follow.head);
	assert_true(after.follow.restart);
	assert_string_not_equal(after.follow.history, before.follow.history);
}

static void a_script_error_is_an_error(void **state)
{
	struct bench *b = *state;

	fixture_say(&b->fixture, "SET mc:events nonsense");
	struct got got = ASK(b, ledger_look, JTI, on_look);
	assert_int_equal(got.err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(got.err.text, "WRONGTYPE"));
}

/* ---- ids */

static void ids_are_parsed_strictly(void **state)
{
	static const char *const bad[] = {"", "-", "1", "1-", "-1", "1-2-3", "01-0", "1-00", "+1-1",
	    " 1-1", "1-1 ", "1.0-1", "a-b", "18446744073709551616-0", "0-18446744073709551616",
	    "99999999999999999999999999-1", "1--1", "0x1-1"};
	struct event_id id = {7, 7};
	char text[EVENT_ID_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (event_id_parse(bad[i], &id) == 0)
			fail_msg("'%s'", bad[i]);
		assert_true(id.ms == 7 && id.seq == 7);
	}
	static const char *const good[] = {
	    "0-0", "1-2", "1795371643723-17", "18446744073709551615-18446744073709551615"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(event_id_parse(good[i], &id), 0);
		assert_string_equal(event_id_text(id, text), good[i]);
	}
}

/* ---- a Redis that lies: each answer with each field made wrong */

static redisReply *text_reply(const char *text)
{
	redisReply *reply = calloc(1, sizeof(*reply));

	reply->type = text ? REDIS_REPLY_STRING : REDIS_REPLY_NIL;
	if (text) {
		reply->str = strdup(text);
		reply->len = strlen(text);
	}
	return reply;
}

static redisReply *array_reply(size_t n)
{
	redisReply *reply = calloc(1, sizeof(*reply));

	reply->type = REDIS_REPLY_ARRAY;
	reply->elements = n;
	reply->element = calloc(n + 1, sizeof(void *));
	return reply;
}

/* Fields divided by spaces; "_" is the empty text, "[" and "]" begin and end an array within. */
static redisReply *parse_reply(const char **spec)
{
	redisReply *reply = array_reply(2000);
	size_t n = 0;

	while (**spec && **spec != ']') {
		char word[200];
		size_t len = strcspn(*spec, " ");
		snprintf(word, sizeof(word), "%.*s", (int)len, *spec);
		*spec += len + ((*spec)[len] == ' ');
		assert_true(n < 2000);
		if (strcmp(word, "[") == 0)
			reply->element[n++] = parse_reply(spec);
		else
			reply->element[n++] = text_reply(strcmp(word, "_") == 0 ? "" : word);
	}
	if (**spec == ']')
		*spec += 1 + ((*spec)[1] == ' ');
	reply->elements = n;
	return reply;
}

static redisReply *reply_of(const char *spec)
{
	return parse_reply(&spec);
}

static int parse_follow(const redisReply *reply)
{
	struct ledger_event *events = calloc(ledger_parse_nevents(reply) + 1, sizeof(*events));
	struct ledger_follow out = {0};

	int status = ledger_parse_follow(reply, &out, events);
	free(events);
	return status;
}

static int parse_list(const redisReply *reply)
{
	struct ledger_session sessions[LEDGER_SESSIONS_MAX];
	struct ledger_list out = {0};

	return ledger_parse_list(reply, &out, sessions);
}

static int parse_word(const redisReply *reply)
{
	char word[LEDGER_WORD_MAX + 1];

	return ledger_parse_word(reply, word);
}

static int parse_host(const redisReply *reply)
{
	char host[LEDGER_HOST_MAX + 1];

	return ledger_parse_host(reply, host);
}

#define PARSES(name, shape) \
	static int parse_##name(const redisReply *reply) \
	{ \
		struct ledger_##shape out = {0}; \
		return ledger_parse_##name(reply, &out); \
	}
PARSES(look, look)
PARSES(record, record)
PARSES(owner, owner)
PARSES(minted, ended)
PARSES(ended, ended)
PARSES(wait, wait)
PARSES(taken, taken)

#define H "0123456789ab-1795371643723439"
#define SLOT "00000000000000000010"
#define EPOCH " 0123456789abcdef0123456789abcdef01234567"
#define NO_SLOT "00000000000000000000"
#define EVENT(id) "[ " id " " H " " ASSET " transfer ] "

static const struct answer_case {
	int (*parse)(const redisReply *reply);
	const char *spec;
	bool good;
} answers[] = {
    {parse_follow, H " 0 1795371643723 1 5-0 " H " _ _ _ [ ]", true},
    {parse_follow,
	H " 2000 1795371643723 0 5-0 " H " " SLOT " 1795371643700 genesis [ " EVENT("4-0")
	    EVENT("5-0") "]",
	true},
    {parse_follow, H " 0 1795371643723 0 0-0 _ _ _ _ [ ]", true},
    {parse_follow, H " 0 1 0 5-0 " H " _ _ _ [ " EVENT("5-0") EVENT("4-0") "]", false},
    {parse_follow, H " 0 1 0 5-0 " H " _ _ _ [ " EVENT("5-0") EVENT("5-0") "]", false},
    {parse_follow, H " 0 1 0 5-0 " H " _ _ _ [ " EVENT("5-1") "]", false},
    {parse_follow, H " 0 1 0 5-0 " H " _ _ _ [ " EVENT("0-0") "]", false},
    {parse_follow, H " 0 1 1 5-0 " H " _ _ _ [ " EVENT("5-0") "]", false},
    {parse_follow, H " 0 1 2 5-0 " H " _ _ _ [ ]", false},
    {parse_follow, H " 0 1 _ 5-0 " H " _ _ _ [ ]", false},
    {parse_follow, H " 0 1 10 5-0 " H " _ _ _ [ ]", false},
    {parse_follow, H " -1 1 0 5-0 " H " _ _ _ [ ]", false},
    {parse_follow, H " 0 1 0 5-0 " H " " SLOT " _ genesis [ ]", false},
    {parse_follow, H " 0 1 0 5-0 " H " _ 1 _ [ ]", false},
    {parse_follow, "_ 0 1 0 5-0 " H " _ _ _ [ ]", false},
    {parse_follow, H " 0 1 0 5-0 " H " _ _ _ [ " EVENT("4-0") EVENT("5-0") "] x", false},
    {parse_follow, H " 0 1 0 5-0 " H " _ _ _ [ " EVENT("4-0") EVENT("5-0") "] [ ]", false},
    {parse_look, H " 5-0 good " ASSET " " ALICE " " SLOT " 1 2 console name", true},
    {parse_look,
	H " 5-0 banned " ASSET " " ALICE " 18446744073709551615 1 18446744073709551615 console _",
	true},
    {parse_look, H " 0-0 ended _ _ _ _ _ _ _", true},
    {parse_look, H " 5-0 ended " ASSET " " ALICE " " SLOT " 1 2 console name", true},
    {parse_look, H " 5-0 good _ _ _ _ _ _ _", false},
    {parse_look, H " 5-0 banned _ _ _ _ _ _ _", false},
    {parse_look, H " 5-0 ended _ " ALICE " _ _ _ _ _", false},
    {parse_look, H " 5-0 GOOD " ASSET " " ALICE " " SLOT " 1 2 console name", false},
    {parse_look, H " 5-0 good * " ALICE " " SLOT " 1 2 console name", false},
    {parse_look, H " 5-0 good " ASSET " nobody " SLOT " 1 2 console name", false},
    {parse_look, H " 5-0 good " ASSET "0 " ALICE " " SLOT " 1 2 console name", false},
    {parse_look, H " 5-0 good " ASSET " " ALICE " 10 1 2 console name", false},
    {parse_look, H " 5-0 good " ASSET " " ALICE " 18446744073709551616 1 2 console name", false},
    {parse_look, H " 5-0 good " ASSET " " ALICE " " SLOT " 1e3 2 console name", false},
    {parse_look, H " 5-0 good " ASSET " " ALICE " " SLOT " 1 2 console name more", false},
    {parse_look,
	H " 5-0 good " ASSET " " ALICE " " SLOT " 1 2 "
	  "aud45678901234567890123456789012345678901234567_ name",
	false},
    {parse_look,
	H " 5-0 good " ASSET " " ALICE " " SLOT " 1 2 console "
	  "12345678901234567890123456789012345678901234567890123456789012345",
	false},
    {parse_record, H " _ " ALICE " " SLOT " " SLOT, true},
    {parse_record, H " 5-1 nobody " SLOT " " SLOT, true},
    {parse_record, H " _ _ " SLOT " " SLOT, true},
    {parse_record, H " _ * " SLOT " " SLOT, false},
    {parse_record, H " 5 " ALICE " " SLOT " " SLOT, false},
    {parse_owner, H " 5-1 " ALICE " " SLOT " " SLOT EPOCH " _", true},
    {parse_owner, H " 5-1 nobody " SLOT " " NO_SLOT EPOCH " _", true},
    {parse_owner, H " 0-0 _ " NO_SLOT " " NO_SLOT EPOCH " _", true},
    {parse_owner, H " 5-1 _ " SLOT " " NO_SLOT EPOCH " _", false},
    {parse_owner, H " 5-1 _ " NO_SLOT " " SLOT EPOCH " _", false},
    {parse_owner, H " _ " ALICE " " SLOT " " SLOT EPOCH " _", false},
    {parse_owner, "_ 5-1 " ALICE " " SLOT " " SLOT EPOCH, false},
    {parse_owner, H " 5-1 * " SLOT " " SLOT EPOCH " _", false},
    {parse_owner, H " 5-1 " ALICE " 10 " SLOT EPOCH " _", false},
    {parse_owner, H " 5-1 " ALICE " " SLOT " " SLOT EPOCH " sandbox-1.a_b", true},
    {parse_owner, H " 5-1 " ALICE " " SLOT " " SLOT EPOCH " sandbox/1", false},
    {parse_owner, H " 5-1 " ALICE " " SLOT " " SLOT EPOCH " one more", false},
    {parse_owner, H " 5-1 " ALICE " " SLOT " " SLOT " _ _", true},
    {parse_owner, H " 5-1 " ALICE " " SLOT " " SLOT " abc", false},
    {parse_owner, H " 5-1 " ALICE " " SLOT " " SLOT, false},
    {parse_minted, H " good 5-0", true},
    {parse_minted, H " not_owner _", true},
    {parse_minted, H " fine 5-0", false},
    {parse_minted, H " _ 5-0", false},
    {parse_ended, H " 5-0", true},
    {parse_ended, H " _", true},
    {parse_wait, H " 0", true},
    {parse_wait, H " 60000", true},
    {parse_wait, H " inf", false},
    {parse_wait, H " 00", false},
    {parse_taken, H " " H " value", true},
    {parse_taken, H " _ _", true},
    {parse_word, H " counted", true},
    {parse_word, H " 1", true},
    {parse_word, H " a-b", false},
    {parse_word, H " abcdefghijklmnop", false},
    {parse_host, H " _", true},
    {parse_host, H " sandbox-1.example_one", true},
    {parse_host, H " a/b", false},
    {parse_host, H " a:b", false},
    {parse_host, "_ one", false},
    {parse_list, H " [ ]", true},
    {parse_list, H " [ [ " JTI " 1 2 3 192.0.2.1 curl ] [ " JTI " 1 2 3 _ _ ] ]", true},
    {parse_list, H " [ [ " JTI "0 1 2 3 _ _ ] ]", false},
    {parse_list, H " [ [ " JTI " 1 2 3 _ ] ]", false},
    {parse_list, H " [ x ]", false},
};

static void answers_are_believed_only_in_their_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		redisReply *reply = reply_of(answers[i].spec);
		if ((answers[i].parse(reply) == 0) != answers[i].good)
			fail_msg("%s", answers[i].spec);
		freeReplyObject(reply);
	}
}

/* Puts something else in a field's place, sees the whole refused, and puts it back. */
static void spoil(const struct answer_case *c, redisReply *whole, redisReply **field)
{
	redisReply *kept = *field;
	char long_text[300];
	const char *const texts[] = {NULL, "\x01", "'", long_text};

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	for (size_t i = 0; i <= ARRAY_LEN(texts) + 1; i++) {
		*field = i < ARRAY_LEN(texts) ? text_reply(texts[i]) : array_reply(0);
		if (i == ARRAY_LEN(texts) + 1)
			(*field)->type = REDIS_REPLY_INTEGER;
		/* free text may be anything short, and a value anything at all */
		if (c->parse(whole) == 0 && (i == 0 || i >= ARRAY_LEN(texts)))
			fail_msg("%s: %zu", c->spec, i);
		if ((*field)->type == REDIS_REPLY_INTEGER)
			(*field)->type = REDIS_REPLY_ARRAY;
		freeReplyObject(*field);
	}
	*field = kept;
}

static void no_field_of_an_answer_may_be_of_another_kind(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		if (!answers[i].good)
			continue;
		redisReply *reply = reply_of(answers[i].spec);
		for (size_t f = 0; f < reply->elements; f++) {
			bool list = reply->element[f]->type == REDIS_REPLY_ARRAY;
			for (size_t e = 0; list && e < reply->element[f]->elements; e++) {
				redisReply *entry = reply->element[f]->element[e];
				for (size_t g = 0; g < entry->elements; g++)
					spoil(&answers[i], reply, &entry->element[g]);
				spoil(&answers[i], reply, &reply->element[f]->element[e]);
			}
			if (!list)
				spoil(&answers[i], reply, &reply->element[f]);
		}
		size_t n = reply->elements;
		for (reply->elements = 0; reply->elements < n; reply->elements++)
			assert_int_equal(answers[i].parse(reply), -1);
		reply->type = REDIS_REPLY_STRING;
		assert_int_equal(answers[i].parse(reply), -1);
		reply->type = REDIS_REPLY_ARRAY;
		freeReplyObject(reply);
	}
}

static void a_text_with_a_nul_within_is_refused(void **state)
{
	redisReply *reply = reply_of(H " 5-0 good " ASSET " " ALICE " " SLOT " 1 2 console name");

	(void)state;
	assert_int_equal(parse_look(reply), 0);
	reply->element[9]->str[1] = '\0';
	assert_int_equal(parse_look(reply), -1);
	freeReplyObject(reply);
}

static redisReply *many_events(size_t n)
{
	redisReply *reply = reply_of(H " 0 1 0 99999-0 " H " _ _ _ [ ]");
	char spec[200];

	freeReplyObject(reply->element[9]);
	reply->element[9] = array_reply(n);
	for (size_t i = 0; i < n; i++) {
		snprintf(spec, sizeof(spec), "%zu-0 " H " * key", i + 1);
		reply->element[9]->element[i] = reply_of(spec);
	}
	return reply;
}

static void no_more_events_or_sessions_than_there_is_room_for(void **state)
{
	(void)state;
	for (size_t n = LEDGER_EVENTS_MAX; n <= LEDGER_EVENTS_MAX + 1; n++) {
		redisReply *reply = many_events(n);
		assert_int_equal(parse_follow(reply), n == LEDGER_EVENTS_MAX ? 0 : -1);
		freeReplyObject(reply);
	}
	for (size_t n = LEDGER_SESSIONS_MAX; n <= LEDGER_SESSIONS_MAX + 1; n++) {
		redisReply *reply = reply_of(H " [ ]");
		freeReplyObject(reply->element[1]);
		reply->element[1] = array_reply(n);
		for (size_t i = 0; i < n; i++)
			reply->element[1]->element[i] = reply_of(JTI " 1 2 3 _ _");
		assert_int_equal(parse_list(reply), n == LEDGER_SESSIONS_MAX ? 0 : -1);
		freeReplyObject(reply);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		a_sign_in_and_its_end_go_through_the_ledger, setup, teardown),
	    cmocka_unit_test(kinds_that_nobody_knows_end_what_is_under_way),
	    cmocka_unit_test(the_operators_keys_have_an_address),
	    cmocka_unit_test_setup_teardown(each_way_to_end_sessions_says_so, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_nonces_value_may_be_any_bytes_and_is_taken_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_ticket_is_redeemed_once_and_opens_a_child_of_the_session, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_agent_has_one_place, setup, teardown),
	    cmocka_unit_test_setup_teardown(limits_of_all_kinds_count, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_not_needed_is_forgotten, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		what_is_held_stays_watched_until_it_is_released, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		what_runs_without_a_session_sees_that_all_were_ended, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_new_redis_is_taught_the_script, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_script_error_is_an_error, setup, teardown),
	    cmocka_unit_test(ids_are_parsed_strictly),
	    cmocka_unit_test(answers_are_believed_only_in_their_form),
	    cmocka_unit_test(no_field_of_an_answer_may_be_of_another_kind),
	    cmocka_unit_test(a_text_with_a_nul_within_is_refused),
	    cmocka_unit_test(no_more_events_or_sessions_than_there_is_room_for),
	};

	signal(SIGPIPE, SIG_IGN);
	bug_if(sodium_init() < 0);
	log_open("test", "test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
