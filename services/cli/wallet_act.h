/* wallet_act - one transaction of the agent's wallet, from what was asked for to what became of it: the service builds it; here its own bytes are read, told and compared with
 * what was asked for; whoever runs the command is asked; the owner's keypair signs; the service sends. Nothing the service says of a transaction is believed
 * before it is signed, and what is only its or a node's word is shown as such. */
#ifndef CLI_WALLET_ACT_H
#define CLI_WALLET_ACT_H

#include "services/cli/keypair.h"
#include "services/cli/wallet_wanted.h"
#include "services/cli/web.h"

#define WALLET_ACT_KEYS_MAX 8
#define WALLET_ACT_INSTRUCTIONS_MAX 4
#define WALLET_ACT_PRIORITY_MAX 1000000 /* lamports, unless --max-fee says otherwise */

struct wallet_act {
	struct cli *cli;
	const char *keypair_path;
	bool is_yes;      /* --yes */
	bool until_final; /* --finalized */
	bool off_curve;   /* --allow-off-curve */
	struct session_file session;
	struct keypair keypair;
	struct wallet_wanted wanted; /* asset and owner are filled in by wallet_act_open */
	json_t *order;               /* what the service is asked to build */
	uint8_t keys[WALLET_ACT_KEYS_MAX][PUBKEY_LEN];
	struct solana_instruction *instructions;
};

/* Reads the session and the keypair, whose address becomes the owner. */
int wallet_act_open(struct wallet_act *act, struct error *err);
/* All the rest. Returns the exit code; what went wrong is said. */
int wallet_act_run(struct wallet_act *act);
/* Waits until it is confirmed (or, is_final, finalized), failed or expired, and says so. signature: the one that was made here, NULL: none was. Exit code: CLI_OK, CLI_FAILED
 * (failed, expired), CLI_UNAVAILABLE (not known yet). */
int wallet_act_follow(struct cli *cli, const char *id, const char *signature, bool is_final);
/* Tells the state of an answer of GET /v1/wallet/transactions/{id}, and returns the exit code. */
int wallet_act_tell(const struct cli *cli, const json_t *state, const char *signature);
void wallet_act_wipe(struct wallet_act *act);
#define scoped_act __attribute__((cleanup(wallet_act_wipe)))

#endif
