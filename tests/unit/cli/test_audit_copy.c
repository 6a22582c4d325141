/* Copies of audit chains as files: read line by line, and what was done to one is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/cli/audit_copy.h"

#define ENTRIES 5
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

struct copy {
	struct audit_entry entry[ENTRIES];
	char *line[ENTRIES];
};

/* of_all: two chains, with their place among all; else one. */
static void make(struct copy *copy, bool of_all)
{
	uint8_t all[AUDIT_HASH_LEN] = {0}, last[2][AUDIT_HASH_LEN] = {{0}};
	uint64_t seq[2] = {0};

	for (size_t i = 0; i < ENTRIES; i++) {
		struct audit_entry *entry = &copy->entry[i];
		size_t chain = of_all ? i % 2 : 0;
		*entry = (struct audit_entry){
		    .seq = ++seq[chain], .at_ms = 1800000000000 + i, .version = i};
		snprintf(entry->chain, sizeof(entry->chain), "%s",
		    chain ? AUDIT_GLOBAL
			  : "EZQRW4ErQBWur7BHodvgGVGCXMibe8B6m4PechYCrf6V/"
			    "Cdd9cBNtehjAQmX815WQZtfdNTsQnYNUBiJxuHEhUXd4/7");
		snprintf(entry->act, sizeof(entry->act), "put");
		snprintf(entry->by, sizeof(entry->by), "owner");
		memcpy(entry->prev, last[chain], AUDIT_HASH_LEN);
		audit_seal(entry);
		memcpy(last[chain], entry->hash, AUDIT_HASH_LEN);
		if (of_all) {
			entry->all_seq = i + 1;
			audit_seal_all(entry, all);
			memcpy(all, entry->all_hash, AUDIT_HASH_LEN);
		}
		copy->line[i] = audit_entry_text(entry);
		assert_non_null(copy->line[i]);
	}
}

static void free_lines(struct copy *copy)
{
	for (size_t i = 0; i < ENTRIES; i++)
		free(copy->line[i]);
}

/* Reads the lines in this order; order ends with -1. */
static int read_lines(
    const struct copy *copy, const int *order, struct audit_copy *read_r, struct error *err)
{
	FILE *file = tmpfile();

	assert_non_null(file);
	for (; *order >= 0; order++)
		fprintf(file, "%s\n", copy->line[*order]);
	rewind(file);
	audit_copy_open(read_r);
	int rc = audit_copy_read(read_r, file, "copy", err);
	fclose(file);
	return rc;
}

static void a_whole_copy_is_good_and_its_head_is_told(void **state)
{
	static const int order[] = {0, 1, 2, 3, 4, -1};
	struct error err = {0};

	(void)state;
	for (int of_all = 0; of_all <= 1; of_all++) {
		struct copy copy;
		struct audit_copy read;
		make(&copy, of_all);
		if (read_lines(&copy, order, &read, &err) < 0)
			fail_msg("%s", err.text);
		const struct audit_entry *last = &copy.entry[ENTRIES - 1];
		assert_int_equal(read.len, ENTRIES);
		assert_int_equal(read.of_all, of_all);
		assert_int_equal(read.head.seq, of_all ? last->all_seq : last->seq);
		assert_memory_equal(
		    read.head.hash, of_all ? last->all_hash : last->hash, AUDIT_HASH_LEN);
		assert_int_equal(
		    audit_check_head(read.check, read.head.seq, read.head.hash, &err), 0);
		audit_copy_close(&read);
		free_lines(&copy);
	}
}

static void what_was_left_out_moved_or_repeated_is_named_by_its_line(void **state)
{
	static const struct {
		int order[ENTRIES + 2];
		const char *line;
	} cases[] = {
	    {{1, 2, 3, 4, -1}, "copy, line 1:"},
	    {{0, 1, 3, 4, -1}, "copy, line 3:"},
	    {{0, 2, 1, 3, 4, -1}, "copy, line 2:"},
	    {{0, 1, 2, 3, 3, 4, -1}, "copy, line 5:"},
	};
	struct error err = {0};

	(void)state;
	for (int of_all = 0; of_all <= 1; of_all++) {
		struct copy copy;
		make(&copy, of_all);
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			struct audit_copy read;
			assert_int_equal(read_lines(&copy, cases[i].order, &read, &err), -1);
			assert_int_equal(err.code, ERR_INVALID);
			if (!strstr(err.text, cases[i].line))
				fail_msg("case %zu: %s", i, err.text);
			audit_copy_close(&read);
		}
		free_lines(&copy);
	}
}

static void a_tail_that_was_cut_off_is_found_by_the_head(void **state)
{
	static const int order[] = {0, 1, 2, -1};
	struct copy copy;
	struct audit_copy read;
	struct error err = {0};

	(void)state;
	make(&copy, false);
	assert_int_equal(read_lines(&copy, order, &read, &err), 0);
	assert_int_equal(
	    audit_check_head(read.check, copy.entry[4].seq, copy.entry[4].hash, &err), -1);
	/* an older head is in it */
	assert_int_equal(
	    audit_check_head(read.check, copy.entry[1].seq, copy.entry[1].hash, &err), 0);
	assert_int_equal(
	    audit_check_head(read.check, copy.entry[1].seq, copy.entry[2].hash, &err), -1);
	audit_copy_close(&read);
	free_lines(&copy);
}

static void what_is_no_entry_is_refused_with_its_line(void **state)
{
	static const char *const texts[] = {"\n", "{}\n", "[]\n", "no\n", "{\"chain\":1}\n"};
	struct error err = {0};
	struct audit_copy read;
	char *long_line = calloc(1, AUDIT_LINE_MAX + 100);

	(void)state;
	assert_non_null(long_line);
	memset(long_line, 'x', AUDIT_LINE_MAX + 50);
	for (size_t i = 0; i <= ARRAY_LEN(texts); i++) {
		FILE *file = tmpfile();
		assert_non_null(file);
		fputs(i < ARRAY_LEN(texts) ? texts[i] : long_line, file);
		rewind(file);
		audit_copy_open(&read);
		assert_int_equal(audit_copy_read(&read, file, "copy", &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.text, "copy, line 1:"));
		audit_copy_close(&read);
		fclose(file);
	}
	free(long_line);
}

static void a_head_is_read_and_written(void **state)
{
	static const char *const bad[] = {"", ":", "1", "1:", "x:00", ":00", "1:zz",
	    "1:00000000000000000000000000000000000000000000000000000000000000",
	    "1:000000000000000000000000000000000000000000000000000000000000000g",
	    "1:00000000000000000000000000000000000000000000000000000000000000000", "-1:" ZEROS,
	    " 1:" ZEROS, "99999999999999999999:" ZEROS};
	static const char good[] =
	    "18446744073709551615:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	struct audit_head head;
	struct error err = {0};
	char text[AUDIT_HEAD_TEXT_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (audit_head_parse(bad[i], &head, &err) != -1)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(audit_head_parse(good, &head, &err), 0);
	assert_true(head.seq == UINT64_MAX);
	assert_string_equal(audit_head_text(&head, text), good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_whole_copy_is_good_and_its_head_is_told),
	    cmocka_unit_test(what_was_left_out_moved_or_repeated_is_named_by_its_line),
	    cmocka_unit_test(a_tail_that_was_cut_off_is_found_by_the_head),
	    cmocka_unit_test(what_is_no_entry_is_refused_with_its_line),
	    cmocka_unit_test(a_head_is_read_and_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
