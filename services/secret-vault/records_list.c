/* Listing the records of a period, all that the marks know among them. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/secret-vault/records_internal.h"

#define PAGE 200
#define NAMES_ROWS_MAX 8000 /* twice what a period may have */

struct mark {
	char kind[8 + 1], name[64 + 1];
	uint64_t version;
};
struct listing {
	struct desk *desk;
	const struct open_period *period;
	struct mark *marks; /* by kind and name */
	size_t len, room, matched;
	char kind[8 + 1], name[64 + 1]; /* of the last row */
	size_t rows;                    /* of this page */
	bool with_deleted;
	record_shown_row row;
	void *arg;
	struct error *err;
	int rc;
};

static bool keep_mark(void *arg, const char *kind, const char *name, uint64_t version)
{
	struct listing *listing = arg;

	if (listing->len == listing->room) {
		listing->room = listing->room ? 2 * listing->room : 64;
		listing->marks =
		    reallocarray(listing->marks, listing->room, sizeof(listing->marks[0]));
		bug_if(!listing->marks);
	}
	struct mark *mark = &listing->marks[listing->len++];
	*mark = (struct mark){.version = version};
	snprintf(mark->kind, sizeof(mark->kind), "%s", kind);
	snprintf(mark->name, sizeof(mark->name), "%s", name);
	return true;
}

static int by_kind_and_name(const void *a, const void *b)
{
	const struct mark *one = a, *other = b;
	int order = strcmp(one->kind, other->kind);

	return order ? order : strcmp(one->name, other->name);
}

static int check_mark(struct listing *listing, const struct store_record *row)
{
	struct mark wanted = {.version = row->version};

	memcpy(wanted.kind, row->kind, sizeof(wanted.kind));
	memcpy(wanted.name, row->name, sizeof(wanted.name));
	const struct mark *mark = listing->len ? bsearch(&wanted, listing->marks, listing->len,
						     sizeof(wanted), by_kind_and_name)
					       : NULL;
	if (mark && row->version < mark->version)
		return records_refuse_rolled_back(
		    "an older version", row->kind, row->name, listing->err);
	listing->matched += mark != NULL;
	if (mark && row->version == mark->version)
		return 0;
	return highwater_raise(listing->desk->highwater, &listing->period->row.period, row->kind,
	    row->name, row->version, listing->err);
}

static int show(struct listing *listing, const struct store_record *row)
{
	struct record_shown shown = {
	    .version = row->version, .updated_ms = row->updated_ms, .deleted = row->deleted};
	struct seal_name as = records_name(listing->period, row->kind, row->name, row->version,
	    row->deleted ? SEAL_TOMBSTONE : SEAL_PREVIEW);
	size_t len;

	if (seal_open_into(listing->period->data_key, &as, row->preview, row->preview_len,
		(uint8_t *)shown.preview, row->deleted ? 0 : RECORD_SHOWN_MAX, &len,
		listing->err) != 0 ||
	    check_mark(listing, row) != 0)
		return -1;
	if (row->deleted && !listing->with_deleted)
		return 0;
	memcpy(shown.kind, row->kind, sizeof(shown.kind));
	memcpy(shown.name, row->name, sizeof(shown.name));
	shown.is_as_file = shown.preview[0] == RECORD_AS_FILE[0];
	if (shown.is_as_file)
		memmove(shown.preview, shown.preview + 1, len);
	listing->row(listing->arg, &shown);
	sodium_memzero(&shown, sizeof(shown));
	return 0;
}

/* A row that came twice would stand for one that is missing. */
static int check_order(const struct listing *listing, const struct store_record *row)
{
	int order = strcmp(row->kind, listing->kind);

	if (order == 0)
		order = strcmp(row->name, listing->name);
	return order > 0 ? 0
			 : error_refuse(listing->err, ERR_INTERNAL, "storage_damaged",
			       "the store has %s/%s twice, or in no order", row->kind, row->name);
}

static bool list_row(void *arg, const struct store_record *row)
{
	struct listing *listing = arg;

	listing->rows++;
	listing->rc = check_order(listing, row);
	if (listing->rc != 0)
		return false;
	memcpy(listing->kind, row->kind, sizeof(listing->kind));
	memcpy(listing->name, row->name, sizeof(listing->name));
	listing->rc = show(listing, row);
	return listing->rc == 0;
}

static int list_pages(struct listing *listing, struct error *err)
{
	do {
		listing->rows = 0;
		if (store_records_of(listing->desk->db, listing->period->row.id, listing->kind,
			listing->name, PAGE, false, list_row, listing, err) != 0 ||
		    listing->rc != 0)
			return -1;
	} while (listing->rows == PAGE);
	/* no row has come twice: what is left over of the marks has no row */
	if (listing->matched < listing->len)
		return error_refuse(err, ERR_INTERNAL, "secret_rolled_back",
		    "the store is older than the marks: %zu records are missing",
		    listing->len - listing->matched);
	return 0;
}

static int list_period(struct listing *listing, struct error *err)
{
	struct highwater *highwater = listing->desk->highwater;
	int rc = -1;

	listing->err = err;
	if (highwater_records_of(
		highwater, &listing->period->row.period, keep_mark, listing, err) == 0) {
		if (listing->len > 0)
			qsort(listing->marks, listing->len, sizeof(listing->marks[0]),
			    by_kind_and_name);
		rc = list_pages(listing, err);
	}
	free(listing->marks);
	return rc;
}

int records_list(struct desk *desk, const struct open_period *period, record_shown_row row,
    void *arg, struct error *err)
{
	struct listing listing = {.desk = desk, .period = period, .row = row, .arg = arg};

	return list_period(&listing, err);
}

/* ---- as a whole ---- */

static void wipe_items(struct record_shown *item, size_t len)
{
	if (len > 0)
		sodium_memzero(item, len * sizeof(*item));
	free(item);
}

/* Not by realloc: it leaves previews behind. */
static void make_room(struct record_list *list)
{
	size_t room = list->room ? 2 * list->room : 32;
	struct record_shown *item = reallocarray(NULL, room, sizeof(*item));

	bug_if(!item);
	if (list->len > 0)
		memcpy(item, list->item, list->len * sizeof(*item));
	wipe_items(list->item, list->len);
	list->item = item;
	list->room = room;
}

static void keep_shown(void *arg, const struct record_shown *shown)
{
	struct record_list *list = arg;

	if (list->len == list->room)
		make_room(list);
	list->item[list->len++] = *shown;
}

int records_list_all(struct desk *desk, const struct open_period *period,
    struct record_list *list_r, struct error *err)
{
	struct listing listing = {
	    .desk = desk, .period = period, .with_deleted = true, .row = keep_shown, .arg = list_r};

	*list_r = (struct record_list){.period = period};
	return list_period(&listing, err);
}

static void keep_name(struct record_list *list, const char *kind, const char *name)
{
	struct record_shown shown = {.version = 0};

	snprintf(shown.kind, sizeof(shown.kind), "%s", kind);
	snprintf(shown.name, sizeof(shown.name), "%s", name);
	keep_shown(list, &shown);
}

static bool keep_name_of_mark(void *arg, const char *kind, const char *name, uint64_t version)
{
	(void)version;
	keep_name(arg, kind, name);
	return true;
}

static bool keep_name_of_row(void *arg, const struct store_record *row)
{
	keep_name(arg, row->kind, row->name);
	return true;
}

static int by_kind_then_name(const void *a, const void *b)
{
	const struct record_shown *one = a, *other = b;
	int order = strcmp(one->kind, other->kind);

	return order ? order : strcmp(one->name, other->name);
}

int records_list_names(struct desk *desk, const struct open_period *period,
    struct record_list *list_r, struct error *err)
{
	*list_r = (struct record_list){.period = period};
	if (highwater_records_of(
		desk->highwater, &period->row.period, keep_name_of_mark, list_r, err) != 0)
		return -1;
	size_t marked = list_r->len;
	if (store_records_of(desk->db, period->row.id, "", "", NAMES_ROWS_MAX, false,
		keep_name_of_row, list_r, err) != 0)
		return -1;
	if (list_r->len - marked == NAMES_ROWS_MAX)
		return error_refuse(err, ERR_INTERNAL, "storage_damaged",
		    "the store has more records of one period than a vault writes");
	if (list_r->len > 0)
		qsort(list_r->item, list_r->len, sizeof(list_r->item[0]), by_kind_then_name);
	return 0;
}

void record_list_close(struct record_list *list)
{
	wipe_items(list->item, list->len);
	*list = (struct record_list){0};
}

struct wanted {
	const char *kind, *name;
};

static int by_name(const void *key, const void *member)
{
	const struct wanted *wanted = key;
	const struct record_shown *item = member;
	int order = strcmp(wanted->kind, item->kind);

	return order ? order : strcmp(wanted->name, item->name);
}

const struct record_shown *record_list_find(
    const struct record_list *list, const char *kind, const char *name)
{
	const struct wanted wanted = {kind, name};

	return list->len ? bsearch(&wanted, list->item, list->len, sizeof(list->item[0]), by_name)
			 : NULL;
}

struct reading {
	const struct record_list *list;
	const struct record_shown *item;
	struct secret *value;
	bool found;
	struct error *err;
};

static bool open_listed(void *arg, const struct store_record *row)
{
	struct reading *reading = arg;
	const struct record_shown *item = reading->item;
	const struct open_period *period = reading->list->period;
	struct seal_name as =
	    records_name(period, item->kind, item->name, item->version, SEAL_VALUE);

	if (row->deleted || row->version != item->version)
		return false;
	reading->found = true;
	reading->value = seal_open(period->data_key, &as, row->value, row->value_len, reading->err);
	return false;
}

struct secret *records_read_listed(struct desk *desk, const struct record_list *list,
    const struct record_shown *item, struct error *err)
{
	struct reading reading = {list, item, NULL, false, err};

	bug_if(item->deleted);
	if (store_record_find(desk->db, list->period->row.id, item->kind, item->name, open_listed,
		&reading, err) != 0) {
		secret_destroy(&reading.value);
		return NULL;
	}
	if (!reading.found)
		error_refuse(err, ERR_INTERNAL, "storage_damaged",
		    "the store lists %s/%s as version %llu, and has another or none", item->kind,
		    item->name, (unsigned long long)item->version);
	return reading.value;
}
