/* run - one transaction on a copy of the accounts it names: its programs, its fee, the rules of rent. Changes nothing outside itself.
 *
 * Errors are those of a real node, as JSON text (TransactionError): what the transaction as a whole breaks, or InstructionError with a name, or
 * with the program's own code (solana-wire.md 3.2). What a failed transaction changed is undone, but for the fee.
 */
#ifndef DEVCHAIN_RUN_H
#define DEVCHAIN_RUN_H

#include "common/solana_tx.h"
#include "tests/devchain/chain.h"

#define RUN_LOGS_MAX 6000
#define RUN_ERROR_MAX 128
#define RUN_FEE_PER_SIGNATURE 5000u

struct run_account {
	uint8_t key[PUBKEY_LEN];
	bool signer, writable;
	struct account_state before, state; /* owned */
};
struct run {
	size_t n;
	struct run_account account[SOLANA_KEYS_MAX];
	char error[RUN_ERROR_MAX]; /* "": none */
	bool charged;              /* the fee is paid, and it is in a block, failed or not */
	uint64_t fee, units, limit;
	char logs[RUN_LOGS_MAX]; /* JSON strings with commas between */
	size_t logs_len;
};

/* The programs of the transaction on the accounts as they are at the end of slot (UINT64_MAX: with all that is under way). Caller closes. Signatures,
 * blockhash and repetition are the caller's business. */
void run_transaction(
    struct run *run, const struct solana_tx *tx, const struct chain *chain, uint64_t slot);
void run_close(struct run *run);
/* The fee; -1 and an error: the compute budget's instructions contradict each other. */
int run_fee(struct run *run, const struct solana_tx *tx);

/* ---- for programs ---- */

struct invocation_account {
	struct run_account *account;
	bool signer, writable;
};
struct invocation {
	struct run *run;
	unsigned depth;
	size_t index; /* of the transaction's instruction */
	const uint8_t *program;
	size_t n;
	struct invocation_account at[SOLANA_KEYS_MAX * 2];
	const uint8_t *data;
	size_t len;
};
typedef int (*program_run)(struct invocation *in);

/* Runs the program an invocation names. 0, or -1 after one of the next two. */
int run_invoke(struct invocation *in);
/* InstructionError with a name, or with the program's code. -1. */
int run_fail(const struct invocation *in, const char *name);
int run_fail_custom(const struct invocation *in, uint32_t code);
void run_log(struct run *run, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The account at a place; NULL after NotEnoughAccountKeys. */
struct invocation_account *run_at(struct invocation *in, size_t i);
bool run_is_key(const struct invocation_account *account, const uint8_t *key);
/* -1 with MissingRequiredSignature, ReadonlyLamportChange. */
int run_need_signer(const struct invocation *in, const struct invocation_account *account);
int run_need_writable(const struct invocation *in, const struct invocation_account *account);
/* Of accounts that are writable; -1 with code if there is not so much. */
int run_move(const struct invocation *in, struct invocation_account *from,
    struct invocation_account *to, uint64_t lamports, uint32_t code);

uint64_t run_le(const uint8_t *at, size_t len);

#endif
