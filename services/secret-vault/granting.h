/* granting - what vault.grant, regrant, materialise and note have in common: the keys that sign grants and placements, which change with the master key. */
#ifndef SECRET_VAULT_GRANTING_H
#define SECRET_VAULT_GRANTING_H

#include "services/secret-vault/asking.h"
#include "services/secret-vault/grant.h"

/* Each on the loop, where the keys are. */
/* Borrowed. While the master key changes the next one signs, so that what it signs outlives the end of that. After it, what is kept beside the one in use is the old
 * one: it opens, and signs nothing. */
const struct secret *granting_key(const struct vault *vault, struct error *err);
/* Made with a key that is still known? ERR_DENIED grant_refused. */
int granting_open(const struct vault *vault, const void *bytes, size_t len, struct grant *grant_r,
    struct error *err);
/* The same for a placement, which peer shows: it has to be its own. Also vault_serves, and a line of audit in the log for a refusal. */
int granting_open_placement(const struct vault *vault, const void *bytes, size_t len,
    enum placement_kind kind, struct bus_request *request, struct placement *placement_r,
    struct error *err);
/* In the worker's thread: the period of a placement, which has to be the present one. ERR_DENIED grant_refused. */
int granting_open_period(struct asking *asking, struct desk *desk,
    const struct placement *placement, struct open_period *period_r, struct error *err);

#endif
