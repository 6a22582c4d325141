/* evidence - what a finalized reading proves of a wallet (I4): only what is said in full, by a known word, and late enough. */
#ifndef SECRET_VAULT_EVIDENCE_H
#define SECRET_VAULT_EVIDENCE_H

#include "proto/oracle.h"

enum evidence {
	EVIDENCE_NONE,  /* too early, or not understood */
	EVIDENCE_SAME,  /* the wallet owns it */
	EVIDENCE_OTHER, /* somebody else does, or nobody */
};
enum evidence evidence_judge(
    const struct oracle_finalized_rsp *rsp, const char *wallet, uint64_t min_slot);

#endif
