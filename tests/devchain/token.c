#include "tests/devchain/token.h"

#include <string.h>

#include "common/error.h"
#include "common/solana_program.h"

#define MINT_INITIALIZED_AT 45
#define MINT_DECIMALS_AT 44
#define TYPE_AT 165
#define TYPE_MINT 1
#define TYPE_ACCOUNT 2
#define IMMUTABLE_OWNER 7

static void put_le(uint8_t *at, uint64_t value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t le(const uint8_t *at, size_t len)
{
	uint64_t value = 0;

	for (size_t i = len; i-- > 0;)
		value = value << 8 | at[i];
	return value;
}

static void put_option(uint8_t *at, bool is, const uint8_t key[PUBKEY_LEN])
{
	put_le(at, is, 4);
	if (is)
		memcpy(at + 4, key, PUBKEY_LEN);
	else
		memset(at + 4, 0, PUBKEY_LEN);
}

static bool take_option(const uint8_t *at, uint8_t key_r[PUBKEY_LEN])
{
	memcpy(key_r, at + 4, PUBKEY_LEN);
	return le(at, 4) == 1;
}

static bool is_2022(const uint8_t *program)
{
	return solana_program_of(program) == SOLANA_PROGRAM_TOKEN_2022;
}

static void become(struct account_state *state, const uint8_t *program)
{
	memcpy(state->program, program, PUBKEY_LEN);
	if (state->lamports < rent_exempt(state->len))
		state->lamports = rent_exempt(state->len);
}

void token_mint_create(const uint8_t program[PUBKEY_LEN], const uint8_t authority[PUBKEY_LEN],
    uint8_t decimals, uint64_t supply, struct account_state *state_r)
{
	uint8_t *data = account_state_resize(state_r, MINT_LEN);

	put_option(data, true, authority);
	put_le(data + 36, supply, 8);
	data[MINT_DECIMALS_AT] = decimals;
	data[MINT_INITIALIZED_AT] = 1;
	become(state_r, program);
}

void token_create(
    const uint8_t program[PUBKEY_LEN], const struct token *token, struct account_state *state_r)
{
	uint8_t *data =
	    account_state_resize(state_r, is_2022(program) ? TOKEN_2022_LEN : TOKEN_LEN);

	if (is_2022(program)) {
		data[TYPE_AT] = TYPE_ACCOUNT;
		data[TYPE_AT + 1] = IMMUTABLE_OWNER;
	}
	token_write(token, state_r);
	become(state_r, program);
}

static bool has_type(
    const struct account_state *state, const uint8_t *program, size_t len, uint8_t type)
{
	if (memcmp(state->program, program, PUBKEY_LEN) != 0)
		return false;
	return state->len == len ||
	       (is_2022(program) && state->len > TYPE_AT && state->data[TYPE_AT] == type);
}

bool token_read(
    const struct account_state *state, const uint8_t program[PUBKEY_LEN], struct token *token_r)
{
	const uint8_t *data = state->data;

	if (!has_type(state, program, TOKEN_LEN, TYPE_ACCOUNT))
		return false;
	memset(token_r, 0, sizeof(*token_r));
	memcpy(token_r->mint, data, PUBKEY_LEN);
	memcpy(token_r->owner, data + 32, PUBKEY_LEN);
	token_r->amount = le(data + 64, 8);
	token_r->has_delegate = take_option(data + 72, token_r->delegate);
	token_r->state =
	    data[108] <= TOKEN_FROZEN ? (enum token_state)data[108] : TOKEN_UNINITIALIZED;
	token_r->is_native = le(data + 109, 4) == 1;
	token_r->native_reserve = le(data + 113, 8);
	token_r->delegated = le(data + 121, 8);
	token_r->has_closer = take_option(data + 129, token_r->closer);
	return token_r->state != TOKEN_UNINITIALIZED;
}

void token_write(const struct token *token, struct account_state *state)
{
	uint8_t *data = state->data;

	bug_if(state->len < TOKEN_LEN);
	memcpy(data, token->mint, PUBKEY_LEN);
	memcpy(data + 32, token->owner, PUBKEY_LEN);
	put_le(data + 64, token->amount, 8);
	put_option(data + 72, token->has_delegate, token->delegate);
	data[108] = (uint8_t)token->state;
	put_le(data + 109, token->is_native, 4);
	put_le(data + 113, token->native_reserve, 8);
	put_le(data + 121, token->delegated, 8);
	put_option(data + 129, token->has_closer, token->closer);
}

bool token_mint_decimals(
    const struct account_state *state, const uint8_t program[PUBKEY_LEN], uint8_t *decimals_r)
{
	if (!has_type(state, program, MINT_LEN, TYPE_MINT) || state->data[MINT_INITIALIZED_AT] != 1)
		return false;
	*decimals_r = state->data[MINT_DECIMALS_AT];
	return true;
}
