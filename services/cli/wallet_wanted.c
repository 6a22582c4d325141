#include "services/cli/wallet_wanted.h"

#include <stdlib.h>
#include <string.h>

#include "common/little_endian.h"
#include "common/pubkey.h"
#include "common/scoped.h"
#include "common/solana_ix_agent.h"
#include "common/solana_ix_core.h"
#include "common/solana_ix_system.h"
#include "common/solana_ix_token.h"
#include "common/solana_message.h"
#include "common/solana_pda.h"
#include "common/solana_program.h"
#include "common/wallet_accept.h"
#include "common/wallet_amount.h"

/* An instruction of theirs, with what ExecuteV1 wraps. Nothing in it is believed: it says what to compose, and the comparison judges that. */
struct seen {
	const struct solana_tx *tx;
	const struct solana_tx_instruction *ix;
	const uint8_t *program; /* the inner one, if it is wrapped */
	size_t first;           /* account of the inner instruction */
	const uint8_t *data;
	size_t data_len;
	bool wrapped;
};

struct composing {
	const struct wallet_wanted *wanted;
	const struct solana_tx *tx;
	uint8_t wallet[PUBKEY_LEN]; /* the agent's */
	struct solana_instruction *list;
	size_t n, room;
};

static int refuse(struct error *err, const char *what)
{
	return error_refuse(err, ERR_DENIED, "not_asked_for", "%s", what);
}

static bool same(const uint8_t *a, const uint8_t *b)
{
	return a && b && memcmp(a, b, PUBKEY_LEN) == 0;
}

/* NULL if there are fewer. */
static const uint8_t *account(const struct seen *seen, size_t i)
{
	return seen->first + i < seen->ix->n_accounts
		   ? solana_tx_account(seen->tx, seen->ix, seen->first + i)
		   : NULL;
}

static struct seen look(const struct solana_tx *tx, size_t i)
{
	const struct solana_tx_instruction *ix = &tx->instructions[i];
	struct seen seen = {.tx = tx,
	    .ix = ix,
	    .program = solana_tx_program(tx, ix),
	    .data = ix->data,
	    .data_len = ix->data_len};

	if (!solana_ix_is_execute(tx, ix) || ix->data_len < 5 ||
	    ix->n_accounts < SOLANA_EXECUTE_INNER)
		return seen;
	seen.wrapped = true;
	seen.program = solana_tx_account(tx, ix, SOLANA_EXECUTE_PROGRAM);
	seen.first = SOLANA_EXECUTE_INNER;
	seen.data = ix->data + 5;
	seen.data_len = ix->data_len - 5;
	return seen;
}

static bool is_token_program(const uint8_t *program)
{
	enum solana_program which = solana_program_of(program);

	return which == SOLANA_PROGRAM_TOKEN || which == SOLANA_PROGRAM_TOKEN_2022;
}

/* The first instruction that matches; false if none does. */
static bool find(
    const struct solana_tx *tx, bool (*matches)(const struct seen *seen), struct seen *seen_r)
{
	for (size_t i = 0; i < tx->n_instructions; i++) {
		*seen_r = look(tx, i);
		if (matches(seen_r))
			return true;
	}
	return false;
}

static bool is_create(const struct seen *seen)
{
	return solana_program_of(seen->program) == SOLANA_PROGRAM_ASSOCIATED_TOKEN;
}

static bool is_sol_transfer(const struct seen *seen)
{
	return solana_program_of(seen->program) == SOLANA_PROGRAM_SYSTEM && seen->data_len == 12;
}

static bool is_token_transfer(const struct seen *seen)
{
	return is_token_program(seen->program) && seen->data_len == 10 && account(seen, 3);
}

static bool is_token(const struct seen *seen)
{
	return is_token_program(seen->program) && account(seen, 1);
}

static bool is_core_transfer(const struct seen *seen)
{
	return solana_program_of(seen->program) == SOLANA_PROGRAM_CORE && seen->data_len == 2 &&
	       account(seen, 4);
}

static bool is_revoke_record(const struct seen *seen)
{
	return solana_program_of(seen->program) == SOLANA_PROGRAM_AGENT_TOOLS && account(seen, 3);
}

static bool is_any_wrapped(const struct seen *seen)
{
	return seen->wrapped;
}

/* Of a Core asset, by the account where its program has it; NULL: in none. */
static const uint8_t *collection_or_null(const uint8_t *key)
{
	return same(key, solana_program_key(SOLANA_PROGRAM_CORE)) ? NULL : key;
}

static int add(
    struct composing *composing, const struct solana_instruction *instruction, struct error *err)
{
	if (composing->n == composing->room)
		return refuse(err, "it has fewer instructions than were asked for");
	composing->list[composing->n++] = *instruction;
	return 0;
}

static int add_wrapped(
    struct composing *composing, const struct solana_instruction *inner, struct error *err)
{
	struct seen seen;
	struct solana_instruction wrapped;

	if (!find(composing->tx, is_any_wrapped, &seen))
		return refuse(err, "nothing in it is signed by the agent's wallet");
	const struct solana_core_execute execute = {
	    .asset = composing->wanted->asset,
	    .collection =
		collection_or_null(solana_tx_account(seen.tx, seen.ix, SOLANA_EXECUTE_COLLECTION)),
	    .payer = composing->wanted->owner,
	};
	if (solana_ix_core_execute(&execute, inner, &wrapped, err) != 0)
		return -1;
	return add(composing, &wrapped, err);
}

/* What was typed, or if that is all there is, what they say. */
static int read_amount(const char *typed, uint8_t decimals, const uint8_t *theirs,
    uint64_t *amount_r, struct error *err)
{
	if (typed)
		return wallet_amount_parse(typed, decimals, amount_r, err);
	*amount_r = little_endian_u64(theirs);
	return 0;
}

static int want_sol(struct composing *composing, struct error *err)
{
	const struct wallet_wanted *wanted = composing->wanted;
	struct solana_instruction inner;
	struct seen seen;
	uint64_t lamports;

	if (!find(composing->tx, is_sol_transfer, &seen))
		return refuse(err, "it sends no SOL");
	if (read_amount(wanted->amount, WALLET_SOL_DECIMALS, seen.data + 4, &lamports, err) != 0)
		return -1;
	solana_ix_system_transfer(composing->wallet, wanted->to, lamports, &inner);
	return add_wrapped(composing, &inner, err);
}

/* The recipient's account, if it is created first. */
static int add_create(struct composing *composing, const uint8_t *program, struct error *err)
{
	const struct wallet_wanted *wanted = composing->wanted;
	struct solana_instruction create;
	struct seen seen;

	if (!find(composing->tx, is_create, &seen))
		return 0;
	const uint8_t *funder = seen.wrapped ? composing->wallet : wanted->owner;
	if (solana_ix_token_create_account(program, funder, wanted->to, wanted->what, &create) != 0)
		return refuse(err, "the recipient can have no account of that token");
	return seen.wrapped ? add_wrapped(composing, &create, err) : add(composing, &create, err);
}

static int want_token(struct composing *composing, struct error *err)
{
	const struct wallet_wanted *wanted = composing->wanted;
	uint8_t destination[PUBKEY_LEN];
	struct solana_instruction inner;
	struct seen seen;
	uint64_t amount;

	if (!find(composing->tx, is_token_transfer, &seen))
		return refuse(err, "it sends no token");
	/* the token's program checks the decimals against the mint, so the amount is what was typed or nothing moves */
	uint8_t decimals = seen.data[9];
	if (read_amount(wanted->amount, decimals, seen.data + 1, &amount, err) != 0)
		return -1;
	if (solana_pda_associated_token(wanted->to, seen.program, wanted->what, destination) != 0)
		return refuse(err, "the recipient can have no account of that token");
	if (add_create(composing, seen.program, err) != 0)
		return -1;
	const struct solana_token_transfer transfer = {.program = seen.program,
	    .mint = wanted->what,
	    .source = account(&seen, 0),
	    .destination = destination,
	    .owner = composing->wallet,
	    .amount = amount,
	    .decimals = decimals};
	solana_ix_token_transfer(&transfer, &inner);
	return add_wrapped(composing, &inner, err);
}

static int want_nft(struct composing *composing, struct error *err)
{
	const struct wallet_wanted *wanted = composing->wanted;
	struct solana_instruction inner;
	struct seen seen;

	if (!find(composing->tx, is_core_transfer, &seen))
		return refuse(err, "it hands over no NFT");
	const struct solana_core_transfer transfer = {.asset = wanted->what,
	    .collection = collection_or_null(account(&seen, 1)),
	    .payer = wanted->owner,
	    .authority = composing->wallet,
	    .new_owner = wanted->to};
	solana_ix_core_transfer(&transfer, &inner);
	return add_wrapped(composing, &inner, err);
}

/* The owner or the agent, whichever of them they chose. */
static const uint8_t *ours(const struct composing *composing, const uint8_t *key)
{
	return same(key, composing->wallet) ? composing->wallet : composing->wanted->owner;
}

static int add_close(
    struct composing *composing, const struct seen *seen, const uint8_t *which, struct error *err)
{
	struct solana_instruction inner;

	solana_ix_token_close(
	    seen->program, which, ours(composing, account(seen, 1)), composing->wallet, &inner);
	return add_wrapped(composing, &inner, err);
}

static bool is_named(const struct wallet_wanted *wanted, const uint8_t *key)
{
	for (size_t i = 0; i < wanted->n_keys; i++)
		if (same(wanted->keys[i], key))
			return true;
	return false;
}

/* In their order: the same accounts, each once, are the same whatever the order. */
static int want_close(struct composing *composing, struct error *err)
{
	const struct wallet_wanted *wanted = composing->wanted;
	bool closed[SOLANA_KEYS_MAX] = {false};
	size_t n = 0;

	for (size_t i = 0; i < composing->tx->n_instructions; i++) {
		struct seen seen = look(composing->tx, i);
		if (!is_token(&seen))
			continue;
		const uint8_t *which = account(&seen, 0);
		size_t key = solana_tx_find(composing->tx, which);
		if (closed[key] || (wanted->n_keys && !is_named(wanted, which)))
			return refuse(err, "it closes an account that was not named");
		closed[key] = true;
		if (add_close(composing, &seen, which, err) != 0)
			return -1;
		n++;
	}
	if (n == 0 || (wanted->n_keys && n != wanted->n_keys))
		return refuse(err, "it does not close the accounts that were named");
	return 0;
}

static int want_revoke_record(struct composing *composing, struct error *err)
{
	const struct wallet_wanted *wanted = composing->wanted;
	struct solana_instruction revoke;
	struct seen seen;

	if (!find(composing->tx, is_revoke_record, &seen))
		return refuse(err, "it revokes no delegate");
	solana_ix_agent_revoke(wanted->what, wanted->asset, ours(composing, account(&seen, 2)),
	    wanted->owner, &revoke);
	return add(composing, &revoke, err);
}

static int want_revoke_token(struct composing *composing, struct error *err)
{
	struct solana_instruction inner;
	struct seen seen;

	if (!find(composing->tx, is_token, &seen))
		return refuse(err, "it revokes no delegate");
	solana_ix_token_revoke(seen.program, composing->wanted->what, composing->wallet, &inner);
	return add_wrapped(composing, &inner, err);
}

static int want_instructions(struct composing *composing, struct error *err)
{
	const struct wallet_wanted *wanted = composing->wanted;

	for (size_t i = 0; i < wanted->n_instructions; i++)
		if (add_wrapped(composing, &wanted->instructions[i], err) != 0)
			return -1;
	return 0;
}

static int compose(struct composing *composing, struct error *err)
{
	static int (*const by_want[])(struct composing * composing, struct error * err) = {
	    [WALLET_WANT_SOL] = want_sol,
	    [WALLET_WANT_TOKEN] = want_token,
	    [WALLET_WANT_NFT] = want_nft,
	    [WALLET_WANT_CLOSE] = want_close,
	    [WALLET_WANT_REVOKE_RECORD] = want_revoke_record,
	    [WALLET_WANT_REVOKE_TOKEN] = want_revoke_token,
	    [WALLET_WANT_INSTRUCTIONS] = want_instructions,
	};

	if (pubkey_asset_signer(composing->wanted->asset, composing->wallet, NULL) != 0)
		return refuse(err, "the agent has no wallet");
	return by_want[composing->wanted->want](composing, err);
}

/* wallet_accept speaks of a wallet that changed what a service built; here it is the other way round. */
static int say_difference(struct error *err)
{
	static const char of_wallet[] = "the wallet changed the transaction: ";
	struct error was = *err;
	const char *text = was.text;

	if (strcmp(was.reason, "tx_changed") != 0)
		return -1;
	if (strncmp(text, of_wallet, strlen(of_wallet)) == 0)
		text += strlen(of_wallet);
	return error_refuse(err, ERR_DENIED, "not_asked_for", "it differs in %s", text);
}

int wallet_wanted_check(
    const struct wallet_wanted *wanted, const struct solana_tx *tx, struct error *err)
{
	/* no more than theirs: add */
	scoped_free struct solana_instruction *list = calloc(tx->n_instructions + 1, sizeof(*list));
	struct composing composing = {
	    .wanted = wanted, .tx = tx, .list = list, .room = tx->n_instructions};
	const struct wallet_terms terms = {.max_priority_lamports = wanted->max_priority_lamports};
	uint8_t bytes[SOLANA_TX_MAX];
	struct solana_tx ours_tx;
	size_t len;

	bug_if(!list);
	if (!same(solana_tx_key(tx, 0), wanted->owner))
		return refuse(err, "another one than the owner pays its fees");
	if (compose(&composing, err) != 0)
		return -1;
	const struct solana_message message = {.version = tx->version,
	    .payer = wanted->owner,
	    .blockhash = tx->blockhash,
	    .instructions = list,
	    .n_instructions = composing.n};
	if (solana_message_compose(&message, bytes, &len, err) != 0 ||
	    solana_tx_parse(bytes, len, &ours_tx, err) != 0)
		return refuse(err, "what was asked for fits no transaction");
	return wallet_accept_unsigned(&ours_tx, tx, &terms, err) == 0 ? 0 : say_difference(err);
}
