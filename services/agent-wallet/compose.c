#include "services/agent-wallet/compose_internal.h"

#include <inttypes.h>
#include <string.h>

#include "common/pubkey.h"
#include "common/scoped.h"
#include "common/solana_fee.h"
#include "common/solana_ix_agent.h"
#include "common/solana_ix_core.h"
#include "common/solana_ix_system.h"
#include "common/solana_message.h"
#include "common/solana_pda.h"
#include "common/solana_program.h"
#include "services/agent-wallet/core_asset.h"

#define RECORD_LEN 104 /* ExecutionDelegateRecordV1: 8 profile, 40 authority, 72 asset */

enum solana_program compose_program_of(const struct accounts_item *account)
{
	uint8_t key[PUBKEY_LEN];
	return account->exists && pubkey_parse(account->owner, key) == 0 ? solana_program_of(key)
									 : SOLANA_PROGRAM_OTHER;
}

bool compose_is_token_program(enum solana_program program)
{
	return program == SOLANA_PROGRAM_TOKEN || program == SOLANA_PROGRAM_TOKEN_2022;
}

bool compose_wallet_is_clean(const struct accounts_item *wallet, const char **why_r)
{
	const char *why = NULL;
	if (!wallet->exists)
		why = NULL;
	else if (compose_program_of(wallet) != SOLANA_PROGRAM_SYSTEM)
		why = "another program than the System Program owns the account";
	else if (wallet->space != 0)
		why = "the account has data, as a nonce account has: what it holds may be "
		      "another's to spend";
	else if (wallet->executable)
		why = "the account is a program";
	if (why_r)
		*why_r = why;
	return !why;
}

struct solana_instruction *compose_next(struct draft *draft)
{
	bug_if(draft->n == COMPOSE_INSTRUCTIONS_MAX);
	return &draft->instructions[draft->n++];
}

int compose_execute(struct draft *draft, const struct solana_instruction *inner)
{
	const struct order_owner *owner = &draft->order->owner;
	const struct solana_core_execute wrap = {
	    .asset = owner->asset, .collection = owner->collection, .payer = owner->payer};
	draft->n_executes++;
	return solana_ix_core_execute(&wrap, inner, compose_next(draft), draft->err);
}

int compose_check_recipient(const struct draft *draft, size_t at)
{
	const struct accounts_item *to = &draft->facts->accounts[at];
	if (!to->exists || (compose_program_of(to) == SOLANA_PROGRAM_SYSTEM && !to->executable))
		return 0;
	return error_refuse(draft->err, ERR_INVALID, "recipient_refused",
	    "the recipient is no wallet: program %s owns its account", to->owner);
}

/* ---- SOL */

/* to: NULL is the owner, who pays of what there is: check_payer knows what will be. */
static int check_lamports(const struct draft *draft, uint64_t amount, uint64_t has,
    const struct accounts_item *to, struct error *err)
{
	uint64_t target = to ? to->lamports : UINT64_MAX;
	uint64_t least = draft->facts->rent_zero;
	uint64_t left = has - amount;
	if (amount > has)
		return error_refuse(err, ERR_INVALID, "amount_too_much",
		    "the wallet has %" PRIu64 " lamports, not %" PRIu64, has, amount);
	if (left > 0 && left < least)
		return error_refuse(err, ERR_INVALID, "amount_leaves_rent",
		    "the wallet would keep %" PRIu64
		    " lamports; it has to keep 0 or at least %" PRIu64,
		    left, least);
	if (target < least && amount < least - target)
		return error_refuse(err, ERR_INVALID, "amount_below_rent",
		    "the recipient would hold %" PRIu64
		    " lamports; it has to hold at least %" PRIu64,
		    target + amount, least);
	return 0;
}

static int transfer_sol(struct draft *draft)
{
	const struct order *order = draft->order;
	const struct accounts_item *wallet = &draft->facts->accounts[ORDER_AT_WALLET];
	const struct accounts_item *to = &draft->facts->accounts[ORDER_AT_TO];
	uint64_t amount = order->req->all ? wallet->lamports : order->req->amount;
	struct solana_instruction inner;
	if (compose_check_recipient(draft, ORDER_AT_TO) != 0)
		return -1;
	if (amount == 0)
		return error_refuse(
		    draft->err, ERR_INVALID, "amount_zero", "the wallet has 0 lamports");
	if (memcmp(order->keys[ORDER_AT_TO], order->owner.payer, PUBKEY_LEN) == 0)
		to = NULL;
	if (check_lamports(draft, amount, wallet->lamports, to, draft->err) != 0)
		return -1;
	solana_ix_system_transfer(order->owner.wallet, order->keys[ORDER_AT_TO], amount, &inner);
	return compose_execute(draft, &inner);
}

/* ---- execution delegates, NFTs, the rest */

static int revoke_record(struct draft *draft)
{
	const struct order *order = draft->order;
	const struct accounts_item *record = &draft->facts->accounts[ORDER_AT_RECORD];
	uint8_t expected[PUBKEY_LEN];
	if (compose_program_of(record) != SOLANA_PROGRAM_AGENT_TOOLS ||
	    record->data.len < RECORD_LEN ||
	    memcmp(record->data.data + 72, order->owner.asset, PUBKEY_LEN) != 0 ||
	    solana_pda_execution_delegate_record(
		record->data.data + 8, order->owner.asset, expected) != 0 ||
	    memcmp(expected, order->keys[ORDER_AT_RECORD], PUBKEY_LEN) != 0)
		return error_refuse(draft->err, ERR_INVALID, "delegate_refused",
		    "it is no execution delegate's record of this asset");
	solana_ix_agent_revoke(order->keys[ORDER_AT_RECORD], order->owner.asset, order->owner.payer,
	    order->owner.payer, compose_next(draft));
	return 0;
}

static int transfer_nft(struct draft *draft)
{
	const struct order *order = draft->order;
	const struct accounts_item *nft = &draft->facts->accounts[ORDER_AT_NFT];
	struct core_asset asset;
	struct solana_instruction inner;
	if (compose_check_recipient(draft, ORDER_AT_NFT_TO) != 0)
		return -1;
	if (compose_program_of(nft) != SOLANA_PROGRAM_CORE ||
	    !core_asset_read(nft->data.data, nft->data.len, &asset))
		return error_refuse(draft->err, ERR_INVALID, "nft_refused",
		    "it is no Metaplex Core asset, or was burned; an SPL NFT is a token with "
		    "amount 1");
	if (memcmp(asset.owner, order->owner.wallet, PUBKEY_LEN) != 0)
		return error_refuse(
		    draft->err, ERR_INVALID, "nft_refused", "the wallet does not hold it");
	solana_ix_core_transfer(&(struct solana_core_transfer){.asset = order->keys[ORDER_AT_NFT],
				    .collection = asset.has_collection ? asset.collection : NULL,
				    .payer = order->owner.payer,
				    .authority = order->owner.wallet,
				    .new_owner = order->keys[ORDER_AT_NFT_TO]},
	    &inner);
	return compose_execute(draft, &inner);
}

static int raw(struct draft *draft, const struct instructions_item *item, size_t *meta,
    struct solana_instruction *inner)
{
	const struct wallet_build_req *req = draft->order->req;
	uint8_t key[PUBKEY_LEN];
	if (pubkey_parse(item->program, key) != 0)
		return error_refuse(
		    draft->err, ERR_INVALID, "address_invalid", "a program is no address");
	solana_instruction_init(inner, key);
	for (uint64_t i = 0; i < item->accounts; i++, (*meta)++) {
		if (*meta >= req->metas.len)
			return error_refuse(draft->err, ERR_INVALID, "operation_invalid",
			    "fewer accounts are listed than the instructions name");
		const struct metas_item *of = &req->metas.item[*meta];
		if (pubkey_parse(of->key, key) != 0)
			return error_refuse(
			    draft->err, ERR_INVALID, "address_invalid", "an account is no address");
		solana_instruction_account(inner, key,
		    (enum solana_flags)(
			(of->written ? SOLANA_WRITE : 0) | (of->signs ? SOLANA_SIGN : 0)));
	}
	solana_instruction_bytes(inner, item->data.data, item->data.len);
	return solana_instruction_check(inner, draft->err);
}

static int raw_instructions(struct draft *draft)
{
	const struct wallet_build_req *req = draft->order->req;
	struct solana_instruction inner;
	size_t meta = 0;
	for (size_t i = 0; i < req->instructions.len; i++) {
		if (raw(draft, &req->instructions.item[i], &meta, &inner) != 0 ||
		    compose_execute(draft, &inner) != 0)
			return -1;
	}
	if (meta != req->metas.len || req->instructions.len == 0)
		return error_refuse(draft->err, ERR_INVALID, "operation_invalid",
		    "more accounts are listed than the instructions name");
	return 0;
}

/* ---- all of it */

static int write_instructions(struct draft *draft)
{
	switch (draft->order->kind) {
	case ORDER_TRANSFER_SOL:
		return transfer_sol(draft);
	case ORDER_TRANSFER_TOKEN:
		return compose_transfer_token(draft);
	case ORDER_TRANSFER_NFT:
		return transfer_nft(draft);
	case ORDER_CLOSE_ACCOUNTS:
		return compose_close_accounts(draft);
	case ORDER_REVOKE_RECORD:
		return revoke_record(draft);
	case ORDER_REVOKE_ACCOUNT:
		return compose_revoke_account(draft);
	case ORDER_INSTRUCTIONS:
		return raw_instructions(draft);
	}
	return error_set(draft->err, ERR_INTERNAL, "no such operation");
}

/* What comes to the owner in the same transaction, as far as it is composed here. */
static uint64_t payer_gets(const struct draft *draft)
{
	const struct order *order = draft->order;
	const struct accounts_item *accounts = draft->facts->accounts;
	bool is_own = memcmp(order->keys[ORDER_AT_FIRST], order->owner.payer, PUBKEY_LEN) == 0;
	if (order->kind == ORDER_REVOKE_RECORD)
		return accounts[ORDER_AT_RECORD].lamports;
	if (order->kind == ORDER_TRANSFER_SOL && is_own)
		return order->req->all ? accounts[ORDER_AT_WALLET].lamports : order->req->amount;
	return 0;
}

/* The fee is taken first, and what is left then and at the end has to be nothing or exempt from rent. What raw instructions leave, only a node can tell. */
static int check_payer(
    const struct draft *draft, const struct composed *composed, struct error *err)
{
	uint64_t has = draft->facts->accounts[ORDER_AT_PAYER].lamports;
	uint64_t least = draft->facts->rent_zero;
	uint64_t needs =
	    composed->fee_lamports + composed->execute_lamports + composed->rent_lamports;
	bool is_raw = draft->order->kind == ORDER_INSTRUCTIONS;
	if (has < needs)
		return error_refuse(err, ERR_INVALID, "payer_too_poor",
		    "the owner's wallet has %" PRIu64 " lamports and pays %" PRIu64 ": fee %" PRIu64
		    ", ExecuteV1 %" PRIu64 ", rent %" PRIu64,
		    has, needs, composed->fee_lamports, composed->execute_lamports,
		    composed->rent_lamports);
	uint64_t after_fee = has - composed->fee_lamports, gets = payer_gets(draft), left;
	if (__builtin_add_overflow(has - needs, gets, &left))
		left = UINT64_MAX;
	if ((after_fee > 0 && after_fee < least) || (!is_raw && left > 0 && left < least))
		return error_refuse(err, ERR_INVALID, "payer_too_poor",
		    "the owner's wallet has %" PRIu64 " lamports, pays %" PRIu64 " (fee %" PRIu64
		    ") and gets %" PRIu64 "; it has to keep 0 or at least %" PRIu64
		    ", after the fee and at the end",
		    has, needs, composed->fee_lamports, gets, least);
	return 0;
}

static int finish(struct draft *draft, struct composed *composed, struct error *err)
{
	const struct compose_facts *facts = draft->facts;
	const struct solana_message message = {.version = SOLANA_LEGACY,
	    .payer = draft->order->owner.payer,
	    .blockhash = facts->blockhash,
	    .instructions = draft->instructions,
	    .n_instructions = draft->n};
	struct solana_tx tx;
	struct solana_fee fee;
	if (solana_message_compose(&message, composed->bytes, &composed->len, err) != 0 ||
	    solana_tx_parse(composed->bytes, composed->len, &tx, err) != 0 ||
	    solana_fee_read(&tx, &fee, err) != 0)
		return -1;
	if (tx.n_signers != 1)
		return error_refuse(
		    err, ERR_INVALID, "operation_invalid", "somebody else would have to sign");
	composed->fee_lamports = fee.lamports;
	composed->execute_lamports = draft->n_executes * (facts->rent_seven - facts->rent_zero);
	composed->rent_lamports = draft->rent;
	composed->fee_bps = draft->fee_bps;
	return check_payer(draft, composed, err);
}

int compose(const struct order *order, const struct compose_facts *facts,
    struct composed *composed_r, struct error *err)
{
	scoped_free struct draft *draft = calloc(1, sizeof(*draft));
	const char *why;
	bug_if(!draft);
	*composed_r = (struct composed){0};
	draft->order = order;
	draft->facts = facts;
	draft->err = err;
	if (facts->rent_seven < facts->rent_zero || facts->rent_zero > UINT32_MAX ||
	    facts->rent_seven > UINT32_MAX || facts->rent_created > UINT32_MAX)
		return error_refuse(
		    err, ERR_UNAVAILABLE, "chain_unavailable", "the node's rents make no sense");
	/* what revokes a delegate is the owner's own and touches the wallet not at all */
	if (order->kind != ORDER_REVOKE_RECORD &&
	    !compose_wallet_is_clean(&facts->accounts[ORDER_AT_WALLET], &why))
		return error_refuse(err, ERR_DENIED, "wallet_captured", "%s", why);
	if (write_instructions(draft) != 0)
		return -1;
	return finish(draft, composed_r, err);
}
