/* What an operation's state becomes, from what nodes say of its signature. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "services/agent-wallet/verdict.h"

#define LAST_VALID 1000
#define PAST (LAST_VALID + VERDICT_MARGIN + 1)

static const struct {
	const char *was, *least, *most, *error;
	bool differ;
	uint64_t height;
	const char *becomes;
	bool is_sent_again;
} cases[] = {
    {"sent", "none", "none", "", false, 900, "sent", true},
    {"sent", "none", "none", "", false, LAST_VALID, "sent", true},
    {"sent", "none", "none", "", false, LAST_VALID + 1, "sent", false},
    {"sent", "none", "none", "", false, PAST - 1, "sent", false},
    {"sent", "none", "none", "", false, PAST, "expired", false},
    {"sent", "none", "none", "", false, UINT64_MAX, "expired", false},
    /* one node of several: neither landed, nor lost, nor kept from being sent */
    {"sent", "none", "finalized", "", false, 900, "sent", true},
    {"sent", "none", "finalized", "", false, PAST, "sent", false},
    {"sent", "none", "processed", "", false, PAST, "sent", false},
    {"sent", "processed", "processed", "", false, 900, "sent", false},
    {"sent", "processed", "finalized", "", false, PAST, "sent", false},
    {"sent", "confirmed", "confirmed", "", false, 900, "confirmed", false},
    {"sent", "confirmed", "finalized", "", false, PAST, "confirmed", false},
    {"sent", "finalized", "finalized", "", false, 900, "finalized", false},
    {"confirmed", "finalized", "finalized", "", false, 900, "finalized", false},
    {"confirmed", "confirmed", "finalized", "", false, 900, "confirmed", false},
    {"sent", "confirmed", "confirmed", "Custom 1", false, 900, "failed", false},
    {"sent", "finalized", "finalized", "Custom 1", false, 900, "failed", false},
    /* nodes that contradict each other decide nothing */
    {"sent", "finalized", "finalized", "Custom 1", true, 900, "sent", false},
    {"sent", "confirmed", "finalized", "", true, PAST, "sent", false},
    /* a fork took it back: sent again while it can land, lost when it cannot */
    {"confirmed", "none", "none", "", false, 900, "confirmed", true},
    {"confirmed", "none", "none", "", false, PAST, "expired", false},
    /* what has ended stays as it ended */
    {"finalized", "none", "none", "", false, PAST, "finalized", false},
    {"expired", "finalized", "finalized", "", false, PAST, "expired", false},
    {"failed", "finalized", "finalized", "", false, 900, "failed", false},
};

static void each_word_of_the_nodes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct operation op = {.last_valid = LAST_VALID};
		struct states_item status = {.slot = 7, .differ = cases[i].differ};
		const struct verdict_look look = {.nodes = 2,
		    .of = 2,
		    .height = cases[i].height,
		    .highest = cases[i].height,
		    .history = true};
		snprintf(op.state, sizeof(op.state), "%s", cases[i].was);
		snprintf(status.least, sizeof(status.least), "%s", cases[i].least);
		snprintf(status.most, sizeof(status.most), "%s", cases[i].most);
		snprintf(status.error, sizeof(status.error), "%s", cases[i].error);
		verdict_take(&op, &status, &look);
		if (strcmp(op.state, cases[i].becomes) != 0 ||
		    verdict_wants_sending(&op, &look) != cases[i].is_sent_again)
			fail_msg("case %zu: %s", i, op.state);
	}
}

static void one_that_says_that_no_block_passes_has_it_sent_for_a_while_only(void **state)
{
	(void)state;
	struct operation op = {.last_valid = LAST_VALID, .state = "sent"};
	struct states_item status = {.least = "none", .most = "none"};
	struct verdict_look look = {.nodes = 2, .of = 2, .height = 0, .highest = LAST_VALID + 150};
	verdict_take(&op, &status, &look);
	assert_true(verdict_wants_sending(&op, &look));
	look.highest++;
	assert_false(verdict_wants_sending(&op, &look));
}

static void it_is_said_where_it_landed_and_how_it_failed(void **state)
{
	(void)state;
	struct operation op = {.state = "sent", .error = "of a preflight"};
	struct states_item status = {.least = "confirmed", .most = "confirmed", .slot = 7};
	const struct verdict_look look = {.nodes = 1, .of = 1, .height = 1, .highest = 1};
	verdict_take(&op, &status, &look);
	assert_int_equal(op.landed, 7);
	assert_string_equal(op.error, "");
	snprintf(status.error, sizeof(status.error), "InstructionError 0 Custom 26");
	verdict_take(&op, &status, &look);
	assert_string_equal(op.state, "failed");
	assert_string_equal(op.error, status.error);
}

/* Heights in blocks after the last it could land at. */
static const struct {
	const char *name;
	uint64_t nodes, of, silent, past, highest;
	bool history;
	const char *word, *becomes, *least;
	bool wants_history;
} looks[] = {
    {"one of two says landed", 1, 2, 0, 0, 0, false, "finalized", "sent", "none", false},
    {"one of two, the other silent", 1, 2, 1, 0, 0, false, "finalized", "sent", "none", false},
    {"one of two says lost", 1, 2, 0, 33, 33, true, "none", "sent", "none", false},
    {"one of two, lost long ago", 1, 2, 0, 500, 500, false, "none", "sent", "none", false},
    {"two of two say lost", 2, 2, 0, 33, 33, false, "none", "expired", "none", false},
    {"two of three, the third unwell", 2, 3, 0, 33, 33, false, "none", "expired", "none", false},
    {"two of three, the third silent", 2, 3, 1, 33, 33, true, "none", "sent", "none", false},
    {"two of three say landed", 2, 3, 1, 0, 0, false, "finalized", "finalized", "finalized", false},
    {"the only one says lost", 1, 1, 0, 33, 33, false, "none", "expired", "none", false},
    {"the only one says landed", 1, 1, 0, 0, 0, false, "confirmed", "confirmed", "confirmed",
	false},
    {"the slowest is not past it", 2, 2, 0, 32, 60, false, "none", "sent", "none", false},
    {"all remember it", 2, 2, 0, 33, 86, false, "none", "expired", "none", false},
    {"the fastest may have forgotten", 2, 2, 0, 33, 87, false, "none", "sent", "none", true},
    {"all have, and searched", 2, 2, 0, 500, 500, true, "none", "expired", "none", false},
};

static void how_many_nodes_of_how_many_and_how_far_they_remember(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
		struct operation op = {.state = "sent", .last_valid = LAST_VALID};
		struct states_item status = {.slot = 7};
		const struct verdict_look look = {.nodes = looks[i].nodes,
		    .of = looks[i].of,
		    .silent = looks[i].silent,
		    .height = LAST_VALID + looks[i].past,
		    .highest = LAST_VALID + looks[i].highest,
		    .history = looks[i].history};
		snprintf(status.least, sizeof(status.least), "%s", looks[i].word);
		snprintf(status.most, sizeof(status.most), "%s", looks[i].word);
		verdict_take(&op, &status, &look);
		if (strcmp(op.state, looks[i].becomes) != 0 ||
		    strcmp(op.least, looks[i].least) != 0 ||
		    verdict_wants_history(&op, &look) != looks[i].wants_history)
			fail_msg("%s: %s, least %s", looks[i].name, op.state, op.least);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_word_of_the_nodes),
	    cmocka_unit_test(how_many_nodes_of_how_many_and_how_far_they_remember),
	    cmocka_unit_test(one_that_says_that_no_block_passes_has_it_sent_for_a_while_only),
	    cmocka_unit_test(it_is_said_where_it_landed_and_how_it_failed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
