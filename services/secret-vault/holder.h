/* holder - what the vault holds, judged by who owns it now (architecture, rule 14): each period is noted in the ledger, looked at at the start, on an event
 * of its asset, on a new history; locked when somebody else was seen since, unlocked never by itself (a sale and a buy-back are two periods) unless the
 * record vouches for it after all. No record: locked, and the oracle is asked, which begins one if the wallet is still the owner. Nothing here destroys.
 */
#ifndef SECRET_VAULT_HOLDER_H
#define SECRET_VAULT_HOLDER_H

#include "services/secret-vault/vault.h"

struct holder *holder_new(struct vault *vault);
void holder_destroy(struct holder **holder);
/* Look at every period, page by page; then state open if it was catching up. Begins again if called meanwhile. */
void holder_look_at_all(struct holder *holder);
/* Look at the periods of one asset. */
void holder_look_at(struct holder *holder, const char *asset);
/* Marks for asking.h: the newest event of an asset (by bucket) and of "*". */
void holder_mark(struct holder *holder, const struct ledger_event *event);
void holder_unmark(struct holder *holder,
    struct event_id head); /* a new history: everything up to head counts as marked */
/* Has nothing of the asset been heard after position, of this history? */
bool holder_is_current(
    const struct holder *holder, const char *asset, const char *history, struct event_id position);

#endif
