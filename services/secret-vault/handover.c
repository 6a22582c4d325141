#include "services/secret-vault/handover.h"

#include <sodium.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/scoped.h"
#include "services/secret-vault/eraser_work.h"
#include "services/secret-vault/keyset.h"
#include "services/secret-vault/records_internal.h"

/* What is known of an asset's. */
struct found {
	struct store_handover row;
	uint64_t mark;
	bool is_there, is_good; /* it opens, and is not older than its mark */
	uint8_t bytes[HANDOVER_LEN];
	size_t len; /* 0: nothing is handed over */
};
static void found_wipe(struct found *found)
{
	sodium_memzero(found, sizeof(*found));
}
#define scoped_found __attribute__((cleanup(found_wipe)))

static struct period mark_of(const char *asset)
{
	struct period period = {.slot = 0};

	snprintf(period.asset, sizeof(period.asset), "%s", asset);
	return period;
}

static bool is_period(const struct period *a, const struct period *b)
{
	return strcmp(a->wallet, b->wallet) == 0 && a->slot == b->slot;
}

/* ---- reading ---- */

/* 0 whether it opens or not; -1 if another key might open it. */
static int open_row(struct desk *desk, struct found *found, struct error *err)
{
	const struct store_handover *row = &found->row;
	const struct master *master = keyset_find(desk, row->key_id);
	struct error why;

	if (!master && !keyset_wrapper(desk, err))
		return -1;
	if (row->version < found->mark)
		error_refuse(&why, ERR_INTERNAL, "secret_rolled_back",
		    "it is older than its mark: an older store was put back");
	else if (!master)
		error_refuse(&why, ERR_INTERNAL, "secret_undecryptable", "no master key opens it");
	else if (seal_open_handover(master, row, found->bytes, &found->len, &why) == 0)
		found->is_good = true;
	if (!found->is_good)
		log_audit(
		    "hand-over", "outcome", why.reason, "asset", row->from.asset, "why", why.text);
	return 0;
}

static int look(struct desk *desk, const char *asset, struct found *found_r, struct error *err)
{
	const struct period mark = mark_of(asset);

	*found_r = (struct found){.mark = 0};
	if (highwater_get(desk->highwater, &mark, HIGHWATER_HANDOVER, "", &found_r->mark, err) != 0)
		return -1;
	int found = store_handover_find(desk->db, asset, &found_r->row, err);
	if (found < 0)
		return -1;
	found_r->is_there = found > 0;
	if (found == 0 && found_r->mark > 0)
		log_audit("hand-over", "outcome", "secret_rolled_back", "asset", asset, "why",
		    "it is missing: an older store was put back");
	if (found == 0)
		return 0;
	if (open_row(desk, found_r, err) != 0)
		return -1;
	return !found_r->is_good || found_r->row.version == found_r->mark
		   ? 0
		   : highwater_raise(
			 desk->highwater, &mark, HIGHWATER_HANDOVER, "", found_r->row.version, err);
}

/* ---- writing ---- */

/* row: from and to are set. What was there leaves the store's files, too. */
static int put(struct desk *desk, const struct found *was, struct store_handover *row,
    const uint8_t *bytes, size_t len, struct error *err)
{
	const char *asset = row->from.asset;
	const struct period mark = mark_of(asset);
	const struct master *master = keyset_wrapper(desk, err);

	if (!master || records_next_version(HIGHWATER_HANDOVER, asset, was->mark,
			   was->is_there ? was->row.version : 0, &row->version, err) != 0)
		return -1;
	row->updated_ms = desk->now_ms;
	seal_handover(master, bytes, len, row);
	if (store_handover_put(desk->db, row, err) != 0)
		return -1;
	if (was->is_there && was->row.sealed_len > SEAL_OVERHEAD &&
	    eraser_note_trace(desk, was->row.sealed, was->row.sealed_len, err) != 0)
		return -1;
	return highwater_raise(desk->highwater, &mark, HIGHWATER_HANDOVER, "", row->version, err);
}

static int put_nothing(struct desk *desk, const struct found *was, struct error *err)
{
	static const uint8_t nothing[1];
	struct store_handover row = {.from = was->row.from, .to = was->row.to};

	return put(desk, was, &row, nothing, 0, err);
}

/* Is there something to be made nothing of? What does not open is, too. */
static bool is_something(const struct found *found)
{
	return found->is_there && (!found->is_good || found->len > 0);
}

/* ---- the giver ---- */

struct later {
	const struct open_period *than;
	bool is_there;
};

static bool note_later(void *arg, const struct store_period *row)
{
	struct later *later = arg;
	const struct store_period *than = &later->than->row;

	later->is_there |= row->since > than->since && !is_period(&row->period, &than->period);
	return !later->is_there;
}

/* Another owner may have come while this was on its way: that one's period was made before there was anything to receive. */
static int check_is_last(struct desk *desk, const struct open_period *giver, struct error *err)
{
	struct later later = {.than = giver};

	if (store_periods_of(desk->db, giver->row.period.asset, note_later, &later, err) != 0)
		return -1;
	return later.is_there ? error_refuse(err, ERR_DENIED, "grant_refused",
				    "a later ownership period has begun")
			      : 0;
}

int handover_put(struct desk *desk, const struct open_period *giver,
    const uint8_t key[HANDOVER_KEY_LEN], const uint8_t digest[HANDOVER_DIGEST_LEN],
    struct error *err)
{
	struct store_handover row = {.from = giver->row.period};
	scoped_found struct found was;
	uint8_t bytes[HANDOVER_LEN];

	_Static_assert(HANDOVER_KEY_LEN + HANDOVER_DIGEST_LEN == HANDOVER_LEN, "what is sealed");
	if (check_is_last(desk, giver, err) != 0 || look(desk, row.from.asset, &was, err) != 0)
		return -1;
	memcpy(row.to.asset, row.from.asset, sizeof(row.to.asset));
	memcpy(bytes, key, HANDOVER_KEY_LEN);
	memcpy(bytes + HANDOVER_KEY_LEN, digest, HANDOVER_DIGEST_LEN);
	int rc = put(desk, &was, &row, bytes, sizeof(bytes), err);
	sodium_memzero(bytes, sizeof(bytes));
	return rc;
}

int handover_drop(
    struct desk *desk, const struct period *period, enum handover_part *part_r, struct error *err)
{
	scoped_found struct found found;

	*part_r = HANDOVER_NONE;
	if (look(desk, period->asset, &found, err) != 0)
		return -1;
	if (!is_something(&found))
		return 0;
	if (is_period(&found.row.from, period))
		*part_r = HANDOVER_GIVER;
	else if (is_period(&found.row.to, period))
		*part_r = HANDOVER_RECEIVER;
	return *part_r == HANDOVER_NONE ? 0 : put_nothing(desk, &found, err);
}

/* ---- the receiver ---- */

/* Only evidence at finalized destroys the giver's period: until then the sale may be one node's lie. A row that is missing proves nothing. 1, 0, -1. */
static int is_sale_final(struct desk *desk, const struct period *giver, struct error *err)
{
	struct store_period row;
	int found = store_period_find(desk->db, giver, &row, err);

	return found > 0 ? row.state == PERIOD_DESTROYED : found;
}

int handover_read(
    struct desk *desk, const struct period *receiver, struct handed *handed_r, struct error *err)
{
	scoped_found struct found found;

	if (look(desk, receiver->asset, &found, err) != 0)
		return -1;
	if (!found.is_good || found.len == 0 || !is_period(&found.row.to, receiver))
		return 0;
	int is_final = is_sale_final(desk, &found.row.from, err);
	if (is_final <= 0)
		return is_final;
	memcpy(handed_r->key, found.bytes, HANDOVER_KEY_LEN);
	memcpy(handed_r->digest, found.bytes + HANDOVER_KEY_LEN, HANDOVER_DIGEST_LEN);
	handed_r->from = found.row.from;
	return 1;
}

/* A period that is made late, of who was the owner before the giver, is no receiver. */
int handover_begin(struct desk *desk, const struct period *period, struct error *err)
{
	scoped_found struct found found;

	if (period_is_global(period))
		return 0;
	if (look(desk, period->asset, &found, err) != 0)
		return -1;
	if (!found.is_good || found.len == 0 || found.row.to.wallet[0] ||
	    period->slot <= found.row.from.slot)
		return 0;
	struct store_handover row = {.from = found.row.from, .to = *period};
	return put(desk, &found, &row, found.bytes, found.len, err);
}

/* ---- the end of it ---- */

int handover_end(struct desk *desk, const struct period *period, struct error *err)
{
	enum handover_part part;
	struct store_handover row;
	int found = store_handover_find(desk->db, period->asset, &row, err);

	/* no key is asked for where nothing has to be sealed: erasing waits for nothing else */
	if (found <= 0 || !is_period(&row.to, period))
		return found < 0 ? -1 : 0;
	return handover_drop(desk, period, &part, err);
}

int handover_reopen(struct desk *desk, const struct period *giver, struct error *err)
{
	scoped_found struct found found;

	if (look(desk, giver->asset, &found, err) != 0)
		return -1;
	if (!found.is_good || found.len == 0 || !found.row.to.wallet[0] ||
	    !is_period(&found.row.from, giver))
		return 0;
	struct store_handover row = {.from = found.row.from};
	memcpy(row.to.asset, row.from.asset, sizeof(row.to.asset));
	return put(desk, &found, &row, found.bytes, found.len, err);
}

int handover_forget(struct desk *desk, const char *asset, const char *wallet, struct error *err)
{
	scoped_found struct found found;

	if (look(desk, asset, &found, err) != 0)
		return -1;
	bool is_theirs =
	    strcmp(found.row.from.wallet, wallet) == 0 || strcmp(found.row.to.wallet, wallet) == 0;
	return is_something(&found) && is_theirs ? put_nothing(desk, &found, err) : 0;
}

/* ---- another master key ---- */

struct batch {
	size_t len;
	struct store_handover row[HANDOVER_BATCH];
};

static bool add_row(void *arg, const struct store_handover *row)
{
	struct batch *batch = arg;

	batch->row[batch->len++] = *row;
	return batch->len < HANDOVER_BATCH;
}

/* Sealed anew it is the same one: same version, no other mark. */
static int rewrap(
    struct desk *desk, const struct master *next, struct store_handover *row, struct error *err)
{
	const struct master *master = keyset_find(desk, row->key_id);
	uint8_t bytes[HANDOVER_LEN];
	struct error why = {0};
	size_t len = 0;

	if (!master || seal_open_handover(master, row, bytes, &len, &why) != 0) {
		scoped_found struct found lost = {.row = *row, .is_there = true};
		const struct period mark = mark_of(row->from.asset);
		log_audit("hand-over", "outcome", "lost", "asset", row->from.asset, "why",
		    master ? why.text : "no master key opens it");
		if (highwater_get(
			desk->highwater, &mark, HIGHWATER_HANDOVER, "", &lost.mark, err) != 0)
			return -1;
		return put_nothing(desk, &lost, err);
	}
	seal_handover(next, bytes, len, row);
	sodium_memzero(bytes, sizeof(bytes));
	return store_handover_put(desk->db, row, err);
}

int handover_rewrap(struct desk *desk, const struct master *next, bool *left_r, struct error *err)
{
	scoped_free struct batch *batch = calloc(1, sizeof(*batch));

	bug_if(!batch);
	if (store_handovers_not_under(
		desk->db, master_id(next), HANDOVER_BATCH, add_row, batch, err) != 0)
		return -1;
	*left_r = batch->len > 0;
	for (size_t i = 0; i < batch->len; i++)
		if (rewrap(desk, next, &batch->row[i], err) != 0)
			return -1;
	return 0;
}
