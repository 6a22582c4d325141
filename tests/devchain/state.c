#include "tests/devchain/state.h"

#include <stdlib.h>
#include <string.h>

#include "common/error.h"

uint8_t *account_state_resize(struct account_state *state, size_t len)
{
	free(state->data);
	state->data = len ? calloc(1, len) : NULL;
	bug_if(len && !state->data);
	state->len = len;
	return state->data;
}

void account_state_copy(const struct account_state *state, struct account_state *copy_r)
{
	*copy_r = *state;
	copy_r->data = NULL;
	if (state->len)
		memcpy(account_state_resize(copy_r, state->len), state->data, state->len);
}

void account_state_clear(struct account_state *state)
{
	free(state->data);
	*state = (struct account_state){0};
}

bool state_is_program(const struct account_state *state)
{
	uint8_t loader[PUBKEY_LEN];

	bug_if(pubkey_parse(STATE_LOADER, loader) != 0);
	return memcmp(state->program, loader, PUBKEY_LEN) == 0;
}

uint64_t rent_exempt(size_t len)
{
	return (128 + (uint64_t)len) * 6960;
}
