/* act - what operator.c's calls have in common: the request, who makes it, and the state of the vault as an answer. */
#ifndef SECRET_VAULT_ACT_H
#define SECRET_VAULT_ACT_H

#include "services/secret-vault/survey.h"

struct act {
	struct vault *vault;
	struct bus_request *request;
	const void *req; /* of the call; valid until the answer */
	const char *what;
	char by[96 + 1]; /* "operator <key>" */
	struct survey_view view;
	/* of the one call that uses them */
	struct master *next;
	struct secret *passphrase;
	uint64_t count, slot, other_slot;
};
struct act *act_new(
    struct vault *vault, struct bus_request *request, const void *req, const char *what);
/* Each ends the act and the request, and is told in the log. */
void act_fail(struct act *act, const struct error *err);
void act_reply(struct act *act, const void *rsp, const char *target);
/* With the vault's state, as the store has it now; also while there is no storage. */
void act_reply_state(struct act *act);
/* The storage and its marks are this vault's, and the master key is known. */
int act_needs_keys(const struct act *act, struct error *err);
/* The same, for a call that names an owner: both have to be addresses. */
int act_needs_owner(
    const struct act *act, const char *asset, const char *wallet, struct error *err);
/* In the worker's thread: an entry in the global chain. */
int act_note(const struct act *act, struct desk *desk, const char *detail, struct error *err);

#endif
