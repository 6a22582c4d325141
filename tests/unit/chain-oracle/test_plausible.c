/* Which nodes are listened to: one table, in which each row is a situation of up to three nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/error.h"
#include "services/chain-oracle/plausible.h"

#define NOW_S 1800000000
#define NOW_MS (UINT64_C(1000) * NOW_S)
#define SINCE_SOLANA (UINT64_C(10) * (NOW_S - 1584316800) + 300)
#define LAG_S 60

#define AT(n) \
	{ \
		.known = true, .slot = (n), .clock_s = NOW_S, .at_ms = NOW_MS \
	}
#define LATE(n, s) \
	{ \
		.known = true, .slot = (n), .clock_s = NOW_S - (s), .at_ms = NOW_MS \
	}
#define STRANGER(n) \
	{ \
		.known = true, .other_chain = true, .slot = (n), .clock_s = NOW_S, .at_ms = NOW_MS \
	}
#define SILENT \
	{ \
		0 \
	}

static const struct {
	const char *situation;
	uint64_t chain_slot, chain_age_ms; /* slot 0: no sweep ever counted */
	struct plausible_view views[3];
	enum plausible_aside asides[3];
} rows[] = {
    {"all is well", 1000, 0, {AT(1000), AT(1001), AT(999)}, {0}},
    {"one node, no history", 0, 0, {AT(300000000), SILENT, SILENT}, {0}},
    {"a node of another chain", 1000, 0, {STRANGER(1000), AT(1000), AT(1000)}, {ASIDE_OTHER_CHAIN}},
    {"slot u64 max", 1000, 0, {AT(UINT64_MAX), AT(1000), AT(1000)}, {ASIDE_AHEAD}},
    {"slot u64 max from the only node, no history", 0, 0, {AT(UINT64_MAX), SILENT, SILENT},
	{ASIDE_AHEAD}},
    {"above all slots that fit into Solana's life", 0, 0, {AT(SINCE_SOLANA + 1), SILENT, SILENT},
	{ASIDE_AHEAD}},
    {"just below that", 0, 0, {AT(SINCE_SOLANA), SILENT, SILENT}, {0}},
    {"at the ceiling", 1000, 0, {AT(1300), SILENT, SILENT}, {0}},
    {"above the ceiling", 1000, 0, {AT(1301), SILENT, SILENT}, {ASIDE_AHEAD}},
    {"the ceiling rises 10 a second", 1000, 7000, {AT(1370), AT(1371), SILENT}, {0, ASIDE_AHEAD}},
    {"after an hour of silence", 1000, 3600000, {AT(1000 + 9000), SILENT, SILENT}, {0}},
    {"an age that overflows", 1000, UINT64_MAX, {AT(UINT64_MAX), SILENT, SILENT}, {ASIDE_AHEAD}},
    {"150 behind the two best", 1000, 0, {AT(1150), AT(1150), AT(1000)}, {0}},
    {"more", 1000, 0, {AT(1150), AT(1150), AT(999)}, {0, 0, ASIDE_BEHIND}},
    {"behind one, by its own clock too", 1000, 0, {AT(1200), LATE(1000, 16), SILENT},
	{0, ASIDE_BEHIND}},
    {"one that claims to be ahead is not left alone", 1000, 0, {AT(1200), AT(1000), SILENT}, {0}},
    {"nor by a chain whose clock is a little late", 1000, 0, {AT(1200), LATE(1000, 15), SILENT},
	{0}},
    {"nor of three", 1000, 0, {AT(1200), AT(1000), AT(1001)}, {0}},
    {"a liar far ahead does not set the honest aside", 1000, 0, {AT(5000), AT(1001), AT(1000)},
	{ASIDE_AHEAD}},
    {"nor does it without history", 0, 0, {AT(500000), AT(1001), AT(1000)}, {ASIDE_AHEAD}},
    {"nor when it is one of two", 0, 0, {AT(500000), AT(1001), SILENT}, {ASIDE_AHEAD}},
    {"without history a node whose clock is late does not vouch", 0, 0,
	{AT(500000), LATE(1001, 600), SILENT}, {0, ASIDE_CLOCK}},
    {"it moves, but is 10 minutes behind", 1000, 0, {LATE(1001, 600), SILENT, SILENT},
	{ASIDE_CLOCK}},
    {"the allowed lag", 1000, 0, {LATE(1001, LAG_S), LATE(1001, LAG_S + 1), SILENT},
	{0, ASIDE_CLOCK}},
    {"a chain's clock that is ahead", 1000, 0, {LATE(1001, -5), SILENT, SILENT}, {0}},
    {"a clock before all time", 1000, 0,
	{{.known = true, .slot = 1000, .clock_s = INT64_MIN, .at_ms = NOW_MS}, SILENT, SILENT},
	{ASIDE_CLOCK}},
    {"a late node is not the best", 1000, 0, {LATE(1290, 600), AT(1000), SILENT}, {ASIDE_CLOCK}},
    {"nobody has said anything", 1000, 0, {SILENT, SILENT, SILENT}, {0}},
};

static void sets_nodes_aside_by_the_table(void **arg)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct plausible_chain chain = {.known = rows[i].chain_slot > 0,
		    .slot = rows[i].chain_slot,
		    .age_ms = rows[i].chain_age_ms,
		    .clock_lag_s = LAG_S,
		    .slots_per_s = 10,
		    .now_ms = NOW_MS};
		enum plausible_aside asides[3];
		plausible_judge(rows[i].views, 3, &chain, asides);
		for (size_t k = 0; k < 3; k++)
			if (asides[k] != rows[i].asides[k])
				fail_msg("%s: node %zu: '%s'", rows[i].situation, k,
				    plausible_text(asides[k]));
	}
}

static void judges_a_view_by_the_moment_it_was_given(void **arg)
{
	(void)arg;
	struct plausible_view view = AT(1000);
	enum plausible_aside aside;
	const struct plausible_chain later = {.known = true,
	    .slot = 1000,
	    .age_ms = 0,
	    .clock_lag_s = LAG_S,
	    .slots_per_s = 10,
	    .now_ms = NOW_MS + 3600000};
	plausible_judge(&view, 1, &later, &aside);
	assert_int_equal(aside, ASIDE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sets_nodes_aside_by_the_table),
	    cmocka_unit_test(judges_a_view_by_the_moment_it_was_given),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
