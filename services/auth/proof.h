/* proof - what auth.verify and auth.confirm have in common: from a nonce that comes back with a signature to a fresh read that shows the wallet as
 * owner of the asset. The nonce is taken out of the ledger before anything else is looked at; nonce and read must belong to one history (rule 7).
 * Ended exactly once, by proof_refuse or proof_end.
 */
#ifndef AUTH_PROOF_H
#define AUTH_PROOF_H

#include "services/auth/auth.h"
#include "services/auth/signature.h"

struct proof;

struct proof_way {
	const char *name; /* in the audit trail */
	/* Was the challenge issued for what is asked now? ERR_UNAUTHENTICATED. */
	int (*judge)(
	    const struct proof *proof, const struct nonce_record *record, struct error *err);
	/* The wallet signed, and may go on: proof_read_owner, at once or as soon as the asset is known. */
	void (*is_signed)(struct proof *proof);
	/* The wallet owns the asset. read is borrowed for the call. */
	void (*is_owner)(struct proof *proof, const struct oracle_owner_rsp *read);
};

struct proof {
	struct auth *self;
	struct bus_request *request;
	const struct proof_way *way;
	const void
	    *req; /* of the call; valid until the answer, and so is what is borrowed from it: */
	const char *nonce, *ip;
	const char *act; /* "": signing in */
	struct signed_text came;
	struct metric *const *outcomes; /* by enum auth_outcome */

	struct client_address client;
	char history[HISTORY_MAX + 1];   /* in which the nonce was issued and taken */
	char asset[PUBKEY_TEXT_MAX + 1]; /* "": not known yet */
	char name[64 + 1];               /* of the asset, once read: hostile text */
};

/* Copies its argument, of which everything above history and client is set. */
void proof_begin(const struct proof *from);
void proof_read_owner(struct proof *proof);
void proof_refuse(struct proof *proof, const struct error *err);
/* After the answer. */
void proof_end(struct proof *proof, enum auth_outcome outcome);
void proof_audit(const struct proof *proof, const char *outcome);
/* UNAUTHENTICATED nonce_unknown. */
int proof_unknown(struct error *err, const char *why);

#endif
