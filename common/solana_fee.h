/* solana_fee - what a transaction costs its fee payer, from its bytes: 5,000 lamports a signature, and the price per compute unit times
 * the limit, rounded up (Solana's compute budget; limit unset: 200,000 an instruction; at most 1,400,000). An upper bound: nodes count
 * built-in programs for less when no limit is set. */
#ifndef COMMON_SOLANA_FEE_H
#define COMMON_SOLANA_FEE_H

#include "common/solana_tx.h"

#define SOLANA_SIGNATURE_FEE 5000
#define SOLANA_UNITS_MAX 1400000
#define SOLANA_UNITS_DEFAULT 200000 /* for each instruction */

struct solana_fee {
	size_t n_signatures; /* the transaction's, and those its instructions have verified */
	uint64_t unit_limit; /* as it counts */
	uint64_t unit_price; /* micro-lamports */
	bool has_limit;      /* else unit_limit is the default */
	uint64_t signature_lamports, priority_lamports;
	uint64_t lamports; /* both; UINT64_MAX if it does not fit */
};

/* ERR_INVALID, reason tx_budget: a Compute Budget instruction twice, or one that is neither limit, price, heap size nor data size, or has
 * another length; a node would not run that. */
int solana_fee_read(const struct solana_tx *tx, struct solana_fee *fee_r, struct error *err);

#endif
