/* evidence - what a finalized reading proves of a wallet (I4): only what is said in full, by a known word, and late enough. */
#ifndef SECRET_VAULT_EVIDENCE_H
#define SECRET_VAULT_EVIDENCE_H

#include "proto/oracle.h"

enum evidence {
	EVIDENCE_NONE, /* too early, or not understood */
	EVIDENCE_SAME, /* the wallet owns it */
	/* it is no asset of ours (any more), but nobody is said to have bought it: nothing is destroyed for that */
	EVIDENCE_FOREIGN,
	EVIDENCE_OTHER, /* somebody else owns it, or it is burned */
};
enum evidence evidence_judge(
    const struct oracle_finalized_rsp *rsp, const char *wallet, uint64_t min_slot);

#endif
