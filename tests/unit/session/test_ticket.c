/* Openings and tickets: one answer for whatever is wrong with one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/pubkey.h"
#include "services/session/ticket.h"

#define ASSET "6bHSMBYvDL1r8cNsdjmzjmAdyjbGSn8n5ydrdGRcKCVm"
#define WALLET "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu"
#define JTI "0123456789abcdef0123456789abcdef"
#define HISTORY "0123456789ab-1"

static const uint8_t state_of[2][32] = {{1, 2, 3}, {1, 2, 3, [31] = 1}};
static char agent[AGENT_ID_LEN + 1], other[AGENT_ID_LEN + 1];

static int set_up(void **state)
{
	uint8_t key[PUBKEY_LEN];
	(void)state;
	if (sodium_init() < 0 || pubkey_parse(ASSET, key) != 0)
		return -1;
	agent_id(key, agent);
	if (pubkey_parse(WALLET, key) != 0)
		return -1;
	agent_id(key, other);
	return 0;
}

static struct ticket_record record_of(const char *stage)
{
	const struct token_claims claims = {.asset = ASSET,
	    .wallet = WALLET,
	    .jti = JTI,
	    .aud = TOKEN_AUD,
	    .slot = 7,
	    .iat_s = 1,
	    .exp_s = 604801,
	    .kid = "k1"};
	struct ticket_record record;
	ticket_record_fill(&record, &claims);
	assert_string_equal(record.stage, TICKET_OPENING);
	if (strcmp(stage, TICKET_TICKET) == 0) {
		snprintf(record.stage, sizeof(record.stage), "%s", stage);
		memcpy(record.agent, agent, sizeof(agent));
		record.state.len = 32;
		memcpy(record.state.data, state_of[0], 32);
	}
	return record;
}

/* "": good. */
static const char *judged(const struct ticket_record *record, const struct ticket_shown *shown,
    const char *stored_history, size_t cut)
{
	static struct error err;
	struct ticket_record found;
	struct ledger_taken taken = {.history = HISTORY};
	msgpack_sbuffer buf;
	msgpack_sbuffer_init(&buf);
	assert_int_equal(ticket_encode(record, &buf, &err), 0);
	snprintf(taken.stored_history, sizeof(taken.stored_history), "%s", stored_history);
	taken.value = buf.data;
	taken.len = buf.size - cut;
	err = (struct error){0};
	int status = ticket_judge(&taken, shown, &found, &err);
	msgpack_sbuffer_destroy(&buf);
	if (status == 0) {
		assert_string_equal(found.asset, ASSET);
		assert_string_equal(found.parent, JTI);
		assert_string_equal(found.kid, "k1");
		assert_true(found.slot == 7 && found.exp_ms == 604801000);
		return "";
	}
	assert_int_equal(err.code, ERR_UNAUTHENTICATED);
	return err.reason;
}

static void whatever_is_wrong_the_answer_is_the_same(void **state)
{
	(void)state;
	const struct {
		const char *kept, *stage, *agent;
		const uint8_t *state;
		const char *history;
		size_t cut;
		bool good;
	} cases[] = {
	    {TICKET_OPENING, TICKET_OPENING, agent, NULL, HISTORY, 0, true},
	    {TICKET_OPENING, TICKET_OPENING, other, NULL, HISTORY, 0, false},
	    {TICKET_OPENING, TICKET_OPENING, "", NULL, HISTORY, 0, false},
	    {TICKET_OPENING, TICKET_OPENING, agent, NULL, "", 0, false},
	    {TICKET_OPENING, TICKET_OPENING, agent, NULL, "0123456789ab-2", 0, false},
	    {TICKET_OPENING, TICKET_OPENING, agent, NULL, HISTORY, 1, false},
	    {TICKET_OPENING, TICKET_TICKET, agent, state_of[0], HISTORY, 0, false},
	    {TICKET_TICKET, TICKET_TICKET, agent, state_of[0], HISTORY, 0, true},
	    {TICKET_TICKET, TICKET_TICKET, agent, state_of[1], HISTORY, 0, false},
	    {TICKET_TICKET, TICKET_TICKET, other, state_of[0], HISTORY, 0, false},
	    {TICKET_TICKET, TICKET_TICKET, agent, state_of[0], "", 0, false},
	    {TICKET_TICKET, TICKET_TICKET, agent, state_of[0], "0123456789ab-2", 0, false},
	    {TICKET_TICKET, TICKET_OPENING, agent, NULL, HISTORY, 0, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct ticket_record record = record_of(cases[i].kept);
		const struct ticket_shown shown = {
		    .stage = cases[i].stage, .agent = cases[i].agent, .state = cases[i].state};
		const char *reason = judged(&record, &shown, cases[i].history, cases[i].cut);
		if (strcmp(reason, cases[i].good ? "" : "ticket_unknown") != 0)
			fail_msg("%zu: %s", i, reason);
	}
}

/* A record that says it is bound, and to nothing. */
static void a_ticket_without_a_browser_is_none(void **state)
{
	(void)state;
	struct ticket_record record = record_of(TICKET_TICKET);
	static const uint8_t nothing[32];
	const struct ticket_shown shown = {TICKET_TICKET, agent, nothing};
	record.state.len = 0;
	memset(record.state.data, 0, sizeof(record.state.data));
	assert_string_equal(judged(&record, &shown, HISTORY, 0), "ticket_unknown");
}

/* What a Redis or a test written in another language finds it under. */
static void it_is_kept_under_its_blake2b_256(void **state)
{
	(void)state;
	static const uint8_t zeros[TICKET_LEN];
	char hash[TICKET_HASH_LEN + 1];
	ticket_hash(zeros, hash);
	assert_string_equal(
	    hash, "89eb0d6a8a691dae2cd15ed0369931ce0a949ecafa5c3f93f8121833646e15c3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whatever_is_wrong_the_answer_is_the_same),
	    cmocka_unit_test(a_ticket_without_a_browser_is_none),
	    cmocka_unit_test(it_is_kept_under_its_blake2b_256),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
