#include "services/secret-vault/snapshot.h"

#include "services/secret-vault/records_internal.h"

static int judge(const struct store_snapshot *row, bool found, uint64_t mark, struct error *err)
{
	if (found && row->number >= mark && row->number > 0)
		return 0;
	if (!found && mark == 0)
		return 0;
	return error_refuse(err, ERR_INTERNAL, "secret_rolled_back",
	    "the store is older than the marks: the newest snapshot was %llu, it has %llu",
	    (unsigned long long)mark, (unsigned long long)row->number);
}

static int open_digest(const struct open_period *period, const struct store_snapshot *row,
    struct snapshot *snapshot_r, struct error *err)
{
	const struct seal_name as =
	    records_name(period, HIGHWATER_SNAPSHOT, "", row->number, SEAL_DIGEST);
	size_t len;

	if (seal_open_into(period->data_key, &as, row->sealed, row->sealed_len, snapshot_r->digest,
		sizeof(snapshot_r->digest), &len, err) != 0)
		return -1;
	if (len != sizeof(snapshot_r->digest))
		return error_refuse(err, ERR_INTERNAL, "secret_undecryptable",
		    "the digest of the newest snapshot is cut");
	snapshot_r->number = row->number;
	return 0;
}

int snapshot_read(struct desk *desk, const struct open_period *period, struct snapshot *snapshot_r,
    struct error *err)
{
	const struct period *of = &period->row.period;
	struct store_snapshot row;
	uint64_t mark;

	*snapshot_r = (struct snapshot){.number = 0};
	if (highwater_get(desk->highwater, of, HIGHWATER_SNAPSHOT, "", &mark, err) != 0)
		return -1;
	int found = store_snapshot_find(desk->db, period->row.id, &row, err);
	if (found < 0 || judge(&row, found > 0, mark, err) != 0)
		return -1;
	if (found == 0)
		return 0;
	if (open_digest(period, &row, snapshot_r, err) != 0)
		return -1;
	return row.number == mark
		   ? 0
		   : highwater_raise(desk->highwater, of, HIGHWATER_SNAPSHOT, "", row.number, err);
}

/* The mark rises last, as a record's. */
static int put(struct desk *desk, const struct open_period *period, uint64_t at,
    const uint8_t digest[SNAPSHOT_DIGEST_LEN], struct error *err)
{
	struct store_snapshot row = {.period_id = period->row.id,
	    .number = at,
	    .updated_ms = desk->now_ms,
	    .sealed_len = SNAPSHOT_DIGEST_LEN + SEAL_OVERHEAD};
	const struct seal_name as = records_name(period, HIGHWATER_SNAPSHOT, "", at, SEAL_DIGEST);

	_Static_assert(SNAPSHOT_DIGEST_LEN + SEAL_OVERHEAD <= SEALED_MAX, "a sealed digest");
	seal_record(period->data_key, &as, digest, SNAPSHOT_DIGEST_LEN, row.sealed);
	if (store_snapshot_put(desk->db, &row, err) != 0)
		return -1;
	return highwater_raise(
	    desk->highwater, &period->row.period, HIGHWATER_SNAPSHOT, "", at, err);
}

int snapshot_keep(struct desk *desk, const struct open_period *period, uint64_t base,
    const uint8_t digest[SNAPSHOT_DIGEST_LEN], struct error *err)
{
	struct snapshot newest;

	if (snapshot_read(desk, period, &newest, err) != 0)
		return -1;
	if (base == newest.number)
		return put(desk, period, base + 1, digest, err) == 0 ? 1 : -1;
	if (newest.number > 0 && base == newest.number - 1 &&
	    memcmp(newest.digest, digest, SNAPSHOT_DIGEST_LEN) == 0)
		return 0;
	return error_refuse(err, ERR_CONFLICT, "snapshot_overtaken",
	    "made from snapshot %llu, the newest is %llu: restore that one first",
	    (unsigned long long)base, (unsigned long long)newest.number);
}
