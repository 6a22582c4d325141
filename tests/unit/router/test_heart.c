/* The heart, simulated: the real follow.c and decision.c in two routers and a witness, around a model of what ledger.lua's follow, look and end do.
 * Every order of things that a network, a paused process and a Redis that loses its last writes can bring, from a seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/follow.h"
#include "services/router/decision.h"

#define SEEDS 150
#define RUN_MS 25000
#define TOKENS 6
#define KEPT 12
#define STREAM_MAX 400
#define PER_READ 5
#define PAST 6
#define FLIGHTS 400
#define READERS 3 /* two routers, then the one who writes */
#define WITNESS 2

struct entry {
	struct event_id id;
	unsigned history;
	int token; /* -1: of all */
};

/* What Redis has; copied whole, to go back to. */
struct db {
	unsigned history, generation;
	bool lost;
	uint64_t began;
	struct event_id last;
	size_t n;
	struct entry stream[STREAM_MAX];
	bool exists[TOKENS];
	unsigned made_in[TOKENS];
	unsigned opened[TOKENS]; /* which session of this token */
};

enum flight_kind { FLIGHT_NONE, FLIGHT_READ, FLIGHT_LOOK, FLIGHT_END, FLIGHT_BELL };

/* A request on its way there (until exec_at) and back. */
struct flight {
	enum flight_kind kind;
	size_t reader;
	uint64_t exec_at, deliver_at;
	bool done;
	int token;
	struct follow_read read;
	struct ledger_follow answer;
	struct ledger_event events[PER_READ];
	bool good;
	struct event_id position;
	unsigned history, opened;
};

struct reader {
	struct follow follow;
	struct decision_table *table;
	uint32_t history_number;
	uint64_t nreads, waiting, sent_at, due, paused_until, last_exec, last_deliver;
	int asking[TOKENS];
};

struct world {
	uint64_t seed, random, now, clock_behind, down_until, answered_at;
	unsigned nhistories, ngenerations;
	struct db db, past[PAST];
	size_t npast;
	struct flight flight[FLIGHTS];
	struct reader reader[READERS];
	uint8_t key[TOKENS][DECISION_KEY_LEN];
	uint64_t ended_since[TOKENS]; /* 0: good */
	unsigned opened;              /* sessions so far, by number */
	unsigned
	    answered[TOKENS + 1]; /* the last whose end was answered; of all: after the tokens */
	size_t allows, losses, ends;
};

static uint64_t below(struct world *w, uint64_t n)
{
	w->random = w->random * 6364136223846793005u + 1442695040888963407u;
	return (w->random >> 33) % n;
}

static bool chance(struct world *w, unsigned per_mille)
{
	return below(w, 1000) < per_mille;
}

static void name(char *text, unsigned history)
{
	snprintf(text, HISTORY_MAX + 1, "h%u", history);
}

static void asset_of(int token, uint8_t asset[PUBKEY_LEN])
{
	memset(asset, token + 1, PUBKEY_LEN);
}

/* ---- Redis, as ledger.lua does it */

static uint64_t settling(const struct world *w)
{
	return w->db.began + 2000 > w->now ? w->db.began + 2000 - w->now : 0;
}

static bool is_good(const struct db *db, int token)
{
	return db->exists[token] && db->made_in[token] == db->generation;
}

static void remember(struct world *w)
{
	memmove(&w->past[1], &w->past[0], sizeof(w->past[0]) * (PAST - 1));
	w->past[0] = w->db;
	w->npast += w->npast < PAST;
}

static void add_event(struct world *w, int token)
{
	struct db *db = &w->db;
	uint64_t clock = 1000000 + w->now - w->clock_behind;

	if (clock > db->last.ms)
		db->last = (struct event_id){clock, 0};
	else
		db->last.seq++;
	if (db->n == STREAM_MAX || (settling(w) == 0 && db->n >= KEPT)) {
		memmove(&db->stream[0], &db->stream[1], sizeof(db->stream[0]) * (db->n - 1));
		db->n--;
	}
	db->stream[db->n++] = (struct entry){db->last, db->history, token};
}

static const struct entry *entry_of(const struct db *db, struct event_id id)
{
	for (size_t i = 0; i < db->n; i++)
		if (event_id_compare(db->stream[i].id, id) == 0)
			return &db->stream[i];
	return NULL;
}

static void note_loss(struct world *w, const struct ledger_known *newest)
{
	char text[HISTORY_MAX + 1];

	if (w->db.lost)
		return;
	const struct entry *found = entry_of(&w->db, newest->id);
	if (found) {
		name(text, found->history);
		if (strcmp(text, newest->history) == 0)
			return;
	}
	if (w->db.n > 0 && event_id_compare(newest->id, w->db.stream[0].id) < 0)
		return;
	remember(w);
	w->db.generation = ++w->ngenerations;
	w->db.lost = true;
	w->losses++;
	add_event(w, -1);
}

static bool must_restart(const struct world *w, const struct follow_read *read)
{
	const struct db *db = &w->db;
	char text[HISTORY_MAX + 1];

	name(text, db->history);
	if (strcmp(read->history, text) != 0 || !read->has_cursor)
		return true;
	struct event_id head = db->n ? db->stream[db->n - 1].id : (struct event_id){0, 0};
	if (event_id_compare(head, read->cursor) < 0)
		return true;
	if (db->n == 0 || event_id_compare(read->cursor, db->stream[0].id) >= 0)
		return false;
	return read->cursor.ms != 0 || db->n >= KEPT;
}

static void exec_read(struct world *w, struct flight *flight)
{
	struct ledger_follow *out = &flight->answer;
	const struct db *db = &w->db;

	for (size_t i = 0; i < flight->read.nknown; i++)
		note_loss(w, &flight->read.known[i]);
	*out = (struct ledger_follow){.settling_ms = settling(w), .now_ms = w->now};
	name(out->history, db->history);
	out->restart = must_restart(w, &flight->read);
	if (db->n > 0) {
		out->head = db->stream[db->n - 1].id;
		name(out->head_history, db->stream[db->n - 1].history);
	}
	for (size_t i = 0; i < db->n && !out->restart && out->nevents < PER_READ; i++) {
		if (event_id_compare(db->stream[i].id, flight->read.cursor) <= 0)
			continue;
		struct ledger_event *event = &flight->events[out->nevents++];
		event->id = db->stream[i].id;
		name(event->history, db->stream[i].history);
		snprintf(event->asset, sizeof(event->asset), "%d", db->stream[i].token);
	}
	out->events = flight->events;
}

static void exec_look(struct world *w, struct flight *flight)
{
	flight->good = is_good(&w->db, flight->token);
	flight->position = w->db.n ? w->db.stream[w->db.n - 1].id : (struct event_id){0, 0};
	flight->history = w->db.history;
}

static void exec_end(struct world *w, struct flight *flight)
{
	remember(w);
	flight->opened = flight->token < 0 ? w->opened : w->db.opened[flight->token];
	if (flight->token < 0)
		w->db.generation = ++w->ngenerations;
	else
		w->db.exists[flight->token] = false;
	add_event(w, flight->token);
	flight->position = w->db.last;
	flight->history = w->db.history;
	w->ends++;
}

static void open_session(struct world *w, int token)
{
	if (settling(w) > 0 || w->db.exists[token])
		return;
	remember(w);
	w->db.exists[token] = true;
	w->db.made_in[token] = w->db.generation;
	w->db.opened[token] = ++w->opened;
	w->ended_since[token] = 0;
	add_event(w, token);
}

static void crash(struct world *w)
{
	size_t back = below(w, 3) == 0 ? 0 : below(w, w->npast + 1);

	if (back > 0)
		w->db = w->past[back - 1];
	w->npast = 0;
	if (chance(w, 300))
		w->clock_behind += below(w, 4000);
	w->down_until = w->now + below(w, chance(w, 400) ? 4000 : 1200);
	for (size_t i = 0; i < FLIGHTS; i++) {
		struct flight *flight = &w->flight[i];
		if (flight->kind == FLIGHT_BELL || flight->kind == FLIGHT_NONE)
			continue;
		if (!flight->done || chance(w, 500)) {
			if (flight->kind == FLIGHT_LOOK)
				w->reader[flight->reader].asking[flight->token] = 0;
			if (flight->kind == FLIGHT_READ &&
			    w->reader[flight->reader].waiting == flight->read.number)
				w->reader[flight->reader].waiting = 0;
			flight->kind = FLIGHT_NONE;
		}
	}
}

static void come_up(struct world *w)
{
	w->db.history = ++w->nhistories;
	w->db.began = w->now;
	w->db.lost = false;
	for (size_t i = 0; i < READERS; i++)
		w->reader[i].due = w->now + below(w, 1200); /* to connect again */
}

/* ---- the network */

static struct flight *launch(
    struct world *w, enum flight_kind kind, size_t reader, int token, bool slow)
{
	for (size_t i = 0; i < FLIGHTS; i++) {
		struct flight *flight = &w->flight[i];
		if (flight->kind != FLIGHT_NONE)
			continue;
		*flight = (struct flight){.kind = kind, .reader = reader, .token = token};
		flight->exec_at = w->now + below(w, slow ? 700 : 4);
		flight->deliver_at = flight->exec_at + below(w, slow ? 2500 : 4);
		return flight;
	}
	return NULL;
}

/* ---- a daemon, as follower.c and gate.c do it */

static void bring_forward(struct world *w, struct reader *r)
{
	if (r->due > w->now + 10)
		r->due = w->now + 10;
}

static void send_read(struct world *w, size_t i)
{
	struct reader *r = &w->reader[i];
	struct flight *flight = launch(w, FLIGHT_READ, i, -1, chance(w, i == WITNESS ? 0 : 60));

	if (!flight)
		return;
	/* one connection: in order */
	if (flight->exec_at < r->last_exec)
		flight->exec_at = r->last_exec;
	if (flight->deliver_at < r->last_deliver)
		flight->deliver_at = r->last_deliver;
	if (flight->deliver_at < flight->exec_at)
		flight->deliver_at = flight->exec_at;
	r->last_exec = flight->exec_at;
	r->last_deliver = flight->deliver_at;
	follow_ask(&r->follow, ++r->nreads, w->now, &flight->read);
	r->waiting = r->nreads;
	r->sent_at = w->now;
	r->due = w->now + 250;
}

static void mark(struct reader *r, int token, struct event_id id)
{
	uint8_t asset[PUBKEY_LEN];

	if (!r->table)
		return;
	asset_of(token, asset);
	decision_mark(r->table, token < 0 ? NULL : asset, id);
}

static void on_read(struct world *w, struct reader *r, const struct flight *flight)
{
	const struct ledger_follow *answer = &flight->answer;
	struct follow_verdict verdict = follow_judge(&r->follow, &flight->read, answer);

	if (r->waiting == flight->read.number)
		r->waiting = 0;
	if (verdict.more)
		r->due = w->now;
	if (!follow_begin(&r->follow, &flight->read, answer, &verdict))
		return;
	if (verdict.act == FOLLOW_START_OVER) {
		r->history_number += verdict.new_history;
		if (r->table)
			decision_restart(r->table, r->history_number, answer->head);
		follow_started_over(&r->follow, &flight->read, answer, &verdict);
	}
	for (size_t i = verdict.first; verdict.act == FOLLOW_GO_ON && i < answer->nevents; i++) {
		mark(r, (int)strtol(answer->events[i].asset, NULL, 10), answer->events[i].id);
		follow_handled(&r->follow, answer->events[i].history, answer->events[i].id);
	}
	follow_lease(&r->follow, &verdict);
}

static struct decision_moment moment(const struct world *w, const struct reader *r)
{
	return (struct decision_moment){.has_lease = r->follow.lease_until_ms > w->now,
	    .history = r->history_number,
	    .unix_ms = w->now,
	    .boot_ms = w->now};
}

static void on_look(struct world *w, struct reader *r, const struct flight *flight)
{
	char text[HISTORY_MAX + 1];
	struct decision_moment now = moment(w, r);
	struct decision_answer answer = {.audience = DECISION_CONSOLE,
	    .exp_ms = UINT32_MAX,
	    .history = now.history,
	    .position = flight->position};

	r->asking[flight->token] = 0;
	asset_of(flight->token, answer.asset);
	name(text, flight->history);
	if (!flight->good)
		decision_forget(r->table, w->key[flight->token]);
	else if (now.has_lease && strcmp(text, r->follow.history) == 0)
		decision_put(r->table, w->key[flight->token], &answer, &now);
}

static void hear(struct world *w, struct reader *r, const struct flight *flight)
{
	char text[HISTORY_MAX + 1];

	name(text, flight->history);
	if (follow_heard(&r->follow, text, flight->position))
		bring_forward(w, r);
	if (strcmp(text, r->follow.history) == 0 &&
	    event_id_compare(flight->position, r->follow.cursor) > 0)
		mark(r, flight->token, flight->position);
}

/* The end was answered: the writer knows, and rings. */
static void on_end(struct world *w, const struct flight *flight)
{
	hear(w, &w->reader[WITNESS], flight);
	w->answered_at = w->now;
	unsigned *answered = &w->answered[flight->token < 0 ? TOKENS : flight->token];
	if (flight->opened > *answered)
		*answered = flight->opened;
	for (size_t i = 0; i < WITNESS; i++) {
		struct flight *bell =
		    chance(w, 600) ? NULL
				   : launch(w, FLIGHT_BELL, i, flight->token, chance(w, 200));
		if (!bell)
			continue;
		bell->done = true;
		bell->position = flight->position;
		bell->history = flight->history;
	}
}

static void deliver(struct world *w, struct flight *flight)
{
	struct flight mine = *flight;
	struct reader *r = &w->reader[mine.reader];

	flight->kind = FLIGHT_NONE;
	mine.answer.events = mine.events;
	if (mine.kind == FLIGHT_READ)
		on_read(w, r, &mine);
	else if (mine.kind == FLIGHT_LOOK)
		on_look(w, r, &mine);
	else if (mine.kind == FLIGHT_END)
		on_end(w, &mine);
	else
		hear(w, r, &mine);
}

static void execute(struct world *w, struct flight *flight)
{
	flight->done = true;
	if (flight->kind == FLIGHT_READ)
		exec_read(w, flight);
	else if (flight->kind == FLIGHT_LOOK)
		exec_look(w, flight);
	else
		exec_end(w, flight);
}

static void traffic(struct world *w)
{
	for (size_t i = 0; i < FLIGHTS; i++) {
		struct flight *flight = &w->flight[i];
		if (flight->kind != FLIGHT_NONE && !flight->done && w->now >= flight->exec_at &&
		    w->now >= w->down_until)
			execute(w, flight);
	}
	/* in the order of reads on a connection; a paused daemon hears nothing, but all of it later */
	for (;;) {
		struct flight *next = NULL;
		for (size_t i = 0; i < FLIGHTS; i++) {
			struct flight *flight = &w->flight[i];
			if (flight->kind == FLIGHT_NONE || !flight->done ||
			    w->now < flight->deliver_at ||
			    w->now < w->reader[flight->reader].paused_until)
				continue;
			if (!next || (flight->kind == FLIGHT_READ && next->kind == FLIGHT_READ &&
					 flight->reader == next->reader &&
					 flight->read.number < next->read.number))
				next = flight;
		}
		if (!next)
			return;
		deliver(w, next);
	}
}

/* ---- what must hold */

static bool was_answered(const struct world *w, int token)
{
	return w->db.opened[token] <= w->answered[token] ||
	       w->db.opened[token] <= w->answered[TOKENS];
}

static void check(struct world *w)
{
	for (int token = 0; token < TOKENS; token++) {
		bool good = is_good(&w->db, token);
		if (good && !was_answered(w, token))
			w->ended_since[token] = 0;
		else if (w->ended_since[token] == 0)
			w->ended_since[token] = w->now;
		/* I3: the witness has had all the time that a history settles */
		if (good && was_answered(w, token) && w->now >= w->down_until && settling(w) == 0)
			fail_msg(
			    "seed %lu: at %lu an end that was answered is undone", w->seed, w->now);
	}
}

static void decide(struct world *w, size_t i)
{
	struct reader *r = &w->reader[i];
	const struct decision_entry *found;

	for (int token = 0; token < TOKENS; token++) {
		struct decision_moment now = moment(w, r);
		enum decision_verdict verdict =
		    decision_lookup(r->table, w->key[token], NULL, &now, &found);
		if (verdict == DECISION_ALLOW) {
			w->allows++;
			if (w->ended_since[token] && w->now - w->ended_since[token] > 2000)
				fail_msg("seed %lu: at %lu router %zu allows what ended %lu ms ago",
				    w->now, i, w->now - w->ended_since[token]); /* I2 */
		} else if (!r->asking[token] && w->now >= r->paused_until && chance(w, 200)) {
			r->asking[token] = launch(w, FLIGHT_LOOK, i, token, chance(w, 100)) != NULL;
		}
	}
}

static void step(struct world *w)
{
	if (w->down_until == w->now)
		come_up(w);
	traffic(w);
	check(w);
	for (size_t i = 0; i < READERS; i++) {
		struct reader *r = &w->reader[i];
		/* it wakes up and decides before it reads its mail */
		if (i != WITNESS && w->now % 5 == 0 &&
		    (w->now >= r->paused_until || r->paused_until == w->now + 1))
			decide(w, i);
		if (w->now < r->paused_until)
			continue;
		if (r->waiting && w->now >= r->sent_at + 1000)
			r->waiting = 0;
		if (!r->waiting && w->now >= r->due && w->now > w->down_until)
			send_read(w, i);
		if (i != WITNESS && chance(w, 1))
			r->paused_until = w->now + below(w, 3000);
	}
	if (w->now <= w->down_until)
		return;
	int token = (int)below(w, TOKENS);
	if (chance(w, 4))
		launch(w, FLIGHT_END, WITNESS, chance(w, 50) ? -1 : token, chance(w, 100));
	if (chance(w, 8))
		open_session(w, token);
	/* best just after an end was answered, or while the last crash is not over */
	bool bad_time = w->now - w->answered_at < 10 || w->now - w->db.began < 300;
	if (chance(w, bad_time ? 5 : 1) && chance(w, 500)) {
		crash(w);
		w->down_until = w->down_until > w->now ? w->down_until : w->now + 1;
	}
}

static void run(struct world *w, uint64_t seed)
{
	*w = (struct world){.seed = seed, .random = seed, .now = 1, .down_until = 1};
	for (size_t i = 0; i < WITNESS; i++)
		w->reader[i].table = decision_table_new(64);
	for (int i = 0; i < TOKENS; i++) {
		memset(w->key[i], i + 1, DECISION_KEY_LEN);
		w->ended_since[i] = 1;
	}
	for (; w->now < RUN_MS; w->now++)
		step(w);
	for (size_t i = 0; i < WITNESS; i++)
		decision_table_destroy(&w->reader[i].table);
}

static void no_order_of_things_allows_what_has_ended(void **state)
{
	struct world *w = malloc(sizeof(*w));
	size_t allows = 0, losses = 0, ends = 0;

	(void)state;
	assert_non_null(w);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		run(w, seed);
		allows += w->allows;
		losses += w->losses;
		ends += w->ends;
	}
	printf("allowed %zu times, %zu ends, %zu losses found\n", allows, ends, losses);
	assert_true(allows > 10000 && ends > 1000 && losses > 20);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_order_of_things_allows_what_has_ended)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
