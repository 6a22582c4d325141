/* wallet_summary - what a transaction does, for people, from its bytes alone: a line for each instruction, looking through Metaplex Core's
 * ExecuteV1 into what it wraps, then who pays which fees and who signs. Service and command line show the same, and whoever signs makes it
 * anew from what is signed. Nothing is left out: what is not known here to the last byte and account is called an unknown instruction.
 *
 * A line that asks for a second look is a warning: something unknown, something that hands over control, money that is not the agent's, a
 * recipient that is off the curve (a program's address; nobody has its key) or that the transaction does not name. */
#ifndef COMMON_WALLET_SUMMARY_H
#define COMMON_WALLET_SUMMARY_H

#include "common/solana_tx.h"

#define WALLET_LINE_MAX 640
#define WALLET_LINES_MAX (SOLANA_INSTRUCTIONS_MAX + SOLANA_SIGNATURES_MAX + 4)

struct wallet_line {
	bool warning;
	char text[WALLET_LINE_MAX]; /* ASCII, one line */
};

struct wallet_summary {
	struct wallet_line lines[WALLET_LINES_MAX];
	size_t n_lines;
	bool warning; /* any line is one */
};

/* What the reader knows already; it only names what the bytes confirm. All borrowed, all optional. */
struct wallet_hints {
	const uint8_t *asset; /* whose wallet is meant; another's is a warning */
	const uint8_t *const
	    *wallets; /* whose token accounts recipients may be, such as the one just typed */
	size_t n_wallets;
};

/* Total: every transaction that parses has a summary. hints may be NULL. */
void wallet_summary_read(
    const struct solana_tx *tx, const struct wallet_hints *hints, struct wallet_summary *summary_r);

#endif
