/* chain.tokens - what an owner holds: one request for each token program, then the mints for their decimals, 99 at a time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/scoped.h"
#include "common/solana_program.h"
#include "common/token_account.h"
#include "services/chain-oracle/chain.h"
#include "services/chain-oracle/rpc_json.h"

#define BODY_MAX ((size_t)4 * 1024 * 1024) /* some 8000 accounts */

static const enum solana_program programs[] = {SOLANA_PROGRAM_TOKEN, SOLANA_PROGRAM_TOKEN_2022};

/* What the first steps keep: the mints, in the order in which they are asked for. */
struct mints {
	size_t len;
	char key[ARRAY_LEN(((struct chain_tokens_rsp *)0)->holdings.item)][PUBKEY_TEXT_MAX + 1];
};

static size_t page_len(const struct mints *mints, unsigned step)
{
	size_t at = (step - ARRAY_LEN(programs)) * RPC_KEYS_MAX;
	size_t left = mints->len > at ? mints->len - at : 0;
	return left < RPC_KEYS_MAX ? left : RPC_KEYS_MAX;
}

static void list_mints(struct asking_turn *turn)
{
	const struct chain_tokens_rsp *rsp = turn->rsp;
	struct mints *mints = calloc(1, sizeof(*mints));
	bug_if(!mints);
	turn->more = mints;
	for (size_t i = 0; i < rsp->holdings.len; i++) {
		size_t at = 0;
		while (at < mints->len && strcmp(mints->key[at], rsp->holdings.item[i].mint) != 0)
			at++;
		if (at == mints->len)
			memcpy(mints->key[mints->len++], rsp->holdings.item[i].mint,
			    sizeof(mints->key[0]));
	}
}

static char *write_tokens(const struct asking_turn *turn, uint64_t id)
{
	const struct chain_tokens_req *req = turn->req;
	const struct mints *mints = turn->more;
	char program[PUBKEY_TEXT_MAX + 1];
	if (turn->step < ARRAY_LEN(programs))
		return rpc_request_tokens(id, req->owner,
		    pubkey_text(solana_program_key(programs[turn->step]), program),
		    TOKEN_ACCOUNT_LEN, turn->min_slot);
	size_t len = page_len(mints, turn->step);
	size_t at = (turn->step - ARRAY_LEN(programs)) * RPC_KEYS_MAX;
	if (len == 0)
		return NULL;
	json_t *keys = json_array();
	bug_if(!keys);
	for (size_t i = 0; i < len; i++)
		json_array_append_new(keys, json_string(mints->key[at + i]));
	return rpc_request_data(id, keys, TOKEN_MINT_LEN, turn->min_slot);
}

static void put_holding(const struct token_account *token, struct holdings_item *item)
{
	pubkey_text(token->mint, item->mint);
	item->amount = token->amount;
	item->frozen = token->frozen;
	item->wrapped = token->wrapped;
	item->delegated = token->delegated;
	if (token->delegate)
		pubkey_text(token->delegate, item->delegate);
	if (token->closer)
		pubkey_text(token->closer, item->closer);
}

/* Is what the node names a token account of that owner, in that program? 1: it is a multisig, which nodes that go by bytes alone may take for one; anybody can
 * make one that looks so. */
static int read_entry(
    const struct asking_turn *turn, const json_t *entry, struct holdings_item *item)
{
	const struct chain_tokens_req *req = turn->req;
	uint8_t key[PUBKEY_LEN], owner[PUBKEY_LEN], bytes[TOKEN_ACCOUNT_LEN];
	struct core_account account;
	struct token_account token;
	if (pubkey_parse(req->owner, owner) < 0 ||
	    rpc_json_pubkey(json_object_get(entry, "pubkey"), key) < 0 ||
	    rpc_account_read_slice(
		json_object_get(entry, "account"), bytes, TOKEN_ACCOUNT_LEN, &account) < 0 ||
	    !account.exists ||
	    memcmp(account.program, solana_program_key(programs[turn->step]), PUBKEY_LEN) != 0)
		return -1;
	if (account.space == TOKEN_MULTISIG_LEN)
		return 1;
	if (!token_account_read(bytes, account.len, &token) ||
	    memcmp(token.owner, owner, PUBKEY_LEN) != 0)
		return -1;
	*item = (struct holdings_item){.token_2022 = turn->step == 1, .lamports = account.lamports};
	pubkey_text(key, item->account);
	put_holding(&token, item);
	return 0;
}

/* What must not be hidden: strangers can send any number of empty accounts to an owner, for a little money accounts with an amount, but none with a delegate or of
 * wrapped SOL that another may close: the program takes those off when an account changes hands. */
static int rank(const struct holdings_item *item, const char *owner)
{
	/* the owner's own would be many for nothing, and hide another's */
	if ((item->delegate[0] && strcmp(item->delegate, owner) != 0) ||
	    (item->wrapped && item->closer[0] && strcmp(item->closer, owner) != 0))
		return 2;
	return item->amount > 0 ? 1 : 0;
}

static void put(struct chain_tokens_rsp *rsp, const struct holdings_item *item, const char *owner)
{
	struct holdings_item *least = &rsp->holdings.item[0];
	if (rsp->holdings.len < ARRAY_LEN(rsp->holdings.item)) {
		rsp->holdings.item[rsp->holdings.len++] = *item;
		return;
	}
	rsp->more = true;
	for (size_t i = 1; i < rsp->holdings.len; i++)
		if (rank(&rsp->holdings.item[i], owner) < rank(least, owner))
			least = &rsp->holdings.item[i];
	if (rank(item, owner) > rank(least, owner))
		*least = *item;
}

static int read_holdings(
    struct asking_turn *turn, const struct rpc_answer *answer, struct error *err)
{
	struct chain_tokens_rsp *rsp = turn->rsp;
	const json_t *value = rpc_answer_value(answer);
	uint64_t slot;
	if (asking_slot(turn, answer, &slot, err) < 0)
		return -1;
	rsp->slot = turn->step == 0 || slot < rsp->slot ? slot : rsp->slot;
	if (!json_is_array(value))
		return error_set(err, ERR_INVALID, "no list of accounts");
	for (size_t i = 0; i < json_array_size(value); i++) {
		struct holdings_item item;
		int kind = read_entry(turn, json_array_get(value, i), &item);
		if (kind < 0)
			return error_set(err, ERR_INVALID, "token account %zu cannot be read", i);
		if (kind > 0)
			continue;
		put(rsp, &item, ((const struct chain_tokens_req *)turn->req)->owner);
	}
	if (turn->step + 1 == ARRAY_LEN(programs))
		list_mints(turn);
	return 0;
}

static void note_mint(
    struct chain_tokens_rsp *rsp, const char *mint, const struct core_account *account)
{
	enum solana_program program = solana_program_of(account->program);
	struct token_mint read;
	for (size_t i = 0; i < rsp->holdings.len; i++) {
		struct holdings_item *item = &rsp->holdings.item[i];
		if (strcmp(item->mint, mint) == 0 && program == programs[item->token_2022] &&
		    token_mint_read(item->token_2022, account->data, account->len, &read)) {
			item->mint_known = true;
			item->decimals = read.decimals;
		}
	}
}

static int read_mints(struct asking_turn *turn, const struct rpc_answer *answer, struct error *err)
{
	struct chain_tokens_rsp *rsp = turn->rsp;
	const struct mints *mints = turn->more;
	const json_t *value = rpc_answer_value(answer);
	size_t len = page_len(mints, turn->step);
	size_t at = (turn->step - ARRAY_LEN(programs)) * RPC_KEYS_MAX;
	uint64_t slot;
	if (asking_slot(turn, answer, &slot, err) < 0)
		return -1;
	rsp->slot = slot < rsp->slot ? slot : rsp->slot;
	if (json_array_size(value) != len)
		return error_set(err, ERR_INVALID, "another number of mints");
	for (size_t i = 0; i < len; i++) {
		uint8_t bytes[TOKEN_MINT_LEN];
		struct core_account account;
		if (rpc_account_read_slice(
			json_array_get(value, i), bytes, TOKEN_MINT_LEN, &account) < 0)
			return error_set(err, ERR_INVALID, "mint %zu cannot be read", i);
		if (account.exists && account.len == TOKEN_MINT_LEN)
			note_mint(rsp, mints->key[at + i], &account);
	}
	return 0;
}

static int read_tokens(struct asking_turn *turn, const struct rpc_answer *answer, struct error *err)
{
	return turn->step < ARRAY_LEN(programs) ? read_holdings(turn, answer, err)
						: read_mints(turn, answer, err);
}

static const struct asking_kind kind = {
    .whom = ASKING_ONE,
    .rsp_size = sizeof(struct chain_tokens_rsp),
    .body_max = BODY_MAX,
    .write = write_tokens,
    .read = read_tokens,
};

void chain_tokens(
    struct chain *self, const struct chain_tokens_req *req, struct bus_request *request)
{
	struct error err;
	if (chain_check_key(req->owner, &err) < 0)
		bus_fail(request, &err);
	else
		asking_begin(&self->askings, &kind, req, req->min_slot, request);
}
