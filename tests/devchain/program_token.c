#include <string.h>

#include "common/solana_ix_token.h"
#include "common/solana_pda.h"
#include "common/solana_program.h"
#include "tests/devchain/programs.h"
#include "tests/devchain/token.h"

/* spl-token, error.rs */
enum {
	INSUFFICIENT_FUNDS = 1,
	INVALID_MINT = 2,
	MINT_MISMATCH = 3,
	OWNER_MISMATCH = 4,
	NON_NATIVE_HAS_BALANCE = 11,
	ACCOUNT_FROZEN = 17,
	DECIMALS_MISMATCH = 18,
};
#define INVALID_OWNER 0 /* associated-token-account, error.rs */
#define NEGATIVE_LAMPORTS 1

/* ---- Token, Token-2022 ---- */

static int read_token(
    const struct invocation *in, const struct invocation_account *account, struct token *token_r)
{
	const struct account_state *state = &account->account->state;

	if (memcmp(state->program, in->program, PUBKEY_LEN) != 0)
		return run_fail(in, "IncorrectProgramId");
	return token_read(state, in->program, token_r) ? 0 : run_fail(in, "InvalidAccountData");
}

static int need_owner(
    const struct invocation *in, const struct invocation_account *authority, const uint8_t *owner)
{
	if (!run_is_key(authority, owner)) {
		run_log(in->run, "Program log: Error: owner does not match");
		return run_fail_custom(in, OWNER_MISMATCH);
	}
	return run_need_signer(in, authority);
}

static int spend(const struct invocation *in, const struct invocation_account *authority,
    struct token *source, uint64_t amount)
{
	if (!source->has_delegate || !run_is_key(authority, source->delegate))
		return need_owner(in, authority, source->owner);
	if (run_need_signer(in, authority) < 0)
		return -1;
	if (source->delegated < amount)
		return run_fail_custom(in, INSUFFICIENT_FUNDS);
	source->delegated -= amount;
	if (source->delegated == 0)
		source->has_delegate = false;
	return 0;
}

static int check_mint(struct invocation *in, const struct token *source, uint8_t expected)
{
	const struct invocation_account *mint = &in->at[1];
	uint8_t decimals;

	if (!run_is_key(mint, source->mint))
		return run_fail_custom(in, MINT_MISMATCH);
	if (!token_mint_decimals(&mint->account->state, in->program, &decimals))
		return run_fail(in, "InvalidAccountData");
	return decimals == expected ? 0 : run_fail_custom(in, DECIMALS_MISMATCH);
}

/* checked: the mint stands between source and destination */
static int transfer(struct invocation *in, bool checked)
{
	struct invocation_account *from = run_at(in, 0), *to = run_at(in, checked ? 2 : 1),
				  *authority = run_at(in, checked ? 3 : 2);
	struct token source = {0}, sink = {0};
	uint64_t amount;

	if (!from || !to || !authority)
		return -1;
	if (in->len < (checked ? 10U : 9U))
		return run_fail(in, "InvalidInstructionData");
	amount = run_le(in->data + 1, 8);
	if (read_token(in, from, &source) < 0 || read_token(in, to, &sink) < 0)
		return -1;
	if (source.state == TOKEN_FROZEN || sink.state == TOKEN_FROZEN)
		return run_fail_custom(in, ACCOUNT_FROZEN);
	if (source.amount < amount) {
		run_log(in->run, "Program log: Error: insufficient funds");
		return run_fail_custom(in, INSUFFICIENT_FUNDS);
	}
	if (memcmp(source.mint, sink.mint, PUBKEY_LEN) != 0)
		return run_fail_custom(in, MINT_MISMATCH);
	if ((checked && check_mint(in, &source, in->data[9]) < 0) ||
	    spend(in, authority, &source, amount) < 0)
		return -1;
	if (run_need_writable(in, from) < 0 || run_need_writable(in, to) < 0)
		return -1;
	if (from->account == to->account)
		return 0;
	source.amount -= amount;
	sink.amount += amount;
	token_write(&source, &from->account->state);
	token_write(&sink, &to->account->state);
	return source.is_native ? run_move(in, from, to, amount, INSUFFICIENT_FUNDS) : 0;
}

static int revoke(struct invocation *in)
{
	struct invocation_account *account = run_at(in, 0), *authority = run_at(in, 1);
	struct token token = {0};

	if (!account || !authority || read_token(in, account, &token) < 0 ||
	    need_owner(in, authority, token.owner) < 0 || run_need_writable(in, account) < 0)
		return -1;
	token.has_delegate = false;
	token.delegated = 0;
	token_write(&token, &account->account->state);
	return 0;
}

static int close_account(struct invocation *in)
{
	struct invocation_account *account = run_at(in, 0), *to = run_at(in, 1),
				  *authority = run_at(in, 2);
	struct token token = {0};

	if (!account || !to || !authority)
		return -1;
	if (account->account == to->account)
		return run_fail(in, "InvalidAccountData");
	if (read_token(in, account, &token) < 0)
		return -1;
	if (!token.is_native && token.amount > 0) {
		run_log(in->run, "Program log: Error: Non-native account can only be closed if its "
				 "balance is zero");
		return run_fail_custom(in, NON_NATIVE_HAS_BALANCE);
	}
	if (need_owner(in, authority, token.has_closer ? token.closer : token.owner) < 0 ||
	    run_move(in, account, to, account->account->state.lamports, 0) < 0)
		return -1;
	account_state_clear(&account->account->state);
	return 0;
}

int program_token(struct invocation *in)
{
	switch (in->len > 0 ? in->data[0] : UINT8_MAX) {
	case SOLANA_TOKEN_TRANSFER:
		return transfer(in, false);
	case SOLANA_TOKEN_TRANSFER_CHECKED:
		return transfer(in, true);
	case SOLANA_TOKEN_REVOKE:
		return revoke(in);
	case SOLANA_TOKEN_CLOSE_ACCOUNT:
		return close_account(in);
	default:
		return run_fail(in, "InvalidInstructionData");
	}
}

/* ---- Associated Token Account ---- */

struct associated {
	struct invocation_account *payer, *account, *wallet, *mint;
	const uint8_t *program;
};

/* It is there: good only if it is what would have been made. */
static int check_existing(
    const struct invocation *in, const struct associated *made, bool idempotent)
{
	struct token token = {0};

	if (!idempotent)
		return run_fail(in, "IllegalOwner");
	if (!token_read(&made->account->account->state, made->program, &token) ||
	    !run_is_key(made->mint, token.mint))
		return run_fail(in, "InvalidAccountData");
	return run_is_key(made->wallet, token.owner) ? 0 : run_fail_custom(in, INVALID_OWNER);
}

static int create(struct invocation *in, const struct associated *made)
{
	struct account_state *state = &made->account->account->state;
	struct token token = {.state = TOKEN_INITIALIZED};
	uint8_t decimals;

	if (!token_mint_decimals(&made->mint->account->state, made->program, &decimals))
		return run_fail_custom(in, INVALID_MINT);
	bool is_2022 = solana_program_of(made->program) == SOLANA_PROGRAM_TOKEN_2022;
	uint64_t rent = rent_exempt(is_2022 ? TOKEN_2022_LEN : TOKEN_LEN);
	if (run_need_signer(in, made->payer) < 0 ||
	    (state->lamports < rent && run_move(in, made->payer, made->account,
					   rent - state->lamports, NEGATIVE_LAMPORTS) < 0))
		return -1;
	memcpy(token.mint, made->mint->account->key, PUBKEY_LEN);
	memcpy(token.owner, made->wallet->account->key, PUBKEY_LEN);
	token_create(made->program, &token, state);
	return 0;
}

int program_associated_token(struct invocation *in)
{
	struct associated made = {run_at(in, 0), run_at(in, 1), run_at(in, 2), run_at(in, 3), NULL};
	const struct invocation_account *program = run_at(in, 5);
	uint8_t address[PUBKEY_LEN], kind = in->len > 0 ? in->data[0] : SOLANA_ASSOCIATED_CREATE;

	if (!made.payer || !made.account || !made.wallet || !made.mint || !program)
		return -1;
	if (kind > SOLANA_ASSOCIATED_CREATE_IDEMPOTENT)
		return run_fail(in, "InvalidInstructionData");
	made.program = program->account->key;
	if (solana_program_of(made.program) != SOLANA_PROGRAM_TOKEN &&
	    solana_program_of(made.program) != SOLANA_PROGRAM_TOKEN_2022)
		return run_fail(in, "IncorrectProgramId");
	if (solana_pda_associated_token(
		made.wallet->account->key, made.program, made.mint->account->key, address) < 0 ||
	    !run_is_key(made.account, address)) {
		run_log(in->run, "Program log: Error: Associated address does not match seed "
				 "derivation");
		return run_fail(in, "InvalidSeeds");
	}
	if (solana_program_of(made.account->account->state.program) != SOLANA_PROGRAM_SYSTEM)
		return check_existing(in, &made, kind == SOLANA_ASSOCIATED_CREATE_IDEMPOTENT);
	return create(in, &made);
}
