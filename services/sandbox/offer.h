/* offer - what the owner before handed over: which folders, how much of them. Known by the vault's word and the manifest that it vouches for, from a start, or asked for with the owner's
 * session when the owner wants to see it.
 */
#ifndef SANDBOX_OFFER_H
#define SANDBOX_OFFER_H

#include "services/sandbox/agent.h"

struct offer;
void offer_destroy(struct offer **offer);
/* As a page 0 says it (proto/vault.h) to this owner. key NULL: nothing. Then its manifest is read, later. */
void offer_learn(struct agent *agent, const char *wallet, const struct secret *key,
    const uint8_t *digest, const char *handed_wallet);
/* It was taken, or is not wanted. */
void offer_forget(struct agent *agent);
/* False: it is known what this owner is offered, or it cannot be asked now. True: asking_tell_snapshot follows. */
bool offer_ask(struct agent *agent, const char *wallet, const char *token);
/* As far as it is known. */
void offer_describe(
    const struct agent *agent, const char *wallet, struct sandbox_snapshots_rsp *rsp);
bool offer_is_under_way(const struct agent *agent);

#endif
