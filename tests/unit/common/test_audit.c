/* The audit trail's entries: their hashes (computed by another language's library), their text, and every way in which a copy can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/audit.h"
#include "common/scoped.h"

#define ENTRIES 12
#define CHAINS 3

static const char *const chain_names[CHAINS] = {"A/W/7", "A/V/9", AUDIT_GLOBAL};

static struct audit_entry sample(void)
{
	struct audit_entry entry = {.chain = "A/W/7",
	    .seq = 1,
	    .at_ms = 1767323045123,
	    .act = "put",
	    .by = "owner W",
	    .kind = "llm",
	    .name = "anthropic",
	    .version = 3,
	    .detail = "näher",
	    .all_seq = 1};
	const uint8_t nothing[AUDIT_HASH_LEN] = {0};
	audit_seal(&entry);
	audit_seal_all(&entry, nothing);
	return entry;
}

/* Entries of several chains in turn, or of the first alone. */
static void make(struct audit_entry entries[ENTRIES], bool of_all)
{
	struct audit_entry last[CHAINS] = {0};
	uint8_t all[AUDIT_HASH_LEN] = {0};
	for (size_t i = 0; i < ENTRIES; i++) {
		size_t c = of_all ? i * 7 % CHAINS : 0;
		struct audit_entry *entry = &entries[i];
		*entry = (struct audit_entry){
		    .seq = last[c].seq + 1, .at_ms = 1000 + i, .act = "list", .by = "owner W"};
		snprintf(entry->chain, sizeof(entry->chain), "%s", chain_names[c]);
		memcpy(entry->prev, last[c].hash, AUDIT_HASH_LEN);
		audit_seal(entry);
		if (of_all) {
			entry->all_seq = i + 1;
			audit_seal_all(entry, all);
			memcpy(all, entry->all_hash, AUDIT_HASH_LEN);
		}
		last[c] = *entry;
	}
}

static int check(const struct audit_entry *entries, size_t len, uint64_t head_seq,
    const uint8_t *head, struct error *err)
{
	struct audit_check *all = audit_check_new();
	int rc = 0;
	for (size_t i = 0; i < len && rc == 0; i++)
		rc = audit_check_next(all, &entries[i], err);
	if (rc == 0 && head)
		rc = audit_check_head(all, head_seq, head, err);
	audit_check_destroy(&all);
	assert_null(all);
	return rc;
}

static void hashes_as_its_header_says(void **state)
{
	(void)state;
	char hex[2 * AUDIT_HASH_LEN + 1];
	struct audit_entry entry = sample();
	assert_string_equal(sodium_bin2hex(hex, sizeof(hex), entry.hash, AUDIT_HASH_LEN),
	    "4fa7fe0cd4a6afe91fe6761ced1201419a6b6f70643fb3bae6f267454ebdc320");
	assert_string_equal(sodium_bin2hex(hex, sizeof(hex), entry.all_hash, AUDIT_HASH_LEN),
	    "6785dbe15f1f31faf540ddee6f6af0cd689949d792d29a2ab813387db29dac41");
}

static void says_an_entry_as_json_and_reads_it_again(void **state)
{
	(void)state;
	struct error err;
	struct audit_entry entry = sample(), again;
	scoped_free char *text = audit_entry_text(&entry);
	assert_string_equal(text,
	    "{\"chain\":\"A/W/7\",\"seq\":1,\"at_ms\":1767323045123,\"act\":\"put\",\"by\":\"owner "
	    "W\","
	    "\"kind\":\"llm\",\"name\":\"anthropic\",\"version\":3,\"detail\":\"n\\u00E4her\","
	    "\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\","
	    "\"hash\":\"4fa7fe0cd4a6afe91fe6761ced1201419a6b6f70643fb3bae6f267454ebdc320\",\"all_"
	    "seq\":1,"
	    "\"all_hash\":\"6785dbe15f1f31faf540ddee6f6af0cd689949d792d29a2ab813387db29dac41\"}");
	assert_int_equal(audit_entry_parse(text, strlen(text), &again, &err), 0);
	assert_memory_equal(&again, &entry, sizeof(entry));
}

static void leaves_out_what_is_empty(void **state)
{
	(void)state;
	struct error err;
	struct audit_entry entries[ENTRIES], again;
	make(entries, false);
	scoped_free char *text = audit_entry_text(&entries[0]);
	assert_null(strstr(text, "kind"));
	assert_null(strstr(text, "all_"));
	assert_int_equal(audit_entry_parse(text, strlen(text), &again, &err), 0);
	assert_memory_equal(&again, &entries[0], sizeof(again));
}

static void says_nothing_that_json_cannot(void **state)
{
	(void)state;
	struct audit_entry entry = sample();
	snprintf(entry.by, sizeof(entry.by), "half \xc3");
	assert_null(audit_entry_text(&entry));
	entry = sample();
	entry.version = UINT64_MAX;
	assert_null(audit_entry_text(&entry));
}

#define H64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HEAD "\"chain\":\"c\",\"seq\":1,\"at_ms\":5,\"act\":\"a\",\"by\":\"b\""
#define TAIL ",\"prev\":\"" H64 "\",\"hash\":\"" H64 "\""

static void reads_what_is_right(void **state)
{
	static const char *const texts[] = {"{" HEAD TAIL "}", " {" HEAD TAIL "}\n",
	    "{" HEAD ",\"kind\":\"\",\"version\":0" TAIL "}",
	    "{" HEAD TAIL ",\"all_seq\":9,\"all_hash\":\"" H64 "\"}",
	    "{" HEAD ",\"version\":9223372036854775807" TAIL "}"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct audit_entry entry;
		struct error err;
		if (audit_entry_parse(texts[i], strlen(texts[i]), &entry, &err) != 0)
			fail_msg("%s: %s", texts[i], err.text);
	}
}

static void refuses_what_is_no_entry(void **state)
{
	static const char *const texts[] = {"", "x", "[]", "null", "{}", "{" HEAD TAIL "",
	    "{" HEAD TAIL "} {}", "{" HEAD "}", "{" HEAD TAIL ",\"more\":1}",
	    "{" HEAD TAIL ",\"seq\":1}",
	    "{\"chain\":\"c\",\"seq\":1,\"at_ms\":5,\"by\":\"b\"" TAIL "}",
	    "{" HEAD ",\"version\":-1" TAIL "}", "{" HEAD ",\"version\":1.0" TAIL "}",
	    "{" HEAD ",\"version\":\"1\"" TAIL "}",
	    "{" HEAD ",\"version\":9223372036854775808" TAIL "}",
	    "{" HEAD ",\"kind\":\"ninechars\"" TAIL "}", "{" HEAD ",\"kind\":null" TAIL "}",
	    "{" HEAD ",\"name\":\"a\\u0000b\"" TAIL "}", "{" HEAD ",\"name\":\"\xff\"" TAIL "}",
	    "{" HEAD TAIL ",\"all_seq\":1}", "{" HEAD TAIL ",\"all_hash\":\"" H64 "\"}",
	    "{" HEAD TAIL ",\"all_seq\":0,\"all_hash\":\"" H64 "\"}",
	    "{" HEAD ",\"prev\":\"" H64 "\",\"hash\":\"0123\"}",
	    "{" HEAD ",\"prev\":\"" H64 "\",\"hash\":\"" H64 "00\"}",
	    "{" HEAD ",\"prev\":\"" H64 "\",\"hash\":"
	    "\"0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\"}",
	    "{\"chain\":\"\",\"seq\":1,\"at_ms\":5,\"act\":\"a\",\"by\":\"b\"" TAIL "}",
	    "{\"chain\":\"c\",\"seq\":0,\"at_ms\":5,\"act\":\"a\",\"by\":\"b\"" TAIL "}"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct audit_entry entry;
		struct error err = {0};
		if (audit_entry_parse(texts[i], strlen(texts[i]), &entry, &err) == 0)
			fail_msg("accepted: %s", texts[i]);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

static void finds_a_whole_copy_right_with_any_head_of_it(void **state)
{
	(void)state;
	for (int of_all = 0; of_all <= 1; of_all++) {
		struct audit_entry entries[ENTRIES];
		struct error err;
		make(entries, of_all);
		assert_int_equal(check(entries, ENTRIES, 0, NULL, &err), 0);
		for (size_t i = 0; i < ENTRIES; i++)
			assert_int_equal(check(entries, ENTRIES, i + 1,
					     of_all ? entries[i].all_hash : entries[i].hash, &err),
			    0);
		const uint8_t nothing[AUDIT_HASH_LEN] = {0};
		assert_int_equal(check(entries, 0, 0, nothing, &err), 0);
		assert_int_equal(check(entries, ENTRIES, 0, nothing, &err), 0);
	}
}

/* Does it say something else than text, and is it still taken? */
static bool is_forged(
    struct audit_entry entries[ENTRIES], size_t i, const char *text, const char *changed)
{
	struct error err;
	if (audit_entry_parse(changed, strlen(text), &entries[i], &err) != 0)
		return false;
	scoped_free char *says = audit_entry_text(&entries[i]);
	return strcmp(says, text) != 0 && check(entries, ENTRIES, 0, NULL, &err) == 0;
}

static void finds_each_flipped_bit(void **state)
{
	(void)state;
	struct audit_entry entries[ENTRIES];
	struct error err;
	make(entries, true);
	for (size_t i = 0; i < ENTRIES; i++) {
		struct audit_entry whole = entries[i];
		scoped_free char *text = audit_entry_text(&whole), *changed = strdup(text);
		assert_non_null(changed);
		for (size_t bit = 0; bit < 8 * strlen(text); bit++) {
			changed[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
			if (is_forged(entries, i, text, changed))
				fail_msg("bit %zu of entry %zu", bit, i);
			changed[bit / 8] = text[bit / 8];
		}
		entries[i] = whole;
	}
	assert_int_equal(check(entries, ENTRIES, 0, NULL, &err), 0);
}

static void finds_a_dropped_entry(void **state)
{
	(void)state;
	for (int of_all = 0; of_all <= 1; of_all++) {
		for (size_t gone = 0; gone < ENTRIES; gone++) {
			struct audit_entry entries[ENTRIES];
			struct error err = {0};
			make(entries, of_all);
			struct audit_entry last = entries[ENTRIES - 1];
			memmove(&entries[gone], &entries[gone + 1],
			    (ENTRIES - 1 - gone) * sizeof(entries[0]));
			/* without the last it is a good copy of an earlier day: only a head that was kept tells */
			assert_int_equal(check(entries, ENTRIES - 1, 0, NULL, &err),
			    gone == ENTRIES - 1 ? 0 : -1);
			assert_int_equal(check(entries, ENTRIES - 1, ENTRIES,
					     of_all ? last.all_hash : last.hash, &err),
			    -1);
			assert_string_equal(err.reason, "audit_broken");
		}
	}
}

static void finds_entries_in_another_order(void **state)
{
	(void)state;
	for (int of_all = 0; of_all <= 1; of_all++) {
		for (size_t a = 0; a < ENTRIES; a++) {
			for (size_t b = a + 1; b < ENTRIES; b++) {
				struct audit_entry entries[ENTRIES];
				struct error err;
				make(entries, of_all);
				struct audit_entry other = entries[a];
				entries[a] = entries[b];
				entries[b] = other;
				assert_int_equal(check(entries, ENTRIES, 0, NULL, &err), -1);
			}
		}
	}
}

static void finds_a_chain_that_is_missing_altogether(void **state)
{
	(void)state;
	struct audit_entry entries[ENTRIES];
	struct error err;
	size_t len = 0;
	make(entries, true);
	for (size_t i = 0; i < ENTRIES; i++)
		if (strcmp(entries[i].chain, chain_names[1]) != 0)
			entries[len++] = entries[i];
	assert_true(len < ENTRIES);
	assert_int_equal(check(entries, len, 0, NULL, &err), -1);
	assert_non_null(strstr(err.text, "missing"));
}

/* Whoever can write can make a chain that is good in itself: what he cannot make is one that has the head. */
static void finds_a_history_that_was_written_anew(void **state)
{
	(void)state;
	struct audit_entry entries[ENTRIES], forged[ENTRIES];
	struct error err;
	make(entries, false);
	make(forged, false);
	snprintf(forged[4].detail, sizeof(forged[4].detail), "nothing happened");
	for (size_t i = 4; i < ENTRIES; i++) {
		memcpy(forged[i].prev, forged[i - 1].hash, AUDIT_HASH_LEN);
		audit_seal(&forged[i]);
	}
	assert_int_equal(check(forged, ENTRIES, 0, NULL, &err), 0);
	assert_int_equal(check(forged, ENTRIES, 4, entries[3].hash, &err), 0);
	for (size_t i = 4; i < ENTRIES; i++)
		assert_int_equal(check(forged, ENTRIES, i + 1, entries[i].hash, &err), -1);
}

static void does_not_mix_chains_or_kinds_of_copies(void **state)
{
	(void)state;
	struct audit_entry entries[ENTRIES], other[ENTRIES];
	struct error err;
	make(entries, false);
	make(other, true);
	entries[1] = other[0];
	entries[1].all_seq = 0;
	snprintf(entries[1].chain, sizeof(entries[1].chain), "another");
	audit_seal(&entries[1]);
	assert_int_equal(check(entries, 2, 0, NULL, &err), -1);
	assert_non_null(strstr(err.text, "another chain"));
	make(entries, false);
	entries[1].all_seq = 2;
	assert_int_equal(check(entries, 2, 0, NULL, &err), -1);
	assert_non_null(strstr(err.text, "all_seq"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hashes_as_its_header_says),
	    cmocka_unit_test(says_an_entry_as_json_and_reads_it_again),
	    cmocka_unit_test(leaves_out_what_is_empty),
	    cmocka_unit_test(says_nothing_that_json_cannot),
	    cmocka_unit_test(reads_what_is_right),
	    cmocka_unit_test(refuses_what_is_no_entry),
	    cmocka_unit_test(finds_a_whole_copy_right_with_any_head_of_it),
	    cmocka_unit_test(finds_each_flipped_bit),
	    cmocka_unit_test(finds_a_dropped_entry),
	    cmocka_unit_test(finds_entries_in_another_order),
	    cmocka_unit_test(finds_a_chain_that_is_missing_altogether),
	    cmocka_unit_test(finds_a_history_that_was_written_anew),
	    cmocka_unit_test(does_not_mix_chains_or_kinds_of_copies),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
