#include "services/secret-vault/records_internal.h"

#include <stdio.h>
#include <string.h>

#include "common/scoped.h"
#include "proto/vault.h"

#define NAMES_MAX 4000   /* of a period, deleted ones included: each keeps a tombstone and a mark */
#define LEAP_MAX 1000000 /* versions that other vaults may have written since this one looked */

int records_refuse_rolled_back(
    const char *what, const char *kind, const char *name, struct error *err)
{
	return error_refuse(err, ERR_INTERNAL, "secret_rolled_back",
	    "the store is older than the marks: %s: %s/%s", what, kind, name);
}

struct seal_name records_name(const struct open_period *period, const char *kind, const char *name,
    uint64_t version, enum seal_purpose purpose)
{
	return (struct seal_name){&period->row.period, kind, name, version, purpose};
}

/* ---- reading one ---- */

struct reading {
	const struct open_period *period;
	const char *kind, *name;
	uint64_t mark;
	struct record *record;
	struct error *err;
	int rc;
};

static int open_value(
    const struct reading *reading, const struct seal_name *name, const struct store_record *row)
{
	const struct secret *key = reading->period->data_key;
	uint8_t nothing[1];
	size_t len;

	if (row->deleted)
		return seal_open_into(
		    key, name, row->value, row->value_len, nothing, 0, &len, reading->err);
	reading->record->value = seal_open(key, name, row->value, row->value_len, reading->err);
	return reading->record->value ? 0 : -1;
}

static int open_record(const struct reading *reading, const struct store_record *row)
{
	struct record *record = reading->record;
	struct seal_name name = records_name(reading->period, reading->kind, reading->name,
	    row->version, row->deleted ? SEAL_TOMBSTONE : SEAL_VALUE);

	if (row->version < reading->mark)
		return records_refuse_rolled_back(
		    "an older version", reading->kind, reading->name, reading->err);
	if (open_value(reading, &name, row) != 0)
		return -1;
	record->found = row->deleted ? RECORD_DELETED : RECORD_SET;
	record->version = row->version;
	record->updated_ms = row->updated_ms;
	return 0;
}

static bool read_row(void *arg, const struct store_record *row)
{
	struct reading *reading = arg;

	reading->rc = open_record(reading, row);
	return false;
}

int records_read(struct desk *desk, const struct open_period *period, const char *kind,
    const char *name, struct record *record_r, struct error *err)
{
	struct reading reading = {period, kind, name, 0, record_r, err, 0};
	const struct period *of = &period->row.period;

	memset(record_r, 0, sizeof(*record_r));
	if (highwater_get(desk->highwater, of, kind, name, &reading.mark, err) != 0)
		return -1;
	if (store_record_find(desk->db, period->row.id, kind, name, read_row, &reading, err) != 0)
		reading.rc = -1;
	if (reading.rc == 0 && record_r->found == RECORD_NONE && reading.mark > 0)
		reading.rc = records_refuse_rolled_back("missing", kind, name, err);
	if (reading.rc == 0 && record_r->version > reading.mark)
		reading.rc =
		    highwater_raise(desk->highwater, of, kind, name, record_r->version, err);
	if (reading.rc != 0)
		secret_destroy(&record_r->value);
	return reading.rc;
}

/* ---- writing ---- */

struct present {
	bool exists, deleted;
	uint64_t version;
};

static bool note_present(void *arg, const struct store_record *row)
{
	struct present *present = arg;

	*present = (struct present){true, row->deleted, row->version};
	return false;
}

static bool count_mark(void *arg, const char *kind, const char *name, uint64_t version)
{
	size_t *count = arg;

	(void)kind;
	(void)name;
	(void)version;
	return ++*count < NAMES_MAX;
}

static int check_room(struct desk *desk, const struct open_period *period,
    const struct present *present, uint64_t mark, struct error *err)
{
	uint64_t live;
	size_t names = 0;

	if (present->exists && !present->deleted)
		return 0;
	if (store_count_records(desk->db, period->row.id, &live, err) != 0)
		return -1;
	if (live >= VAULT_SECRETS_MAX)
		return error_refuse(err, ERR_CONFLICT, "secrets_exhausted",
		    "there are %d secrets already", VAULT_SECRETS_MAX);
	if (mark > 0)
		return 0;
	if (highwater_records_of(desk->highwater, &period->row.period, count_mark, &names, err) !=
	    0)
		return -1;
	if (names >= NAMES_MAX)
		return error_refuse(err, ERR_CONFLICT, "secrets_exhausted",
		    "%d names were used already, deleted ones included", NAMES_MAX);
	return 0;
}

int records_next_version(const char *kind, const char *name, uint64_t mark, uint64_t present,
    uint64_t *next_r, struct error *err)
{
	bool is_likely = present > mark && present - mark <= LEAP_MAX;
	uint64_t highest = is_likely ? present : mark;

	if (highest >= INT64_MAX)
		return error_refuse(err, ERR_INTERNAL, "secret_undecryptable",
		    "%s/%s has a version that never was", kind, name);
	*next_r = highest + 1;
	return 0;
}

/* What is there, the mark, and the version that comes next. */
static int look(struct desk *desk, const struct open_period *period, const char *kind,
    const char *name, struct present *present_r, uint64_t *mark_r, uint64_t *next_r,
    struct error *err)
{
	*present_r = (struct present){.exists = false};
	if (highwater_get(desk->highwater, &period->row.period, kind, name, mark_r, err) != 0 ||
	    store_record_find(desk->db, period->row.id, kind, name, note_present, present_r, err) !=
		0)
		return -1;
	return records_next_version(kind, name, *mark_r, present_r->version, next_r, err);
}

/* value and preview are sealed already. The mark rises last: whatever fails before leaves it as it was. */
static int put(struct desk *desk, const struct open_period *period, struct store_record *row,
    struct error *err)
{
	row->period_id = period->row.id;
	row->updated_ms = desk->now_ms;
	if (store_record_put(desk->db, row, err) != 0)
		return -1;
	return highwater_raise(
	    desk->highwater, &period->row.period, row->kind, row->name, row->version, err);
}

int records_write(struct desk *desk, const struct open_period *period, const char *kind,
    const char *name, const void *value, size_t len, const char *preview, uint64_t *version_r,
    struct error *err)
{
	uint8_t sealed_preview[RECORD_SHOWN_MAX + SEAL_OVERHEAD];
	struct store_record row = {.preview = sealed_preview};
	struct present present;
	uint64_t mark;

	bug_if(strlen(kind) >= sizeof(row.kind) || strlen(name) >= sizeof(row.name) ||
	       strlen(preview) > RECORD_SHOWN_MAX);
	if (look(desk, period, kind, name, &present, &mark, &row.version, err) != 0 ||
	    check_room(desk, period, &present, mark, err) != 0)
		return -1;
	snprintf(row.kind, sizeof(row.kind), "%s", kind);
	snprintf(row.name, sizeof(row.name), "%s", name);
	scoped_free uint8_t *sealed = malloc(len + SEAL_OVERHEAD);
	bug_if(!sealed);
	struct seal_name as = records_name(period, kind, name, row.version, SEAL_VALUE);
	seal_record(period->data_key, &as, value, len, sealed);
	row.value = sealed;
	row.value_len = len + SEAL_OVERHEAD;
	as.purpose = SEAL_PREVIEW;
	seal_record(period->data_key, &as, preview, strlen(preview), sealed_preview);
	row.preview_len = strlen(preview) + SEAL_OVERHEAD;
	if (put(desk, period, &row, err) != 0)
		return -1;
	*version_r = row.version;
	return 0;
}

static bool is_good_tombstone(
    struct desk *desk, const struct open_period *period, const char *kind, const char *name)
{
	struct record record;
	struct error why;

	if (records_read(desk, period, kind, name, &record, &why) != 0)
		return false;
	bool good = record.found == RECORD_DELETED;
	secret_destroy(&record.value);
	return good;
}

int records_delete(struct desk *desk, const struct open_period *period, const char *kind,
    const char *name, struct error *err)
{
	uint8_t sealed[SEAL_OVERHEAD];
	/* in both places, so that a list, which reads no values, can tell a good tombstone */
	struct store_record row = {.deleted = true,
	    .value = sealed,
	    .preview = sealed,
	    .value_len = sizeof(sealed),
	    .preview_len = sizeof(sealed)};
	struct present present;
	uint64_t mark;

	bug_if(strlen(kind) >= sizeof(row.kind) || strlen(name) >= sizeof(row.name));
	if (look(desk, period, kind, name, &present, &mark, &row.version, err) != 0)
		return -1;
	if (!present.exists && mark == 0)
		return 0;
	if (present.deleted && is_good_tombstone(desk, period, kind, name))
		return 0;
	/* whatever else is there, undecryptable and rolled back too: the owner wants it gone */
	snprintf(row.kind, sizeof(row.kind), "%s", kind);
	snprintf(row.name, sizeof(row.name), "%s", name);
	struct seal_name as = records_name(period, kind, name, row.version, SEAL_TOMBSTONE);
	seal_record(period->data_key, &as, "", 0, sealed);
	return put(desk, period, &row, err) == 0 ? 1 : -1;
}
