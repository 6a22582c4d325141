#include "services/secret-vault/look.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/secret-vault/eraser.h"

#define ORACLE_MS 5000

enum look_verdict look_judge(const struct ledger_owner *record, const struct store_period *row)
{
	if (!record->owner[0])
		return LOOK_UNKNOWN;
	return ledger_owner_vouches(record, row->period.wallet, row->since) ? LOOK_VOUCHED
									    : LOOK_OVER;
}

uint64_t look_min_slot(const struct ledger_owner *record, const struct store_period *row)
{
	bool is_other = strcmp(record->owner, row->period.wallet) != 0;
	uint64_t slot = is_other ? record->seen_slot : 0;
	if (slot < record->other_slot)
		slot = record->other_slot;
	return slot > row->since ? slot : row->since + 1;
}

/* ---- in the store */

/* Only what was judged is changed: it may have been reinstated or destroyed meanwhile. */
static int change(struct look *look, struct desk *desk, enum period_state from,
    enum period_state to, const char *act, struct error *err)
{
	struct store_period row;
	const struct audit_note note = {.act = act, .by = "vault"};
	look->has_changed = false;
	int found = store_period_find(desk->db, &look->row.period, &row, err);
	if (found < 0)
		return -1;
	if (found == 0 || row.state != from || row.since != look->row.since)
		return 0;
	if (store_period_lock(desk->db, row.id, to, desk->now_ms, err) != 0)
		return -1;
	look->has_changed = true;
	return records_audit(desk, &row.period, &note, err);
}

static int lock(void *arg, struct desk *desk, struct error *err)
{
	return change(arg, desk, PERIOD_LIVE, PERIOD_LOCKED, "lock", err);
}

static int unlock(void *arg, struct desk *desk, struct error *err)
{
	return change(arg, desk, PERIOD_LOCKED, PERIOD_LIVE, "unlock", err);
}

/* ---- on the loop */

static void look_again(struct look *look, const struct error *err)
{
	log_debug("an ownership period could not be looked at", "asset", look->row.period.asset,
	    "why", err->text);
	look->done(look, false);
}

static void tell_locked(const struct look *look)
{
	char period[PERIOD_TEXT_MAX + 1], ms[24] = "-";
	struct metrics *metrics = look->vault->process->metrics;
	uint64_t us = look->noticed_us ? clock_boot_us() - look->noticed_us : 0;
	if (look->noticed_us) {
		snprintf(ms, sizeof(ms), "%llu.%03llu", (unsigned long long)us / 1000,
		    (unsigned long long)us % 1000);
		histogram_observe_us(
		    metrics_histogram(metrics, "multiclaw_vault_lock_seconds",
			"From reading an event to the old owner's period locked.", NULL),
		    us);
	}
	log_audit("sealed", "period", period_text(&look->row.period, period), "ms", ms);
}

/* Committed: only now it is so. */
static void take_locked(struct look *look)
{
	look->row.state = PERIOD_LOCKED;
	if (look->has_changed)
		tell_locked(look);
}

static void on_unlocked(void *arg, const struct error *err)
{
	struct look *look = arg;
	char period[PERIOD_TEXT_MAX + 1];
	if (err) {
		look_again(look, err);
		return;
	}
	if (look->has_changed)
		log_audit("unsealed", "period", period_text(&look->row.period, period));
	look->done(look, true);
}

static void on_locked(void *arg, const struct error *err)
{
	struct look *look = arg;
	if (err) {
		look_again(look, err);
		return;
	}
	take_locked(look);
	look->done(look, true);
}

static void lock_it(struct look *look)
{
	if (look->row.state == PERIOD_LIVE)
		worker_do(look->vault->worker, WORKER_WRITE, lock, on_locked, look);
	else
		look->done(look, true);
}

static void on_record(void *arg, const struct ledger_owner *record, const struct error *err);

/* It has begun a record, if that wallet is the owner; else the record still says nothing, and the reading is what there is to go by. */
static void on_read(void *arg, const void *message, const struct error *err)
{
	struct look *look = arg;
	const struct oracle_owner_rsp *rsp = message;
	if (err || look->vault->is_stopping) {
		look->is_locked = true;
		look_again(look, err ? err : &(struct error){.text = "stopping"});
		return;
	}
	if (strcmp(rsp->owner, look->row.period.wallet) != 0) {
		struct ledger_owner seen = {.seen_slot = rsp->slot};
		eraser_add(
		    look->vault->eraser, &look->row.period, look_min_slot(&seen, &look->row));
		look->done(look, true);
		return;
	}
	ledger_hold(look->vault->process->redis, look->row.period.asset, "vault", on_record, look);
}

static void ask_oracle(struct look *look)
{
	struct oracle_owner_req req = {0};
	memcpy(req.asset, look->row.period.asset, sizeof(look->row.period.asset));
	memcpy(req.wallet, look->row.period.wallet, sizeof(look->row.period.wallet));
	look->has_asked = true;
	bus_send(look->vault->oracles, &oracle_owner_call, &req, clock_unix_ms() + ORACLE_MS, "",
	    on_read, look);
}

static void on_locked_unknown(void *arg, const struct error *err)
{
	struct look *look = arg;
	if (err || look->vault->is_stopping) {
		look_again(look, err ? err : &(struct error){.text = "stopping"});
		return;
	}
	take_locked(look);
	ask_oracle(look);
}

static void judge(struct look *look, const struct ledger_owner *record)
{
	struct worker *worker = look->vault->worker;
	enum look_verdict verdict = look_judge(record, &look->row);
	if (verdict == LOOK_VOUCHED && look->row.state == PERIOD_LIVE) {
		look->done(look, true);
	} else if (verdict == LOOK_VOUCHED && look->has_asked) {
		worker_do(worker, WORKER_WRITE, unlock, on_unlocked, look);
	} else if (verdict == LOOK_VOUCHED) {
		ask_oracle(look); /* a Redis that lost the sale vouches, too */
	} else if (verdict == LOOK_OVER) {
		eraser_add(
		    look->vault->eraser, &look->row.period, look_min_slot(record, &look->row));
		lock_it(look);
	} else if (look->has_asked) {
		lock_it(
		    look); /* the owner, and yet no record: with the next event, or the next start */
	} else if (look->row.state == PERIOD_LIVE) {
		worker_do(worker, WORKER_WRITE, lock, on_locked_unknown, look);
	} else {
		ask_oracle(look);
	}
}

static void on_record(void *arg, const struct ledger_owner *record, const struct error *err)
{
	struct look *look = arg;
	if (err || look->vault->is_stopping)
		look_again(look, err ? err : &(struct error){.text = "stopping"});
	else
		judge(look, record);
}

void look_start(struct look *look)
{
	look->has_asked = look->is_locked = false;
	ledger_hold(look->vault->process->redis, look->row.period.asset, "vault", on_record, look);
}
