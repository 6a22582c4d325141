/* What an owner's wallet may change of a transaction and what not: each refusal by itself, then 20,000 mutants, none of which is taken, half of them where
 * Lighthouse's assertions are allowed, as by default. A mutant that means the same (another compute budget within the limit) is never made; none is excused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "common/shortvec.h"
#include "common/wallet_accept.h"
#include "tests/unit/common/solana_world.h"

#define MAX_PRIORITY 100000 /* lamports */
#define MUTANTS 20000
#define INSTRUCTIONS 8

/* A transaction before it is bytes, so that it can be changed and composed again. */
struct draft {
	enum solana_version version;
	uint8_t payer[PUBKEY_LEN], blockhash[SOLANA_BLOCKHASH_LEN];
	struct solana_instruction ix[INSTRUCTIONS];
	size_t n;
};

static struct world world;

static int init(void **state)
{
	(void)state;
	if (sodium_init() < 0)
		return -1;
	world_open(&world);
	return 0;
}

static void add(struct draft *draft, const struct solana_instruction *ix)
{
	draft->ix[draft->n++] = *ix;
}

static void insert(struct draft *draft, size_t at, const struct solana_instruction *ix)
{
	memmove(&draft->ix[at + 1], &draft->ix[at], (draft->n - at) * sizeof(*ix));
	draft->ix[at] = *ix;
	draft->n++;
}

static void take_out(struct draft *draft, size_t at)
{
	draft->n--;
	memmove(&draft->ix[at], &draft->ix[at + 1], (draft->n - at) * sizeof(draft->ix[0]));
}

static void add_wrapped(struct draft *draft, const struct solana_instruction *inner)
{
	const struct solana_core_execute execute = {.asset = world.asset,
	    .collection = world.collection,
	    .payer = draft->payer,
	    .authority = memcmp(draft->payer, world.owner, PUBKEY_LEN) ? world.owner : NULL};
	struct solana_instruction ix;

	assert_int_equal(solana_ix_core_execute(&execute, inner, &ix, NULL), 0);
	add(draft, &ix);
}

#define DRAFTS 6
/* SOL, legacy and v0; with a budget; a token with its account, with a budget; SOL paid by the service; SOL twice */
static struct draft draft_of(size_t kind)
{
	struct draft draft = {.version = kind % 2 ? SOLANA_V0 : SOLANA_LEGACY};
	const uint8_t *token = solana_program_key(SOLANA_PROGRAM_TOKEN);
	const struct solana_token_transfer transfer = {
	    token, world.mint, world.mallory, world.collection, world.pda, 1500000, 6};
	struct solana_instruction ix;

	memcpy(draft.blockhash, world.blockhash, sizeof(draft.blockhash));
	memcpy(draft.payer, kind == 4 ? world.service : world.owner, PUBKEY_LEN);
	if (kind == 2 || kind == 3) {
		solana_ix_budget_limit(60000, &ix);
		add(&draft, &ix);
		solana_ix_budget_price(1000, &ix);
		add(&draft, &ix);
	}
	if (kind == 3) {
		solana_ix_token_create_account(
		    token, world.pda, world.destination, world.mint, &ix);
		add_wrapped(&draft, &ix);
		solana_ix_token_transfer(&transfer, &ix);
		add_wrapped(&draft, &ix);
		return draft;
	}
	solana_ix_system_transfer(world.pda, world.destination, WORLD_LAMPORTS, &ix);
	add_wrapped(&draft, &ix);
	if (kind == 5) {
		solana_ix_system_transfer(world.pda, world.service, 1, &ix);
		add_wrapped(&draft, &ix);
	}
	return draft;
}

static struct raw compose(const struct draft *draft)
{
	const struct solana_message message = {
	    draft->version, draft->payer, draft->blockhash, draft->ix, draft->n};
	struct raw raw = {.len = 0};
	struct error err;

	if (solana_message_compose(&message, raw.data, &raw.len, &err) != 0)
		fail_msg("%s", err.text);
	world_sign(&raw);
	return raw;
}

static int judge_with(
    const struct raw *built, const struct raw *returned, bool lighthouse, struct error *err)
{
	const struct wallet_terms terms = {MAX_PRIORITY, lighthouse};
	struct solana_tx a, b;

	assert_int_equal(solana_tx_parse(built->data, built->len, &a, NULL), 0);
	if (solana_tx_parse(returned->data, returned->len, &b, err) != 0)
		return -1;
	return wallet_accept(&a, &b, &terms, err);
}

static void accepts(const struct draft *built, const struct draft *returned, bool lighthouse)
{
	struct raw a = compose(built), b = compose(returned);
	struct error err = {.code = ERR_NONE};

	if (judge_with(&a, &b, lighthouse, &err) != 0)
		fail_msg("%s: %s", err.reason, err.text);
}

static void refuses(const struct draft *built, const struct draft *returned, bool lighthouse,
    enum error_code code, const char *reason)
{
	struct raw a = compose(built), b = compose(returned);
	struct error err = {.code = ERR_NONE};

	assert_int_equal(judge_with(&a, &b, lighthouse, &err), -1);
	assert_string_equal(err.reason, reason);
	assert_int_equal(err.code, code);
}

static void accepts_what_was_built_once_it_is_signed(void **state)
{
	(void)state;
	for (size_t kind = 0; kind < DRAFTS; kind++) {
		struct draft built = draft_of(kind);
		accepts(&built, &built, false);
	}
}

static void accepts_a_budget_put_in_taken_out_or_replaced(void **state)
{
	struct solana_instruction limit, price;

	(void)state;
	solana_ix_budget_limit(100000, &limit);
	solana_ix_budget_price(MAX_PRIORITY * 10, &price); /* exactly the maximum */
	for (size_t kind = 0; kind < DRAFTS; kind++) {
		struct draft built = draft_of(kind), returned = built;
		if (kind == 2 || kind == 3) {
			take_out(&returned, 0);
			take_out(&returned, 0);
			accepts(&built, &returned, false);
		}
		insert(&returned, 0, &price);
		add(&returned, &limit);
		accepts(&built, &returned, false);
		limit.data[0] = SOLANA_BUDGET_DATA_SIZE;
		add(&returned, &limit);
		accepts(&built, &returned, false);
		add(&returned, &limit);
		refuses(&built, &returned, false, ERR_INVALID, "tx_budget");
		limit.data[0] = SOLANA_BUDGET_LIMIT;
	}
}

static void lighthouse(
    uint8_t number, const uint8_t *key, enum solana_flags flags, struct solana_instruction *ix)
{
	solana_instruction_init(ix, solana_program_key(SOLANA_PROGRAM_LIGHTHOUSE));
	solana_instruction_account(ix, key, flags);
	solana_instruction_number(ix, number, 1);
	solana_instruction_number(ix, 0, 4);
}

static void accepts_assertions_only_if_told_to(void **state)
{
	struct draft built = draft_of(0), returned = built;
	struct solana_instruction ix;

	(void)state;
	lighthouse(5, world.owner, SOLANA_READ, &ix);
	insert(&returned, 0, &ix);
	lighthouse(2, world.mint, SOLANA_READ, &ix);
	add(&returned, &ix);
	accepts(&built, &returned, true);
	refuses(&built, &returned, false, ERR_DENIED, "tx_changed");
}

static void refuses_of_lighthouse_what_is_no_assertion(void **state)
{
	struct draft built = draft_of(0), returned;
	struct solana_instruction ix;

	(void)state;
	for (unsigned number = 0; number < 256; number++) {
		if (number >= 2 && number <= 15)
			continue;
		returned = built;
		lighthouse((uint8_t)number, world.owner, SOLANA_READ, &ix);
		add(&returned, &ix);
		refuses(&built, &returned, true, ERR_DENIED, "tx_changed");
	}
	/* one that would write, or have a new signer, or has no number */
	returned = built;
	lighthouse(5, world.mint, SOLANA_WRITE, &ix);
	add(&returned, &ix);
	refuses(&built, &returned, true, ERR_DENIED, "tx_changed");
	returned.n--;
	lighthouse(5, world.mallory, SOLANA_SIGN, &ix);
	add(&returned, &ix);
	refuses(&built, &returned, true, ERR_DENIED, "tx_changed");
	returned.n--;
	ix.data_len = 0;
	ix.n_accounts = 0;
	add(&returned, &ix);
	refuses(&built, &returned, true, ERR_DENIED, "tx_changed");
}

static void refuses_more_assertions_than_a_wallet_needs(void **state)
{
	struct draft built = draft_of(0);
	struct solana_instruction ix[WALLET_LIGHTHOUSE_MAX + 2];
	struct error err;

	(void)state;
	ix[0] = built.ix[0];
	for (size_t i = 1; i < ARRAY_LEN(ix); i++)
		lighthouse(5, world.owner, SOLANA_READ, &ix[i]);
	struct raw a = compose(&built),
		   b = world_compose(&world, SOLANA_LEGACY, world.owner, ix, ARRAY_LEN(ix) - 1);
	world_sign(&b);
	assert_int_equal(judge_with(&a, &b, true, &err), 0);
	b = world_compose(&world, SOLANA_LEGACY, world.owner, ix, ARRAY_LEN(ix));
	world_sign(&b);
	assert_int_equal(judge_with(&a, &b, true, &err), -1);
	assert_string_equal(err.reason, "tx_changed");
}

static void refuses_a_priority_fee_above_the_maximum(void **state)
{
	struct draft built = draft_of(0), returned = built;
	struct solana_instruction limit, price;

	(void)state;
	solana_ix_budget_limit(100000, &limit);
	solana_ix_budget_price(MAX_PRIORITY * 10 + 1, &price);
	add(&returned, &limit);
	add(&returned, &price);
	refuses(&built, &returned, false, ERR_DENIED, "tx_fee");
	solana_ix_budget_price(UINT64_MAX, &price);
	returned.ix[returned.n - 1] = price;
	refuses(&built, &returned, false, ERR_DENIED, "tx_fee");
	/* no limit: what a node takes then counts */
	returned = built;
	solana_ix_budget_price(500001, &price);
	add(&returned, &price);
	refuses(&built, &returned, false, ERR_DENIED, "tx_fee");
}

static void refuses_a_budget_that_is_none(void **state)
{
	struct draft built = draft_of(0), returned = built;
	struct solana_instruction ix;

	(void)state;
	solana_ix_budget_limit(100000, &ix);
	add(&returned, &ix);
	add(&returned, &ix);
	refuses(&built, &returned, false, ERR_INVALID, "tx_budget");
	returned.n = built.n;
	solana_instruction_number(&ix, 0, 1);
	add(&returned, &ix);
	refuses(&built, &returned, false, ERR_INVALID, "tx_budget");
	returned.n = built.n;
	solana_ix_budget_limit(100000, &ix);
	ix.data[0] = 1; /* heap size */
	add(&returned, &ix);
	refuses(&built, &returned, false, ERR_DENIED, "tx_changed");
	returned.n = built.n;
	solana_ix_budget_limit(100000, &ix);
	solana_instruction_account(&ix, world.owner, SOLANA_READ);
	add(&returned, &ix);
	refuses(&built, &returned, false, ERR_DENIED, "tx_changed");
}

static void refuses_what_is_not_signed_by_its_signers(void **state)
{
	struct draft built = draft_of(4);
	struct raw a = compose(&built), b;
	struct error err;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		b = a;
		memset(b.data + 1 + i * SIGNATURE_LEN, 0, SIGNATURE_LEN);
		assert_int_equal(judge_with(&a, &b, false, &err), -1);
		assert_string_equal(err.reason, "tx_signature");
	}
	/* right signatures in the wrong places */
	b = a;
	memcpy(b.data + 1, a.data + 1 + SIGNATURE_LEN, SIGNATURE_LEN);
	memcpy(b.data + 1 + SIGNATURE_LEN, a.data + 1, SIGNATURE_LEN);
	assert_int_equal(judge_with(&a, &b, false, &err), -1);
	assert_string_equal(err.reason, "tx_signature");
}

/* Both sign and are written, so nothing else tells that they changed places. */
static void refuses_another_signer_as_the_fee_payer(void **state)
{
	struct draft built = draft_of(4), returned;

	(void)state;
	for (size_t i = 0; i < built.ix[0].n_accounts; i++)
		if (memcmp(built.ix[0].accounts[i].key, world.owner, PUBKEY_LEN) == 0)
			built.ix[0].accounts[i].flags = SOLANA_SIGN_WRITE;
	accepts(&built, &built, false);
	returned = built;
	memcpy(returned.payer, world.owner, PUBKEY_LEN);
	refuses(&built, &returned, false, ERR_DENIED, "tx_changed");
}

static void refuses_a_key_that_no_instruction_names(void **state)
{
	struct draft draft = draft_of(0);
	struct raw built = compose(&draft), returned = built;
	struct solana_tx tx;
	struct error err;

	(void)state;
	assert_int_equal(solana_tx_parse(built.data, built.len, &tx, NULL), 0);
	size_t count = (size_t)(tx.keys - built.data) - 1,
	       blockhash = (size_t)(tx.blockhash - built.data);
	memmove(
	    returned.data + blockhash + PUBKEY_LEN, built.data + blockhash, built.len - blockhash);
	memcpy(returned.data + blockhash, world.mallory, PUBKEY_LEN);
	returned.len += PUBKEY_LEN;
	returned.data[count]++;
	returned.data[count - 1]++; /* read-only */
	world_sign(&returned);
	assert_int_equal(judge_with(&built, &returned, true, &err), -1);
	assert_string_equal(err.reason, "tx_changed");
}

static void refuses_anything_for_nothing_built(void **state)
{
	struct draft built = draft_of(2);

	(void)state;
	built.n = 2; /* a budget for nothing */
	refuses(&built, &built, false, ERR_DENIED, "tx_changed");
}

/* ---- mutants ---- */

static uint64_t drawn;
static bool lighthouse_is_on;

static uint32_t draw(uint32_t below)
{
	/* splitmix64: the same mutants at every run */
	uint64_t z = drawn += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)((z ^ z >> 31) % below);
}

static bool is_budget(const struct solana_instruction *ix)
{
	return solana_program_of(ix->program) == SOLANA_PROGRAM_COMPUTE_BUDGET;
}

/* One that was built and must come back as it is. */
static struct solana_instruction *draw_built(struct draft *draft)
{
	for (;;) {
		struct solana_instruction *ix = &draft->ix[draw((uint32_t)draft->n)];
		if (!is_budget(ix))
			return ix;
	}
}

/* Each changes the draft so that it no longer means the same, or returns false if this one cannot be changed so. */
static bool extra_instruction(struct draft *draft)
{
	struct solana_instruction ix;

	switch (draw(5)) {
	case 0:
		solana_ix_system_transfer(world.owner, world.mallory, 1 + draw(1000), &ix);
		break;
	case 1:
		ix = *draw_built(draft); /* what was built, once more */
		break;
	case 2:
		solana_ix_budget_price(
		    600000 + draw(1000), &ix); /* 0.12 SOL at least, or a second one */
		break;
	case 3: { /* where assertions are allowed, one that is none, or that somebody else would have to sign */
		uint8_t number = (uint8_t)draw(20);
		bool is_assertion = number >= 2 && number <= 15;
		lighthouse(number, lighthouse_is_on && is_assertion ? world.mallory : world.owner,
		    lighthouse_is_on && is_assertion ? SOLANA_SIGN : SOLANA_READ, &ix);
		break;
	}
	default:
		solana_instruction_init(&ix, world.mallory);
		break;
	}
	/* (a price that a limit bounds is only refused if it comes twice, which it does where there is a limit) */
	insert(draft, draw((uint32_t)draft->n + 1), &ix);
	return true;
}

static bool missing_instruction(struct draft *draft)
{
	take_out(draft, (size_t)(draw_built(draft) - draft->ix));
	return draft->n > 0;
}

static bool reordered_instructions(struct draft *draft)
{
	struct solana_instruction *a = draw_built(draft), *b = draw_built(draft), kept = *a;

	if (a == b)
		return false;
	*a = *b;
	*b = kept;
	return true;
}

static bool reordered_accounts(struct draft *draft)
{
	struct solana_instruction *ix = draw_built(draft);
	struct solana_account *a = &ix->accounts[draw((uint32_t)ix->n_accounts)],
			      *b = &ix->accounts[draw((uint32_t)ix->n_accounts)], kept = *a;

	if (memcmp(a->key, b->key, PUBKEY_LEN) == 0)
		return false;
	*a = *b;
	*b = kept;
	return true;
}

static bool another_account(struct draft *draft)
{
	struct solana_instruction *ix = draw_built(draft);
	const uint8_t *others[] = {world.mallory, world.standalone, world.owner, world.pda};
	const uint8_t *other = others[draw(ARRAY_LEN(others))];
	uint8_t *key = ix->accounts[draw((uint32_t)ix->n_accounts)].key;

	if (memcmp(key, other, PUBKEY_LEN) == 0)
		return false;
	memcpy(key, other, PUBKEY_LEN);
	return true;
}

static bool more_or_fewer_accounts(struct draft *draft)
{
	struct solana_instruction *ix = draw_built(draft);

	if (draw(2))
		ix->n_accounts--;
	else
		solana_instruction_account(ix, world.mallory, draw(4));
	return true;
}

static bool another_program(struct draft *draft)
{
	memcpy(draw_built(draft)->program, draw(2) ? world.mallory : world.asset, PUBKEY_LEN);
	return true;
}

static bool other_data(struct draft *draft)
{
	struct solana_instruction *ix = draw_built(draft);

	switch (draw(3)) {
	case 0:
		ix->data[draw((uint32_t)ix->data_len)] ^= (uint8_t)(1 + draw(255));
		break;
	case 1:
		ix->data_len = draw((uint32_t)ix->data_len);
		break;
	default:
		solana_instruction_number(ix, draw(256), 1);
	}
	return true;
}

/* A flag that no other mention of the key gives it already. */
static bool raised_flag(struct draft *draft)
{
	struct solana_instruction *ix = draw_built(draft);
	struct solana_account *account = &ix->accounts[draw((uint32_t)ix->n_accounts)];
	unsigned all = memcmp(account->key, draft->payer, PUBKEY_LEN) == 0 ? SOLANA_SIGN_WRITE : 0;
	enum solana_flags flag = draw(2) ? SOLANA_WRITE : SOLANA_SIGN;

	for (size_t i = 0; i < draft->n; i++)
		for (size_t n = 0; n < draft->ix[i].n_accounts; n++)
			if (memcmp(draft->ix[i].accounts[n].key, account->key, PUBKEY_LEN) == 0)
				all |= draft->ix[i].accounts[n].flags;
	account->flags |= flag;
	return !(all & flag);
}

/* All mentions of a key lose a flag. */
static bool lowered_flag(struct draft *draft)
{
	struct solana_instruction *ix = draw_built(draft);
	uint8_t key[PUBKEY_LEN];
	enum solana_flags flag = draw(2) ? SOLANA_WRITE : SOLANA_SIGN;
	bool had = false;

	memcpy(key, ix->accounts[draw((uint32_t)ix->n_accounts)].key, PUBKEY_LEN);
	if (memcmp(key, draft->payer, PUBKEY_LEN) == 0)
		return false;
	for (size_t i = 0; i < draft->n; i++)
		for (size_t n = 0; n < draft->ix[i].n_accounts; n++) {
			struct solana_account *account = &draft->ix[i].accounts[n];
			if (memcmp(account->key, key, PUBKEY_LEN) != 0)
				continue;
			had |= account->flags & flag;
			account->flags &= ~(unsigned)flag;
		}
	return had;
}

static bool swapped_blockhash(struct draft *draft)
{
	draft->blockhash[draw(SOLANA_BLOCKHASH_LEN)] ^= (uint8_t)(1 + draw(255));
	return true;
}

static bool another_payer(struct draft *draft)
{
	memcpy(draft->payer, world.mallory, PUBKEY_LEN);
	return true;
}

static bool another_version(struct draft *draft)
{
	draft->version = draft->version == SOLANA_V0 ? SOLANA_LEGACY : SOLANA_V0;
	return true;
}

static bool second_signer(struct draft *draft)
{
	struct solana_instruction ix;

	/* in an instruction that could be added */
	solana_ix_budget_limit(200000, &ix);
	solana_instruction_account(&ix, world.mallory, draw(2) ? SOLANA_SIGN : SOLANA_SIGN_WRITE);
	if (is_budget(&draft->ix[0]))
		draft->ix[0] = ix;
	else
		add(draft, &ix);
	return true;
}

/* Is a byte of the raw transaction part of a budget's data? A change there may mean the same. */
static bool in_budget(const struct raw *raw, size_t at)
{
	struct solana_tx tx;

	assert_int_equal(solana_tx_parse(raw->data, raw->len, &tx, NULL), 0);
	for (size_t i = 0; i < tx.n_instructions; i++) {
		const struct solana_tx_instruction *ix = &tx.instructions[i];
		size_t begin = (size_t)(ix->data - raw->data);
		if (solana_program_of(solana_tx_program(&tx, ix)) ==
			SOLANA_PROGRAM_COMPUTE_BUDGET &&
		    at >= begin && at < begin + ix->data_len)
			return true;
	}
	return false;
}

/* Likewise on bytes. Signed anew after a change of the message, as a wallet would, or not. */
static bool flipped_bits(struct raw *raw)
{
	size_t n = 1 + draw(3), message = 1 + raw->data[0] * (size_t)SIGNATURE_LEN;
	struct raw was = *raw;
	bool in_message = true;

	for (size_t i = 0; i < n; i++) {
		size_t at = draw((uint32_t)raw->len);
		if (in_budget(&was, at))
			return false;
		in_message &= at >= message;
		raw->data[at] ^= (uint8_t)(1U << draw(8));
	}
	if (in_message && draw(2))
		world_sign(raw);
	return true;
}

static bool truncated(struct raw *raw)
{
	raw->len = draw((uint32_t)raw->len);
	return true;
}

static bool oversize(struct raw *raw)
{
	size_t len = draw(2) ? raw->len + 1 + draw(8) : SOLANA_TX_MAX + 1 + draw(64);

	while (raw->len < len)
		raw->data[raw->len++] = (uint8_t)draw(256);
	return true;
}

/* Any count, written longer than it has to be. */
static bool longer_count(struct raw *raw)
{
	struct solana_tx tx;
	size_t counts[3 + 2 * INSTRUCTIONS], n = 0;

	assert_int_equal(solana_tx_parse(raw->data, raw->len, &tx, NULL), 0);
	counts[n++] = 0;
	counts[n++] = (size_t)(tx.keys - raw->data) - 1;
	counts[n++] = (size_t)(tx.blockhash - raw->data) + SOLANA_BLOCKHASH_LEN;
	for (size_t i = 0; i < tx.n_instructions; i++) {
		counts[n++] = (size_t)(tx.instructions[i].accounts - raw->data) - 1;
		counts[n++] = (size_t)(tx.instructions[i].data - raw->data) - 1;
	}
	size_t at = counts[draw((uint32_t)n)], more = 1 + draw(2);
	memmove(raw->data + at + more, raw->data + at, raw->len - at);
	raw->data[at] = raw->data[at + more] | 0x80;
	memset(raw->data + at + 1, 0x80, more);
	raw->data[at + more] = 0;
	raw->len += more;
	return true;
}

/* v0 with a lookup table that adds nothing, one, or more. */
static bool lookup_table(struct raw *raw)
{
	struct solana_tx tx;
	size_t n_writable = draw(3), n_readonly = draw(3);

	assert_int_equal(solana_tx_parse(raw->data, raw->len, &tx, NULL), 0);
	if (tx.version != SOLANA_V0)
		return false;
	raw->data[raw->len - 1] = 1;
	memcpy(raw->data + raw->len, world.mallory, PUBKEY_LEN);
	raw->len += PUBKEY_LEN;
	raw->data[raw->len++] = (uint8_t)n_writable;
	for (size_t i = 0; i < n_writable; i++)
		raw->data[raw->len++] = (uint8_t)draw(256);
	raw->data[raw->len++] = (uint8_t)n_readonly;
	for (size_t i = 0; i < n_readonly; i++)
		raw->data[raw->len++] = (uint8_t)draw(256);
	return true;
}

/* Two keys change places and the indexes stay: every instruction that names them means another. */
static bool swapped_keys(struct raw *raw)
{
	struct solana_tx tx;
	uint8_t kept[PUBKEY_LEN];

	assert_int_equal(solana_tx_parse(raw->data, raw->len, &tx, NULL), 0);
	uint8_t *keys = raw->data + (tx.keys - raw->data);
	size_t a = draw((uint32_t)tx.n_keys), b = draw((uint32_t)tx.n_keys);
	if (a == b)
		return false;
	memcpy(kept, keys + a * PUBKEY_LEN, PUBKEY_LEN);
	memcpy(keys + a * PUBKEY_LEN, keys + b * PUBKEY_LEN, PUBKEY_LEN);
	memcpy(keys + b * PUBKEY_LEN, kept, PUBKEY_LEN);
	world_sign(raw);
	return true;
}

/* The signatures of another transaction by the same signers. */
static bool borrowed_signature(struct raw *raw)
{
	struct raw other = *raw;

	other.data[other.len - 20] ^= 1;
	world_sign(&other);
	memcpy(raw->data, other.data, 1 + raw->data[0] * (size_t)SIGNATURE_LEN);
	return memcmp(raw->data, other.data, raw->len) != 0;
}

static const struct {
	const char *name;
	bool (*draft)(struct draft *draft);
	bool (*raw)(struct raw *raw);
} mutations[] = {
    {"extra instruction", extra_instruction, NULL},
    {"missing instruction", missing_instruction, NULL},
    {"reordered instructions", reordered_instructions, NULL},
    {"reordered accounts", reordered_accounts, NULL},
    {"another account", another_account, NULL},
    {"more or fewer accounts", more_or_fewer_accounts, NULL},
    {"another program", another_program, NULL},
    {"other data", other_data, NULL},
    {"raised flag", raised_flag, NULL},
    {"lowered flag", lowered_flag, NULL},
    {"swapped blockhash", swapped_blockhash, NULL},
    {"another payer", another_payer, NULL},
    {"another version", another_version, NULL},
    {"second signer", second_signer, NULL},
    {"flipped bits", NULL, flipped_bits},
    {"flipped bits", NULL, flipped_bits},
    {"flipped bits", NULL, flipped_bits},
    {"truncated", NULL, truncated},
    {"oversize", NULL, oversize},
    {"longer count", NULL, longer_count},
    {"lookup table", NULL, lookup_table},
    {"swapped keys", NULL, swapped_keys},
    {"borrowed signature", NULL, borrowed_signature},
};

static bool mutate(size_t kind, const struct draft *built, struct raw *raw_r)
{
	struct draft draft = *built;

	if (mutations[kind].draft && !mutations[kind].draft(&draft))
		return false;
	*raw_r = compose(&draft);
	return !mutations[kind].raw || mutations[kind].raw(raw_r);
}

static void takes_no_mutant(void **state)
{
	struct draft built[DRAFTS];
	struct raw raw[DRAFTS];
	size_t made[2][ARRAY_LEN(mutations)] = {0}, n = 0;

	(void)state;
	for (size_t i = 0; i < DRAFTS; i++) {
		struct error err;
		built[i] = draft_of(i);
		raw[i] = compose(&built[i]);
		assert_int_equal(judge_with(&raw[i], &raw[i], false, &err), 0);
	}
	for (uint64_t seed = 0; n < MUTANTS; seed++) {
		size_t which = seed % DRAFTS, kind = seed / DRAFTS % ARRAY_LEN(mutations);
		struct error err = {.code = ERR_NONE};
		struct raw mutant;
		drawn = seed;
		lighthouse_is_on = seed / DRAFTS / ARRAY_LEN(mutations) % 2;
		if (!mutate(kind, &built[which], &mutant))
			continue;
		if (judge_with(&raw[which], &mutant, lighthouse_is_on, &err) == 0)
			fail_msg("mutant %llu of transaction %zu is taken: %s",
			    (unsigned long long)seed, which, mutations[kind].name);
		assert_true(err.code == ERR_INVALID || err.code == ERR_DENIED);
		assert_true(err.reason[0] && err.text[0]);
		made[lighthouse_is_on][kind]++;
		n++;
	}
	for (size_t kind = 0; kind < ARRAY_LEN(mutations); kind++)
		for (size_t is_on = 0; is_on < 2; is_on++)
			if (made[is_on][kind] < 50)
				fail_msg(
				    "only %zu of: %s", made[is_on][kind], mutations[kind].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(accepts_what_was_built_once_it_is_signed),
	    cmocka_unit_test(accepts_a_budget_put_in_taken_out_or_replaced),
	    cmocka_unit_test(accepts_assertions_only_if_told_to),
	    cmocka_unit_test(refuses_of_lighthouse_what_is_no_assertion),
	    cmocka_unit_test(refuses_more_assertions_than_a_wallet_needs),
	    cmocka_unit_test(refuses_a_priority_fee_above_the_maximum),
	    cmocka_unit_test(refuses_a_budget_that_is_none),
	    cmocka_unit_test(refuses_what_is_not_signed_by_its_signers),
	    cmocka_unit_test(refuses_another_signer_as_the_fee_payer),
	    cmocka_unit_test(refuses_a_key_that_no_instruction_names),
	    cmocka_unit_test(refuses_anything_for_nothing_built),
	    cmocka_unit_test(takes_no_mutant),
	};

	return cmocka_run_group_tests(tests, init, NULL);
}
