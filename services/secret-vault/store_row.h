/* store_row - reading the columns of a row into the fields of a struct. What does not fit was not written by a vault: the row is refused as a whole
 * (ERR_INTERNAL storage_damaged), and so is what asked for it. */
#ifndef SECRET_VAULT_STORE_ROW_H
#define SECRET_VAULT_STORE_ROW_H

#include "services/secret-vault/store.h"

/* Numbers are kept as signed ones. */
#define STORE_NUMBER_MAX INT64_MAX

struct store_row {
	const struct db_value *column;
	size_t ncolumns, at;
	bool is_bad;
};
uint64_t store_row_number(struct store_row *row);
/* Copies; to holds size bytes, the NUL included. */
void store_row_text(struct store_row *row, char *to, size_t size);
/* Borrowed. NULL reads as 0 bytes. */
const uint8_t *store_row_blob(struct store_row *row, size_t *len_r);
/* Exactly len bytes, or NULL, which reads as zeros. */
void store_row_bytes(struct store_row *row, uint8_t *to, size_t len);

/* Runs a statement whose rows are read one at a time. */
struct store_query {
	const char *statement;
	const struct db_value *params;
	size_t nparams;
	/* Fills what arg points to from the row, and hands it on; false: enough. */
	bool (*read)(void *arg, struct store_row *row);
	void *arg;
};
int store_row_query(struct db *db, const struct store_query *query, struct error *err);
/* ERR_INVALID if a number cannot be kept. */
int store_row_fits(uint64_t number, const char *what, struct error *err);

#endif
