/* granting - what the calls that make or show grants and placements have in common. Grants are signed with keys that change with the master key, placements with their period's. */
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
/* For the calls that show a placement of that kind: asking_begin() with what it says, unless the vault does not serve, it is no placement, or not the peer's own (the
 * request is refused then, with a line of audit in the log). The plan's work has to open the period by granting_open_period(): before, nothing of it is proven. */
void granting_begin(struct vault *vault, const struct asking_plan *plan, enum placement_kind kind,
    const void *bytes, size_t len, const void *req, struct bus_request *request);
/* In the worker's thread: the present period of the asset, if a vault made the placement in it. ERR_DENIED grant_refused. */
int granting_open_period(
    struct asking *asking, struct desk *desk, struct open_period *period_r, struct error *err);

#endif
