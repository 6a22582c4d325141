#include "tests/devchain/agent_record.h"

#include <string.h>

#include "common/solana_program.h"

#define KEY 2

void agent_record_create(const struct agent_record *record, struct account_state *state_r)
{
	uint8_t *data = account_state_resize(state_r, AGENT_RECORD_LEN);

	data[0] = KEY;
	data[1] = record->bump;
	memcpy(data + 8, record->profile, PUBKEY_LEN);
	memcpy(data + 40, record->authority, PUBKEY_LEN);
	memcpy(data + 72, record->asset, PUBKEY_LEN);
	memcpy(state_r->program, solana_program_key(SOLANA_PROGRAM_AGENT_TOOLS), PUBKEY_LEN);
	state_r->lamports = rent_exempt(AGENT_RECORD_LEN);
}

bool agent_record_is(const struct account_state *state)
{
	return state->len > 0 && state->data[0] == KEY &&
	       solana_program_of(state->program) == SOLANA_PROGRAM_AGENT_TOOLS;
}

bool agent_record_read(const struct account_state *state, struct agent_record *record_r)
{
	if (state->len != AGENT_RECORD_LEN || !agent_record_is(state))
		return false;
	record_r->bump = state->data[1];
	memcpy(record_r->profile, state->data + 8, PUBKEY_LEN);
	memcpy(record_r->authority, state->data + 40, PUBKEY_LEN);
	memcpy(record_r->asset, state->data + 72, PUBKEY_LEN);
	return true;
}
