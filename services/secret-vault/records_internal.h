/* records_internal - what the files of records.h share. */
#ifndef SECRET_VAULT_RECORDS_INTERNAL_H
#define SECRET_VAULT_RECORDS_INTERNAL_H

#include "services/secret-vault/records.h"

#define RECORD_SHOWN_MAX (sizeof(((struct record_shown *)0)->preview) - 1)

/* Borrows all of it. */
struct seal_name records_name(const struct open_period *period, const char *kind, const char *name,
    uint64_t version, enum seal_purpose purpose);
/* The version that comes next: above that of the row (0: there is none), whether it opens or not, unless nobody can have written it. Marks never fall, so one that
 * had learnt a forged version would spoil the name for good. ERR_INTERNAL secret_undecryptable. */
int records_next_version(const char *kind, const char *name, uint64_t mark, uint64_t present,
    uint64_t *next_r, struct error *err);
int records_refuse_rolled_back(
    const char *what, const char *kind, const char *name, struct error *err);

#endif
