/* What locks, what destroys, what does neither: judged by the ledger's record, and by a reading at finalized. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "services/secret-vault/evidence.h"
#include "services/secret-vault/look.h"

#define US "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
#define THEM "Stake11111111111111111111111111111111111111"

static void a_reading_at_finalized_is_evidence_only_if_it_is_whole_and_late_enough(void **state)
{
	static const struct {
		const char *verdict, *owner;
		uint64_t slot, nodes;
		enum evidence evidence;
	} cases[] = {
	    {"owned", THEM, 100, 2, EVIDENCE_OTHER},
	    {"owned", THEM, 100, 1, EVIDENCE_OTHER},
	    {"off_curve", THEM, 100, 2, EVIDENCE_OTHER},
	    {"owned", US, 100, 2, EVIDENCE_SAME},
	    {"off_curve", US, 100, 2, EVIDENCE_SAME},
	    {"burned", "", 100, 2, EVIDENCE_OTHER},
	    /* a burn leaves one byte: no account at all is a node that has lost something */
	    {"missing", "", 100, 2, EVIDENCE_FOREIGN},
	    {"wrong_program", "", 100, 2, EVIDENCE_FOREIGN},
	    {"hashed", "", 100, 2, EVIDENCE_FOREIGN},
	    {"malformed", "", 100, 2, EVIDENCE_FOREIGN},
	    {"no_collection", "", 100, 2, EVIDENCE_FOREIGN},
	    {"wrong_collection", "", 101, 2, EVIDENCE_FOREIGN},
	    {"owned", THEM, 99, 2, EVIDENCE_NONE},
	    {"burned", "", 99, 2, EVIDENCE_NONE},
	    {"owned", THEM, 100, 0, EVIDENCE_NONE},
	    {"owned", "", 100, 2, EVIDENCE_NONE},
	    {"owned", "not base58", 100, 2, EVIDENCE_NONE},
	    {"burned", THEM, 100, 2, EVIDENCE_NONE},
	    {"sold", THEM, 100, 2, EVIDENCE_NONE},
	    {"", "", 100, 2, EVIDENCE_NONE},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct oracle_finalized_rsp rsp = {.slot = cases[i].slot, .nodes = cases[i].nodes};
		snprintf(rsp.verdict, sizeof(rsp.verdict), "%s", cases[i].verdict);
		snprintf(rsp.owner, sizeof(rsp.owner), "%s", cases[i].owner);
		if (evidence_judge(&rsp, US, 100) != cases[i].evidence)
			fail_msg("case %zu: %s %s", i, cases[i].verdict, cases[i].owner);
	}
}

static void a_record_vouches_for_the_same_owner_ever_since_and_for_nothing_else(void **state)
{
	static const struct {
		const char *owner;
		uint64_t seen_slot, other_slot, since, min_slot;
		enum look_verdict verdict;
	} cases[] = {
	    {US, 50, 9, 10, 50, LOOK_VOUCHED},
	    {US, 5, 9, 10, 50, LOOK_VOUCHED},
	    {US, 50, 10, 10, 11, LOOK_OVER}, /* sold and bought back, or contradicted */
	    {US, 50, 30, 10, 30, LOOK_OVER},
	    {THEM, 50, 9, 10, 50, LOOK_OVER},
	    {THEM, 50, 60, 10, 60, LOOK_OVER},
	    {THEM, 5, 4, 10, 11,
		LOOK_OVER}, /* what was before the period began proves nothing of it */
	    {"nobody", 50, 9, 10, 50, LOOK_OVER},
	    {"", 0, 0, 10, 0, LOOK_UNKNOWN},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ledger_owner record = {
		    .seen_slot = cases[i].seen_slot, .other_slot = cases[i].other_slot};
		struct store_period row = {.since = cases[i].since};
		snprintf(record.owner, sizeof(record.owner), "%s", cases[i].owner);
		snprintf(row.period.wallet, sizeof(row.period.wallet), "%s", US);
		if (look_judge(&record, &row) != cases[i].verdict)
			fail_msg("case %zu", i);
		if (cases[i].verdict == LOOK_OVER)
			assert_int_equal(look_min_slot(&record, &row), cases[i].min_slot);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		a_reading_at_finalized_is_evidence_only_if_it_is_whole_and_late_enough),
	    cmocka_unit_test(a_record_vouches_for_the_same_owner_ever_since_and_for_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
