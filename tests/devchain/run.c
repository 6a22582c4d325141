#include "tests/devchain/run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/solana_ix_budget.h"
#include "common/solana_program.h"
#include "tests/devchain/programs.h"

#define UNITS_PER_INSTRUCTION 200000u
#define UNITS_MAX 1400000u
#define DEPTH_MAX 4

static const struct {
	enum solana_program program;
	program_run run;
	uint64_t units;
} programs[] = {
    {SOLANA_PROGRAM_SYSTEM, program_system, 150},
    {SOLANA_PROGRAM_COMPUTE_BUDGET, program_budget, 150},
    {SOLANA_PROGRAM_TOKEN, program_token, 6200},
    {SOLANA_PROGRAM_TOKEN_2022, program_token, 6200},
    {SOLANA_PROGRAM_ASSOCIATED_TOKEN, program_associated_token, 15000},
    {SOLANA_PROGRAM_CORE, program_core, 12000},
    {SOLANA_PROGRAM_AGENT_TOOLS, program_agent_tools, 5000},
    {SOLANA_PROGRAM_LIGHTHOUSE, program_lighthouse, 1000},
};

uint64_t run_le(const uint8_t *at, size_t len)
{
	uint64_t value = 0;

	for (size_t i = len; i-- > 0;)
		value = value << 8 | at[i];
	return value;
}

void run_log(struct run *run, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (run->logs_len + strlen(line) + 4 >= sizeof(run->logs))
		return;
	run->logs_len += (size_t)snprintf(run->logs + run->logs_len,
	    sizeof(run->logs) - run->logs_len, "%s\"%s\"", run->logs_len ? "," : "", line);
}

static int fail(struct run *run, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fail(struct run *run, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(run->error, sizeof(run->error), fmt, ap);
	va_end(ap);
	return -1;
}

int run_fail(const struct invocation *in, const char *name)
{
	return fail(in->run, "{\"InstructionError\":[%zu,\"%s\"]}", in->index, name);
}

int run_fail_custom(const struct invocation *in, uint32_t code)
{
	return fail(in->run, "{\"InstructionError\":[%zu,{\"Custom\":%u}]}", in->index, code);
}

/* ---- what programs do ---- */

struct invocation_account *run_at(struct invocation *in, size_t i)
{
	if (i < in->n)
		return &in->at[i];
	run_fail(in, "NotEnoughAccountKeys");
	return NULL;
}

bool run_is_key(const struct invocation_account *account, const uint8_t *key)
{
	return memcmp(account->account->key, key, PUBKEY_LEN) == 0;
}

int run_need_signer(const struct invocation *in, const struct invocation_account *account)
{
	return account->signer ? 0 : run_fail(in, "MissingRequiredSignature");
}

int run_need_writable(const struct invocation *in, const struct invocation_account *account)
{
	return account->writable ? 0 : run_fail(in, "ReadonlyLamportChange");
}

int run_move(const struct invocation *in, struct invocation_account *from,
    struct invocation_account *to, uint64_t lamports, uint32_t code)
{
	struct account_state *source = &from->account->state, *sink = &to->account->state;

	if (run_need_writable(in, from) < 0 || run_need_writable(in, to) < 0)
		return -1;
	if (source->lamports < lamports) {
		run_log(in->run, "Transfer: insufficient lamports %llu, need %llu",
		    (unsigned long long)source->lamports, (unsigned long long)lamports);
		return run_fail_custom(in, code);
	}
	if (source == sink)
		return 0;
	if (__builtin_add_overflow(sink->lamports, lamports, &sink->lamports))
		return run_fail(in, "ArithmeticOverflow");
	source->lamports -= lamports;
	return 0;
}

static int find_program(const uint8_t *key)
{
	enum solana_program program = solana_program_of(key);

	for (size_t i = 0; i < ARRAY_LEN(programs); i++)
		if (programs[i].program == program)
			return (int)i;
	return -1;
}

static void log_failure(struct run *run, const char *program)
{
	const char *custom = strstr(run->error, "\"Custom\":");

	if (custom)
		run_log(run, "Program %s failed: custom program error: 0x%x", program,
		    (unsigned)strtoul(custom + strlen("\"Custom\":"), NULL, 10));
	else
		run_log(run, "Program %s failed", program);
}

int run_invoke(struct invocation *in)
{
	struct run *run = in->run;
	char text[PUBKEY_TEXT_MAX + 1];
	int which = find_program(in->program);

	if (which < 0)
		return run_fail(in, "UnsupportedProgramId");
	if (in->depth > DEPTH_MAX)
		return run_fail(in, "CallDepth");
	pubkey_text(in->program, text);
	run_log(run, "Program %s invoke [%u]", text, in->depth);
	run->units += programs[which].units;
	int result = run->units > run->limit ? run_fail(in, "ProgramFailedToComplete")
					     : programs[which].run(in);
	if (result < 0)
		log_failure(run, text);
	else
		run_log(run, "Program %s success", text);
	return result;
}

/* ---- the fee ---- */

struct budget {
	bool has_limit, has_price;
	uint64_t limit, price; /* micro-lamports a unit */
};

static int read_budget(struct run *run, const struct solana_tx_instruction *instruction, size_t i,
    struct budget *budget)
{
	const uint8_t *data = instruction->data;
	size_t len = instruction->data_len;
	bool *has = NULL;

	if (len >= 5 && data[0] == SOLANA_BUDGET_LIMIT) {
		has = &budget->has_limit;
		budget->limit = run_le(data + 1, 4);
	} else if (len >= 9 && data[0] == SOLANA_BUDGET_PRICE) {
		has = &budget->has_price;
		budget->price = run_le(data + 1, 8);
	} else if (len < 5 || (data[0] != 1 && data[0] != 4)) {
		return fail(run, "{\"InstructionError\":[%zu,\"InvalidInstructionData\"]}", i);
	}
	if (has && *has)
		return fail(run, "{\"DuplicateInstruction\":%zu}", i);
	if (has)
		*has = true;
	return 0;
}

int run_fee(struct run *run, const struct solana_tx *tx)
{
	struct budget budget = {0};
	uint64_t others = 0, bid = 0;

	for (size_t i = 0; i < tx->n_instructions; i++) {
		const struct solana_tx_instruction *instruction = &tx->instructions[i];

		if (solana_program_of(solana_tx_program(tx, instruction)) !=
		    SOLANA_PROGRAM_COMPUTE_BUDGET)
			others++;
		else if (read_budget(run, instruction, i, &budget) < 0)
			return -1;
	}
	run->limit = budget.has_limit ? budget.limit : others * UNITS_PER_INSTRUCTION;
	if (run->limit > UNITS_MAX)
		run->limit = UNITS_MAX;
	if (__builtin_mul_overflow(budget.price, run->limit, &bid))
		bid = UINT64_MAX - 1000000;
	run->fee = tx->n_signers * RUN_FEE_PER_SIGNATURE + (bid + 999999) / 1000000;
	return 0;
}

static bool is_system(const struct account_state *state)
{
	return memcmp(state->program, solana_program_key(SOLANA_PROGRAM_SYSTEM), PUBKEY_LEN) == 0;
}

static int charge(struct run *run)
{
	struct account_state *payer = &run->account[0].state;

	if (payer->lamports == 0)
		return fail(run, "\"AccountNotFound\"");
	if (!is_system(payer) || payer->len > 0)
		return fail(run, "\"InvalidAccountForFee\"");
	if (payer->lamports < run->fee)
		return fail(run, "\"InsufficientFundsForFee\"");
	uint64_t rest = payer->lamports - run->fee;
	if (rest > 0 && rest < rent_exempt(0) && payer->lamports >= rent_exempt(0))
		return fail(run, "{\"InsufficientFundsForRent\":{\"account_index\":0}}");
	payer->lamports = rest;
	run->charged = true;
	return 0;
}

/* ---- the whole ---- */

static void load(
    struct run *run, const struct solana_tx *tx, const struct chain *chain, uint64_t slot)
{
	run->n = tx->n_keys;
	for (size_t i = 0; i < run->n; i++) {
		struct run_account *account = &run->account[i];
		const struct account_state *state;

		memcpy(account->key, solana_tx_key(tx, i), PUBKEY_LEN);
		account->signer = solana_tx_is_signer(tx, i);
		account->writable = solana_tx_is_writable(tx, i);
		state = account_at(chain_find(chain, account->key), slot);
		if (!state)
			continue;
		account_state_copy(state, &account->before);
		account_state_copy(state, &account->state);
	}
}

static int run_instruction(struct run *run, const struct solana_tx *tx, size_t i)
{
	const struct solana_tx_instruction *instruction = &tx->instructions[i];
	struct invocation in = {.run = run,
	    .depth = 1,
	    .index = i,
	    .program = solana_tx_program(tx, instruction),
	    .data = instruction->data,
	    .len = instruction->data_len};

	if (instruction->n_accounts > ARRAY_LEN(in.at))
		return run_fail(&in, "MaxAccountsExceeded");
	for (size_t a = 0; a < instruction->n_accounts; a++) {
		struct run_account *account = &run->account[instruction->accounts[a]];
		in.at[in.n++] =
		    (struct invocation_account){account, account->signer, account->writable};
	}
	return run_invoke(&in);
}

static bool pays_rent(const struct account_state *state)
{
	return state->lamports > 0 && state->lamports < rent_exempt(state->len);
}

/* Exempt or gone; what paid rent before may stay, not grow. */
static int check_rent(struct run *run)
{
	for (size_t i = 0; i < run->n; i++) {
		const struct run_account *account = &run->account[i];
		bool stays = pays_rent(&account->before) &&
			     account->before.len == account->state.len &&
			     account->before.lamports >= account->state.lamports;

		if (account->writable && pays_rent(&account->state) && !stays)
			return fail(
			    run, "{\"InsufficientFundsForRent\":{\"account_index\":%zu}}", i);
	}
	return 0;
}

/* What is gone is forgotten whole, as at the end of a real transaction. */
static void sweep_empty(struct run *run)
{
	for (size_t i = 0; i < run->n; i++)
		if (run->account[i].state.lamports == 0)
			account_state_clear(&run->account[i].state);
}

static void undo(struct run *run)
{
	for (size_t i = 0; i < run->n; i++) {
		account_state_clear(&run->account[i].state);
		account_state_copy(&run->account[i].before, &run->account[i].state);
	}
	run->account[0].state.lamports -= run->fee;
}

static int check_programs(struct run *run, const struct solana_tx *tx)
{
	for (size_t i = 0; i < tx->n_instructions; i++)
		if (find_program(solana_tx_program(tx, &tx->instructions[i])) < 0)
			return fail(run, "\"ProgramAccountNotFound\"");
	return 0;
}

static int run_all(struct run *run, const struct solana_tx *tx)
{
	for (size_t i = 0; i < tx->n_instructions; i++)
		if (run_instruction(run, tx, i) < 0)
			return -1;
	sweep_empty(run);
	return check_rent(run);
}

void run_transaction(
    struct run *run, const struct solana_tx *tx, const struct chain *chain, uint64_t slot)
{
	memset(run, 0, sizeof(*run));
	load(run, tx, chain, slot);
	if (run_fee(run, tx) < 0 || charge(run) < 0)
		return;
	if (check_programs(run, tx) < 0 || run_all(run, tx) < 0)
		undo(run);
}

void run_close(struct run *run)
{
	for (size_t i = 0; i < run->n; i++) {
		account_state_clear(&run->account[i].before);
		account_state_clear(&run->account[i].state);
	}
	run->n = 0;
}
