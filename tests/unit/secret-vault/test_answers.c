/* answers - memory that comes back wiped, whatever was in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "proto/vault.h"
#include "services/secret-vault/answers.h"

static const struct proto_message *const page = &vault_materialise_rsp_message;

static int set_up(void **state)
{
	if (sodium_init() < 0)
		return -1;
	*state = answers_new();
	return 0;
}

static int tear_down(void **state)
{
	answers_destroy((struct answers **)state);
	assert_null(*state);
	return 0;
}

static void fill_page(struct vault_materialise_rsp *rsp)
{
	memset(rsp->asset, 'a', sizeof(rsp->asset));
	memset(rsp->wallet, 'w', sizeof(rsp->wallet));
	rsp->slot = rsp->next = 7;
	rsp->files.len = 3;
	memset(rsp->files.item, 'f', 3 * sizeof(rsp->files.item[0]));
	rsp->providers.len = 128;
	memset(rsp->providers.item, 'p', sizeof(rsp->providers.item));
	rsp->bytes.len = 1000;
	memset(rsp->bytes.data, 'b', 1000);
}

static void what_comes_back_is_all_zeros(void **state)
{
	struct vault_materialise_rsp *rsp = answers_take(*state, page);
	assert_non_null(rsp);
	assert_true(sodium_is_zero((uint8_t *)rsp, sizeof(*rsp)));
	fill_page(rsp);
	answers_give(*state, page, rsp, false);
	struct vault_materialise_rsp *again = answers_take(*state, page);
	assert_ptr_equal(again, rsp);
	assert_true(sodium_is_zero((uint8_t *)again, sizeof(*again)));
	answers_give(*state, page, again, false);
}

static void the_whole_is_wiped_where_nobody_knows_what_was_used(void **state)
{
	struct vault_materialise_rsp *rsp = answers_take(*state, page);
	memset(rsp, 0xee, sizeof(*rsp));
	answers_give(*state, page, rsp, true);
	struct vault_materialise_rsp *again = answers_take(*state, page);
	assert_ptr_equal(again, rsp);
	assert_true(sodium_is_zero((uint8_t *)again, sizeof(*again)));
	answers_give(*state, page, again, true);
}

/* Whatever calls are declared: every field full is wiped by its counts. */
static void every_answer_is_wiped_by_its_counts(void **state)
{
#define MESSAGE(svc, name, callers, kind, doc) &svc##_##name##_rsp_message,
	static const struct proto_message *const messages[] = {VAULT_CALLS(MESSAGE)};
	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		const struct proto_message *message = messages[i];
		uint8_t *bytes = answers_take(*state, message);
		assert_non_null(bytes);
		memset(bytes, 0xee, message->size);
		for (size_t j = 0; j < message->nfields; j++) {
			const struct proto_field *field = &message->fields[j];
			const size_t len = field->max;
			if (field->type == PROTO_BIN || field->type == PROTO_LIST)
				memcpy(bytes + field->offset, &len, sizeof(len));
		}
		answers_give(*state, message, bytes, false);
		uint8_t *again = answers_take(*state, message);
		assert_ptr_equal(again, bytes);
		if (!sodium_is_zero(again, message->size))
			fail_msg("%s is not wiped", message->name);
		answers_give(*state, message, again, false);
	}
}

static void no_more_is_kept_than_has_room(void **state)
{
	void *taken[200];
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		assert_non_null(taken[i] = answers_take(*state, page));
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		answers_give(*state, page, taken[i], false);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		assert_non_null(taken[i] = answers_take(*state, &vault_put_rsp_message));
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		answers_give(*state, &vault_put_rsp_message, taken[i], false);
}

static void works_when_there_is_nothing_to_keep_them_in(void **state)
{
	(void)state;
	struct answers *none = NULL;
	struct vault_materialise_rsp *rsp = answers_take(none, page);
	assert_non_null(rsp);
	assert_true(sodium_is_zero((uint8_t *)rsp, sizeof(*rsp)));
	fill_page(rsp);
	answers_give(none, page, rsp, false);
}

#define ANSWERS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ANSWERS_TEST(what_comes_back_is_all_zeros),
	    ANSWERS_TEST(the_whole_is_wiped_where_nobody_knows_what_was_used),
	    ANSWERS_TEST(every_answer_is_wiped_by_its_counts),
	    ANSWERS_TEST(no_more_is_kept_than_has_room),
	    ANSWERS_TEST(works_when_there_is_nothing_to_keep_them_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
