/* records_internal - what the files of records.h share. */
#ifndef SECRET_VAULT_RECORDS_INTERNAL_H
#define SECRET_VAULT_RECORDS_INTERNAL_H

#include "services/secret-vault/records.h"

#define RECORD_SHOWN_MAX (sizeof(((struct record_shown *)0)->preview) - 1)

/* Borrows all of it. */
struct seal_name records_name(const struct open_period *period, const char *kind, const char *name,
    uint64_t version, enum seal_purpose purpose);
int records_refuse_rolled_back(
    const char *what, const char *kind, const char *name, struct error *err);

#endif
