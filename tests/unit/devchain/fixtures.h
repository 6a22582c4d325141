/* fixtures - accounts the real program wrote, from the vectors. */
#ifndef TESTS_DEVCHAIN_FIXTURES_H
#define TESTS_DEVCHAIN_FIXTURES_H

#include "tests/devchain/core.h"
#include "tests/unit/common/vectors.h"

/* The account whose name begins with prefix. Caller clears it. */
static inline struct account_state fixture(const json_t *vectors, const char *prefix)
{
	struct account_state state = {0};
	const json_t *account;
	uint8_t bytes[1024];
	size_t i;

	json_array_foreach(json_object_get(vectors, "accounts"), i, account)
	{
		if (strncmp(vectors_str(account, "name"), prefix, strlen(prefix)) != 0)
			continue;
		size_t len = vectors_hex(account, "data_hex", bytes, sizeof(bytes));
		memcpy(account_state_resize(&state, len), bytes, len);
		state.lamports = (uint64_t)json_integer_value(json_object_get(account, "lamports"));
		if (!state.lamports)
			state.lamports = rent_exempt(len);
		assert_int_equal(pubkey_parse(CORE_PROGRAM, state.program), 0);
		return state;
	}
	fail_msg("no account %s", prefix);
	return state;
}

static inline void assert_same_account(const struct account_state *a, const struct account_state *b)
{
	assert_int_equal(a->lamports, b->lamports);
	assert_memory_equal(a->program, b->program, PUBKEY_LEN);
	assert_int_equal(a->len, b->len);
	assert_memory_equal(a->data, b->data, a->len);
}

static inline void fill_key(uint8_t key[PUBKEY_LEN], uint8_t with)
{
	memset(key, with, PUBKEY_LEN);
}

#endif
