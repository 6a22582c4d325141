/* wallet_effect - inside of wallet_summary: one instruction, wrapped or not, and what explains it. */
#ifndef COMMON_WALLET_EFFECT_H
#define COMMON_WALLET_EFFECT_H

#include "common/wallet_summary.h"

struct wallet_effect {
	const struct solana_tx *tx;
	const struct wallet_hints *hints;
	const uint8_t *wallet;   /* the hinted asset's PDA, NULL without hint */
	const uint8_t *program;  /* key */
	const uint8_t *accounts; /* indexes of keys */
	size_t n_accounts;
	const uint8_t *data;
	size_t data_len;
	bool wrapped; /* within ExecuteV1 */
};

/* Each writes the line and returns true if it knows the instruction to its last byte and account, else leaves the line alone. */
bool wallet_effect_system(const struct wallet_effect *effect, struct wallet_line *line);
bool wallet_effect_token(const struct wallet_effect *effect, struct wallet_line *line);
bool wallet_effect_associated(const struct wallet_effect *effect, struct wallet_line *line);
bool wallet_effect_core(const struct wallet_effect *effect, struct wallet_line *line);
bool wallet_effect_agent(const struct wallet_effect *effect, struct wallet_line *line);
bool wallet_effect_lighthouse(const struct wallet_effect *effect, struct wallet_line *line);
/* Of any instruction; the last two call it for what they do not know. */
void wallet_effect_explain(const struct wallet_effect *effect, struct wallet_line *line);

const uint8_t *wallet_effect_key(const struct wallet_effect *effect, size_t account);
/* Appends. A line that overflows ends in "..." and is a warning. */
void wallet_effect_say(struct wallet_line *line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* An address, and what is known of it: the agent's wallet, the fee payer. */
void wallet_effect_say_key(
    const struct wallet_effect *effect, const uint8_t key[PUBKEY_LEN], struct wallet_line *line);
/* Whose money goes to `to`: not the agent's, though an agent is meant, is said and a warning, unless it is the agent that gets it. */
void wallet_effect_say_spender(const struct wallet_effect *effect, const uint8_t key[PUBKEY_LEN],
    const uint8_t *to, struct wallet_line *line);
/* The same as say_key for a recipient: off the curve is said and a warning, unless it is the agent's wallet. */
void wallet_effect_say_recipient(
    const struct wallet_effect *effect, const uint8_t key[PUBKEY_LEN], struct wallet_line *line);

#endif
