#include <inttypes.h>
#include <string.h>

#include "common/solana_ix_token.h"
#include "common/solana_program.h"
#include "common/token_account.h"
#include "services/agent-wallet/compose_internal.h"

/* One of the wallet's. */
static int read_own(
    const struct draft *draft, size_t at, struct token_account *token_r, struct error *err)
{
	const struct accounts_item *account = &draft->facts->accounts[at];
	if (compose_is_token_program(compose_program_of(account)) &&
	    token_account_read(account->data.data, account->data.len, token_r) &&
	    memcmp(token_r->owner, draft->order->owner.wallet, PUBKEY_LEN) == 0)
		return 0;
	error_refuse(err, ERR_INVALID, "token_refused", "it is no token account of the wallet's");
	return -1;
}

static int read_mint(const struct accounts_item *accounts, bool *token_2022_r,
    struct token_mint *mint_r, struct error *err)
{
	const struct accounts_item *account = &accounts[ORDER_AT_MINT];
	enum solana_program program = compose_program_of(account);
	*token_2022_r = program == SOLANA_PROGRAM_TOKEN_2022;
	if (!compose_is_token_program(program) ||
	    !token_mint_read(*token_2022_r, account->data.data, account->data.len, mint_r))
		return error_refuse(err, ERR_INVALID, "mint_refused", "it is no mint");
	if (mint_r->stays)
		return error_refuse(
		    err, ERR_INVALID, "mint_refused", "tokens of that mint cannot be transferred");
	if (mint_r->hooked)
		return error_refuse(err, ERR_INVALID, "mint_refused",
		    "that mint asks a program of its own at each transfer, which is not supported");
	return 0;
}

size_t compose_created_size(const struct order *order, const struct accounts_item *accounts)
{
	struct token_mint mint = {0};
	struct error err;
	bool token_2022 = false;
	if (order->kind != ORDER_TRANSFER_TOKEN ||
	    read_mint(accounts, &token_2022, &mint, &err) != 0 ||
	    compose_program_of(&accounts[ORDER_AT_TARGET + token_2022]) ==
		(token_2022 ? SOLANA_PROGRAM_TOKEN_2022 : SOLANA_PROGRAM_TOKEN))
		return 0;
	return mint.account_len;
}

static int check_source(const struct draft *draft, size_t at, uint64_t *amount_r, struct error *err)
{
	const struct order *order = draft->order;
	struct token_account source = {0};
	if (!draft->facts->accounts[at].exists)
		return error_refuse(err, ERR_INVALID, "amount_too_much",
		    "the wallet has 0 of that token, in the account that was meant");
	if (read_own(draft, at, &source, err) != 0)
		return -1;
	if (memcmp(source.mint, order->keys[ORDER_AT_MINT], PUBKEY_LEN) != 0)
		return error_refuse(
		    err, ERR_INVALID, "token_refused", "the token account is of another mint");
	if (source.frozen)
		return error_refuse(err, ERR_INVALID, "token_refused",
		    "the token account is frozen: its mint's authority has to thaw it");
	*amount_r = order->req->all ? source.amount : order->req->amount;
	if (*amount_r == 0)
		return error_refuse(err, ERR_INVALID, "amount_zero", "the token account holds 0");
	if (*amount_r > source.amount)
		return error_refuse(err, ERR_INVALID, "amount_too_much",
		    "the token account holds %" PRIu64 " of the smallest unit, not %" PRIu64,
		    source.amount, *amount_r);
	return 0;
}

int compose_transfer_token(struct draft *draft)
{
	const struct order *order = draft->order;
	const struct accounts_item *accounts = draft->facts->accounts;
	struct token_mint mint = {0};
	struct token_account target;
	struct solana_instruction inner;
	uint64_t amount = 0;
	bool token_2022 = false;
	if (compose_check_recipient(draft, ORDER_AT_TOKEN_TO) != 0)
		return -1;
	if (read_mint(accounts, &token_2022, &mint, draft->err) != 0)
		return -1;
	draft->fee_bps = mint.fee_bps;
	size_t from = ORDER_AT_SOURCE + token_2022, to = ORDER_AT_TARGET + token_2022;
	const uint8_t *program =
	    solana_program_key(token_2022 ? SOLANA_PROGRAM_TOKEN_2022 : SOLANA_PROGRAM_TOKEN);
	if (check_source(draft, from, &amount, draft->err) != 0)
		return -1;
	if (memcmp(order->keys[from], order->keys[to], PUBKEY_LEN) == 0)
		return error_refuse(
		    draft->err, ERR_INVALID, "recipient_self", "it is there already");
	/* an associated account can be given to somebody else */
	if (compose_is_token_program(compose_program_of(&accounts[to])) &&
	    token_account_read(accounts[to].data.data, accounts[to].data.len, &target) &&
	    (target.frozen ||
		memcmp(target.owner, order->keys[ORDER_AT_TOKEN_TO], PUBKEY_LEN) != 0))
		return error_refuse(draft->err, ERR_INVALID, "recipient_refused",
		    "the recipient's token account is frozen, or is somebody else's");
	if (compose_created_size(order, accounts) > 0)
		draft->rent += draft->facts->rent_created;
	if (solana_ix_token_create_account(program, order->owner.payer,
		order->keys[ORDER_AT_TOKEN_TO], order->keys[ORDER_AT_MINT],
		compose_next(draft)) != 0)
		return error_refuse(
		    draft->err, ERR_INVALID, "mint_refused", "there is no associated account");
	solana_ix_token_transfer(&(struct solana_token_transfer){.program = program,
				     .mint = order->keys[ORDER_AT_MINT],
				     .source = order->keys[from],
				     .destination = order->keys[to],
				     .owner = order->owner.wallet,
				     .amount = amount,
				     .decimals = mint.decimals},
	    &inner);
	return compose_execute(draft, &inner);
}

int compose_close_accounts(struct draft *draft)
{
	const struct order *order = draft->order;
	struct token_account token = {0};
	struct solana_instruction inner;
	for (size_t at = ORDER_AT_FIRST; at < order->n_keys; at++) {
		if (read_own(draft, at, &token, draft->err) != 0)
			return -1;
		if (token.amount > 0 && !token.wrapped)
			return error_refuse(draft->err, ERR_INVALID, "token_refused",
			    "the account is not empty: it holds %" PRIu64 " of the smallest unit",
			    token.amount);
		if (token.frozen)
			return error_refuse(
			    draft->err, ERR_INVALID, "token_refused", "the account is frozen");
		if (token.closer && memcmp(token.closer, order->owner.wallet, PUBKEY_LEN) != 0)
			return error_refuse(draft->err, ERR_INVALID, "token_refused",
			    "somebody else is its close authority and alone can close it");
		solana_ix_token_close(
		    solana_program_key(compose_program_of(&draft->facts->accounts[at])),
		    order->keys[at], order->owner.wallet, order->owner.wallet, &inner);
		if (compose_execute(draft, &inner) != 0)
			return -1;
	}
	return 0;
}

int compose_revoke_account(struct draft *draft)
{
	const struct order *order = draft->order;
	struct token_account token = {0};
	struct solana_instruction inner;
	if (read_own(draft, ORDER_AT_FIRST, &token, draft->err) != 0)
		return -1;
	if (!token.delegate)
		return error_refuse(draft->err, ERR_INVALID, "delegate_refused",
		    "the token account has no delegate");
	solana_ix_token_revoke(
	    solana_program_key(compose_program_of(&draft->facts->accounts[ORDER_AT_FIRST])),
	    order->keys[ORDER_AT_FIRST], order->owner.wallet, &inner);
	return compose_execute(draft, &inner);
}
