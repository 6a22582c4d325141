/* token - the bytes of mints and token accounts, alike in Token and Token-2022 (solana-program/token, interface/src/state.rs). */
#ifndef DEVCHAIN_TOKEN_H
#define DEVCHAIN_TOKEN_H

#include <stdbool.h>

#include "tests/devchain/state.h"

#define TOKEN_LEN 165
#define TOKEN_2022_LEN \
	170 /* with its type, and the extension ImmutableOwner that an associated account carries */
#define MINT_LEN 82

enum token_state { TOKEN_UNINITIALIZED, TOKEN_INITIALIZED, TOKEN_FROZEN };

struct token {
	uint8_t mint[PUBKEY_LEN], owner[PUBKEY_LEN];
	uint64_t amount;
	bool has_delegate, is_native, has_closer;
	uint8_t delegate[PUBKEY_LEN], closer[PUBKEY_LEN];
	uint64_t delegated, native_reserve;
	enum token_state state;
};

/* program: which of the two. Each replaces what the state held, but for lamports above the rent. */
void token_mint_create(const uint8_t program[PUBKEY_LEN], const uint8_t authority[PUBKEY_LEN],
    uint8_t decimals, uint64_t supply, struct account_state *state_r);
void token_create(
    const uint8_t program[PUBKEY_LEN], const struct token *token, struct account_state *state_r);

/* False: it is no token account, or no mint, of that program. */
bool token_read(
    const struct account_state *state, const uint8_t program[PUBKEY_LEN], struct token *token_r);
bool token_mint_decimals(
    const struct account_state *state, const uint8_t program[PUBKEY_LEN], uint8_t *decimals_r);
/* Writes the fields back into an account that token_read could read. */
void token_write(const struct token *token, struct account_state *state);

#endif
