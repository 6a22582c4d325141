/* eraser - destroys the data keys of locked periods, on evidence only (I4): oracle.finalized, from a slot not below the one at which the change was seen,
 * names another owner, or the asset is burned (two nodes where two are configured). The same wallet again, an asset of no or another collection,
 * disagreement, silence: it stays locked. Destroyed means: the
 * wrapped key and all records are deleted and scrubbed from the store's files, and the marks say that the period is gone, before it is reported.
 * The breaker: more than erasures_per_hour of them within an hour trips it; nothing is erased until an operator resets it.
 */
#ifndef SECRET_VAULT_ERASER_H
#define SECRET_VAULT_ERASER_H

#include "services/secret-vault/vault.h"

struct eraser *eraser_new(struct vault *vault);
void eraser_destroy(struct eraser **eraser);
/* A period was found locked: min_slot is what a finalized reading has to reach. Twice is once. */
void eraser_add(struct eraser *eraser, const struct period *period, uint64_t min_slot);
bool eraser_is_tripped(const struct eraser *eraser);
/* What the store says (survey.h): the breaker is common to all its vaults and survives them; what was destroyed but not scrubbed is scrubbed. */
void eraser_take(struct eraser *eraser, bool is_tripped, bool must_scrub);

/* In the worker's thread, inside a transaction. */
int eraser_read(struct desk *desk, bool *is_tripped_r, bool *must_scrub_r, struct error *err);
/* Lets erasing go on, and begins counting anew. */
int eraser_reset(struct desk *desk, struct error *err);
/* For vault.destroy_owner as well: destroys one period, with its audit entry. Scrubbing (eraser_scrub) and the marks' commit come after. */
int eraser_work(struct desk *desk, const struct store_period *period, const char *by,
    const char *detail, struct error *err);
/* On the loop: what was destroyed is made to vanish from the store's files; done is called once, err NULL: it has. */
void eraser_scrub(struct vault *vault, void (*done)(void *arg, const struct error *err), void *arg);
/* Nothing of the asset is held any more, if no period of it has a key: the ledger is told. */
void eraser_release(struct vault *vault, const char *asset);

#endif
