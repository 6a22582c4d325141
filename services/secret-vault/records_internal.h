/* records_internal - what the files of records.h share. */
#ifndef SECRET_VAULT_RECORDS_INTERNAL_H
#define SECRET_VAULT_RECORDS_INTERNAL_H

#include "proto/vault.h"
#include "services/secret-vault/records.h"

#define RECORD_SHOWN_MAX (sizeof(((struct record_shown *)0)->preview) - 1)

/* A value that is only looked at. Whoever has one wipes it. */
struct record_plain {
	uint8_t bytes[VAULT_VALUE_MAX];
	size_t len;
};
/* records_read; with plain, the value goes there and none into record_r. */
int records_look(struct desk *desk, const struct open_period *period, const char *kind,
    const char *name, struct record_plain *plain, struct record *record_r, struct error *err);

/* Borrows all of it. */
struct seal_name records_name(const struct open_period *period, const char *kind, const char *name,
    uint64_t version, enum seal_purpose purpose);
int records_refuse_rolled_back(
    const char *what, const char *kind, const char *name, struct error *err);

#endif
