/* What the eraser does in the worker's thread. */
#include <sodium.h>
#include <string.h>

#include "common/scoped.h"
#include "services/secret-vault/breaker.h"
#include "services/secret-vault/eraser_work.h"
#include "services/secret-vault/handover.h"

#define BREAKER_NAME "erasures"
#define SCRUB_NAME "scrub_due"

/* ---- the breaker in the store */

static struct breaker *read_breaker(struct db *db, struct error *err)
{
	scoped_free uint8_t *bytes = malloc(BREAKER_BYTES_MAX);
	struct breaker *breaker = calloc(1, sizeof(*breaker));
	size_t len;
	bug_if(!bytes || !breaker);
	if (store_get(db, BREAKER_NAME, bytes, BREAKER_BYTES_MAX, &len, err) == 0 &&
	    breaker_decode(bytes, len, breaker, err) == 0)
		return breaker;
	free(breaker);
	return NULL;
}

int eraser_allow(struct desk *desk, uint64_t limit, bool *allows_r, struct error *err)
{
	scoped_free uint8_t *bytes = malloc(BREAKER_BYTES_MAX);
	scoped_free struct breaker *breaker = read_breaker(desk->db, err);
	bug_if(!bytes);
	if (!breaker)
		return -1;
	*allows_r = breaker_lets(breaker, limit, desk->now_ms);
	return store_set(desk->db, BREAKER_NAME, bytes, breaker_encode(breaker, bytes), err);
}

int eraser_reset(struct desk *desk, struct error *err)
{
	return store_unset(desk->db, BREAKER_NAME, err);
}

/* ---- destroying */

int eraser_read(struct desk *desk, bool *is_tripped_r, bool *must_scrub_r, struct error *err)
{
	uint8_t due[ERASER_DUE_LEN];
	size_t len;
	scoped_free struct breaker *breaker = read_breaker(desk->db, err);
	if (!breaker || store_get(desk->db, SCRUB_NAME, due, sizeof(due), &len, err) != 0)
		return -1;
	*is_tripped_r = breaker->is_tripped;
	*must_scrub_r = len > 0;
	/* not by this process: what it has to look for nobody remembers */
	if (*must_scrub_r && desk->traces.len == 0)
		desk->traces.overflown = true;
	return 0;
}

/* That the files have to be scrubbed is in the same transaction, so that no crash forgets it. Another value each time: a scrub that began before settles
 * nothing. */
int eraser_note_scrub(struct db *db, struct error *err)
{
	uint8_t due[ERASER_DUE_LEN];
	randombytes_buf(due, sizeof(due));
	return store_set(db, SCRUB_NAME, due, sizeof(due), err);
}

/* One that is rolled back costs a search that finds it, no more. */
static void add_trace(struct db_traces *traces, const void *bytes, size_t len)
{
	_Static_assert(WRAPPED_MAX <= DB_TRACE_MAX && SEALED_MAX <= DB_TRACE_MAX, "a trace");
	if (traces->len == DB_TRACES_MAX) {
		traces->overflown = true;
		return;
	}
	traces->trace[traces->len].len = len;
	memcpy(traces->trace[traces->len++].bytes, bytes, len);
}

int eraser_note_trace(struct desk *desk, const void *bytes, size_t len, struct error *err)
{
	add_trace(&desk->traces, bytes, len);
	return eraser_note_scrub(desk->db, err);
}

int eraser_work(struct desk *desk, const struct store_period *period, const char *by,
    const char *detail, struct error *err)
{
	const struct audit_note note = {.act = "erase", .by = by, .detail = detail};
	if (store_period_destroy(desk->db, period->id, desk->now_ms, err) != 0 ||
	    eraser_note_trace(desk, period->wrapped, period->wrapped_len, err) != 0 ||
	    handover_end(desk, &period->period, err) != 0 ||
	    records_audit(desk, &period->period, &note, err) != 0)
		return -1;
	return highwater_gone(desk->highwater, &period->period, err);
}

static int read_due(struct db *db, uint8_t due_r[ERASER_DUE_LEN], size_t *len_r, struct error *err)
{
	if (db_begin(db, false, err) != 0)
		return -1;
	int result = store_get(db, SCRUB_NAME, due_r, ERASER_DUE_LEN, len_r, err);
	db_rollback(db);
	return result;
}

static int settle(struct db *db, const uint8_t *due, size_t due_len, struct error *err)
{
	uint8_t now[ERASER_DUE_LEN];
	size_t len;
	if (db_begin(db, true, err) != 0)
		return -1;
	int result = store_get(db, SCRUB_NAME, now, sizeof(now), &len, err);
	if (result == 0 && len == due_len && memcmp(now, due, len) == 0)
		result = store_unset(db, SCRUB_NAME, err);
	if (result == 0)
		return db_commit(db, err);
	db_rollback(db);
	return -1;
}

int eraser_scrub_work(struct desk *desk, struct error *err)
{
	uint8_t due[ERASER_DUE_LEN];
	size_t len;
	/* without their data key the records are noise: of them there are no traces to look for */
	const struct db_traces none = {0};
	if (read_due(desk->db, due, &len, err) != 0 ||
	    db_scrub(desk->db, "periods", &desk->traces, err) != 0 ||
	    db_scrub(desk->db, "records", &none, err) != 0 ||
	    db_scrub(desk->db, "handovers", &none, err) != 0)
		return -1;
	desk->traces = (struct db_traces){0};
	return len > 0 ? settle(desk->db, due, len, err) : 0;
}
