/* secrets - rows of vault.list and vault.global_list. */
#ifndef SECRET_VAULT_SECRETS_H
#define SECRET_VAULT_SECRETS_H

#include "services/secret-vault/vault.h"

struct secrets_rows {
	struct secrets_item *item; /* VAULT_SECRETS_MAX of them */
	size_t len;
	bool overflown;
};
void secrets_row(void *arg, const struct record_shown *shown); /* of records_list */
/* ERR_INTERNAL if there were more than a list holds. */
int secrets_rows_check(const struct secrets_rows *rows, struct error *err);

#endif
