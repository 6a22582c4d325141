#include "services/secret-vault/store_row.h"

#include <string.h>

static const struct db_value *next(struct store_row *row, enum db_type type)
{
	const struct db_value *value = row->at < row->ncolumns ? &row->column[row->at] : NULL;

	row->at++;
	if (!value || (value->type != type && value->type != DB_NULL)) {
		row->is_bad = true;
		return NULL;
	}
	return value;
}

uint64_t store_row_number(struct store_row *row)
{
	const struct db_value *value = next(row, DB_INT);

	if (value && value->type == DB_INT && value->number >= 0)
		return (uint64_t)value->number;
	row->is_bad = true;
	return 0;
}

void store_row_text(struct store_row *row, char *to, size_t size)
{
	const struct db_value *value = next(row, DB_TEXT);

	*to = '\0';
	if (!value || value->type != DB_TEXT || value->len >= size ||
	    memchr(value->bytes, '\0', value->len)) {
		row->is_bad = true;
		return;
	}
	memcpy(to, value->bytes, value->len);
	to[value->len] = '\0';
}

const uint8_t *store_row_blob(struct store_row *row, size_t *len_r)
{
	const struct db_value *value = next(row, DB_BLOB);

	*len_r = value && value->type == DB_BLOB ? value->len : 0;
	return *len_r ? value->bytes : NULL;
}

void store_row_bytes(struct store_row *row, uint8_t *to, size_t len)
{
	const struct db_value *value = next(row, DB_BLOB);

	memset(to, 0, len);
	if (!value || (value->type == DB_BLOB && value->len != len))
		row->is_bad = true;
	else if (value->type == DB_BLOB)
		memcpy(to, value->bytes, len);
}

struct reading {
	const struct store_query *query;
	bool is_bad;
};

static bool read_row(void *arg, const struct db_value *column, size_t ncolumns)
{
	struct reading *reading = arg;
	struct store_row row = {column, ncolumns, 0, false};
	bool more = reading->query->read(reading->query->arg, &row);

	reading->is_bad = row.is_bad;
	return more && !row.is_bad;
}

int store_row_query(struct db *db, const struct store_query *query, struct error *err)
{
	struct reading reading = {query, false};

	if (db_run(db, query->statement, query->params, query->nparams, read_row, &reading, NULL,
		err) < 0)
		return -1;
	if (reading.is_bad)
		return error_refuse(err, ERR_INTERNAL, "storage_damaged",
		    "a row of the store is not one that a vault wrote");
	return 0;
}

int store_row_fits(uint64_t number, const char *what, struct error *err)
{
	if (number > STORE_NUMBER_MAX)
		return error_set(err, ERR_INVALID, "%s is too large a number to keep", what);
	return 0;
}
