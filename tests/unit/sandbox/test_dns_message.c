/* Questions of agents, which may be anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <sodium.h>
#include <string.h>

#include "services/sandbox/dns_message.h"

#define HEAD "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
#define TAIL "\x00\x01\x00\x01"
#define GOOD \
	HEAD "\x03www\x07" \
	     "Ex_mple\x00" TAIL

static int parse(struct dns_question *question, const char *bytes, size_t len)
{
	return dns_question_parse(question, (const uint8_t *)bytes, len);
}
#define PARSE(question, text) parse(question, text, sizeof(text) - 1)

static void a_question_is_read_and_answered_in_its_own_words(void **state)
{
	struct dns_question question;
	struct in_addr addresses[64];
	uint8_t bytes[DNS_MESSAGE_MAX];
	(void)state;
	memset(addresses, 8, sizeof(addresses));
	assert_int_equal(PARSE(&question, GOOD), 0);
	assert_string_equal(question.name, "www.Ex_mple");
	assert_int_equal(question.type, DNS_TYPE_A);
	assert_int_equal(
	    dns_answer_write(&question, DNS_OK, addresses, 1, 60, bytes), sizeof(GOOD) - 1 + 16);
	assert_memory_equal(bytes, "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00", 12);
	assert_memory_equal(bytes + 12, GOOD + 12, sizeof(GOOD) - 13);
	assert_memory_equal(bytes + sizeof(GOOD) - 1,
	    "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x08\x08\x08\x08", 16);
	assert_true(dns_answer_write(&question, DNS_OK, addresses, 64, 60, bytes) <= sizeof(bytes));
	assert_int_equal(
	    dns_answer_write(&question, DNS_REFUSED, NULL, 0, 0, bytes), sizeof(GOOD) - 1);
	assert_int_equal(bytes[3], 0x85);
}

static void every_shorter_one_is_refused_and_a_longer_one_read(void **state)
{
	struct dns_question question;
	(void)state;
	for (size_t len = 0; len < sizeof(GOOD) - 1; len++)
		assert_int_equal(parse(&question, GOOD, len), -1);
	assert_int_equal(PARSE(&question, GOOD "\x00\x00\x29\x10\x00"), 0);
}

static void what_is_no_ordinary_question_is_refused(void **state)
{
	struct dns_question question;
	(void)state;
	assert_int_equal(PARSE(&question, "\x12\x34\x81\x00"
					  "\x00\x01\0\0\0\0\0\0\x01"
					  "a\0" TAIL),
	    -1);
	assert_int_equal(PARSE(&question, "\x12\x34\x29\x00"
					  "\x00\x01\0\0\0\0\0\0\x01"
					  "a\0" TAIL),
	    -1);
	assert_int_equal(PARSE(&question, "\x12\x34\x01\x00"
					  "\x00\x02\0\0\0\0\0\0\x01"
					  "a\0" TAIL),
	    -1);
	assert_int_equal(PARSE(&question, "\x12\x34\x01\x00"
					  "\x00\x00\0\0\0\0\0\0\x01"
					  "a\0" TAIL),
	    -1);
	assert_int_equal(PARSE(&question, HEAD "\x00" TAIL), -1);
	assert_int_equal(PARSE(&question, HEAD "\xc0\x0c" TAIL), -1);
	assert_int_equal(PARSE(&question, HEAD "\x03"
					       "a.b\x00" TAIL),
	    -1);
	assert_int_equal(PARSE(&question, HEAD "\x02"
					       "a\x00\x00" TAIL),
	    -1);
	assert_int_equal(PARSE(&question, HEAD "\x01"
					       "a\x00\x00\x01\x00\x03"),
	    -1);
}

static void a_name_has_an_end(void **state)
{
	struct dns_question question;
	char bytes[512] = HEAD;
	size_t at = 12;
	(void)state;
	for (int i = 0; i < 4; i++) {
		bytes[at++] = 62;
		memset(bytes + at, 'a', 62);
		at += 62;
	}
	memcpy(bytes + at, "\0" TAIL, 5);
	assert_int_equal(parse(&question, bytes, at + 5), 0);
	bytes[at++] = 1;
	bytes[at++] = 'a';
	memcpy(bytes + at, "\0" TAIL, 5);
	assert_int_equal(parse(&question, bytes, at + 5), 0);
	bytes[at++] = 2;
	bytes[at++] = 'a';
	bytes[at++] = 'a';
	memcpy(bytes + at, "\0" TAIL, 5);
	assert_int_equal(parse(&question, bytes, at + 5), -1);
}

static void random_bytes_are_read_or_refused(void **state)
{
	struct dns_question question;
	uint8_t bytes[300];
	(void)state;
	for (int i = 0; i < 100000; i++) {
		size_t len = randombytes_uniform(sizeof(bytes));
		randombytes_buf(bytes, len);
		if (len > 12)
			memcpy(bytes, HEAD, 12);
		dns_question_parse(&question, bytes, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_question_is_read_and_answered_in_its_own_words),
	    cmocka_unit_test(every_shorter_one_is_refused_and_a_longer_one_read),
	    cmocka_unit_test(what_is_no_ordinary_question_is_refused),
	    cmocka_unit_test(a_name_has_an_end),
	    cmocka_unit_test(random_bytes_are_read_or_refused),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
