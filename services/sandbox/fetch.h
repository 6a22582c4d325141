/* fetch - an agent's secrets from the vault, as files (files.h): by the owner's session, or by the placement of an earlier start; all pages. What it is for is its caller's: a start, a
 * snapshot (which must not hold any of them).
 */
#ifndef SANDBOX_FETCH_H
#define SANDBOX_FETCH_H

#include "services/sandbox/files.h"
#include "services/sandbox/sandbox.h"

struct fetch;
struct fetch_ask {
	struct sandbox *sandbox;
	const struct record *record; /* whose: asset, wallet, placement; borrowed until its end */
	const struct secret *owner_token; /* NULL: by the placement; borrowed for the call */
	const char *boot;                 /* that the grant is for; borrowed until its end */
	uint64_t other_slot;              /* of the holding: what is not newer is another owner's */
	/* Page 0, before its files. ERR_*: it is given up with that. */
	int (*first)(void *arg, const struct vault_materialise_rsp *page, struct error *err);
	/* Once, not from inside the call. err NULL: all of it is in files, which is the callee's. */
	void (*done)(void *arg, struct files *files, const struct error *err);
	void *arg;
};
/* Ends with done; then it is gone. The caller has it until then, to cancel it. */
struct fetch *fetch_new(const struct fetch_ask *ask);
void fetch_cancel(struct fetch **fetch);

#endif
