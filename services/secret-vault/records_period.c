/* The half of records.h that picks a period. A row of the store is believed only as far as its sealed parts and the marks go: state can be set to "live" by whoever
 * writes to the database, since cannot, because the data key is sealed to it.
 */
#include "services/secret-vault/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/wire.h"
#include "services/secret-vault/handover.h"
#include "services/secret-vault/keyset.h"

#define MADE_BY "vault"

void open_period_close(struct open_period *period)
{
	secret_destroy(&period->data_key);
	memset(period, 0, sizeof(*period));
}

/* What is cut has to stay UTF-8, or nobody could be told of it. */
static void copy_text(char *to, size_t size, const char *text)
{
	size_t len;

	to[0] = '\0';
	if (!text)
		return;
	len = strnlen(text, size - 1);
	while (!utf8_is_valid(text, len))
		len--;
	memcpy(to, text, len);
	to[len] = '\0';
}

static int append(struct desk *desk, struct store_heads *heads, const char *chain,
    const struct audit_note *note, struct error *err)
{
	struct audit_entry entry = {.at_ms = desk->now_ms, .version = note->version};

	snprintf(entry.chain, sizeof(entry.chain), "%s", chain);
	copy_text(entry.act, sizeof(entry.act), note->act);
	copy_text(entry.by, sizeof(entry.by), note->by);
	copy_text(entry.kind, sizeof(entry.kind), note->kind);
	copy_text(entry.name, sizeof(entry.name), note->name);
	copy_text(entry.detail, sizeof(entry.detail), note->detail);
	return store_audit_append(desk->db, heads, &entry, err);
}

int records_audit_all(struct desk *desk, const struct period *period, const struct audit_note *note,
    size_t len, struct error *err)
{
	static const struct period global = {.asset = PERIOD_GLOBAL};
	char chain[PERIOD_TEXT_MAX + 1];
	struct store_heads heads;

	_Static_assert(PERIOD_TEXT_MAX <= AUDIT_CHAIN_MAX, "a period names its chain");
	period_text(period ? period : &global, chain);
	if (store_audit_heads(desk->db, chain, &heads, err) != 0)
		return -1;
	for (size_t i = 0; i < len; i++)
		if (append(desk, &heads, chain, &note[i], err) != 0)
			return -1;
	return 0;
}

int records_audit(struct desk *desk, const struct period *period, const struct audit_note *note,
    struct error *err)
{
	return records_audit_all(desk, period, note, 1, err);
}

static int check_unsealed(const struct desk *desk, struct error *err)
{
	if (!desk->master)
		return error_refuse(
		    err, ERR_UNAVAILABLE, "vault_sealed", "the master key is not known yet");
	return 0;
}

static int refuse_rolled_back(const struct period *period, const char *what, struct error *err)
{
	char text[PERIOD_TEXT_MAX + 1];

	return error_refuse(err, ERR_INTERNAL, "secret_rolled_back",
	    "the store is older than the marks: %s: %s", what, period_text(period, text));
}

/* The master key that a row says it is under. */
static const struct master *master_of(const struct desk *desk, const struct store_period *row)
{
	bool is_next = desk->next && memcmp(master_id(desk->next), row->key_id, KEY_ID_LEN) == 0;

	return is_next ? desk->next : desk->master;
}

/* Opens a row that was picked: 1 or -1. */
static int open_row(struct desk *desk, const struct store_period *row, struct open_period *period_r,
    struct error *err)
{
	uint64_t mark;

	if (highwater_get(desk->highwater, &row->period, "", "", &mark, err) != 0)
		return -1;
	if (mark >= HIGHWATER_GONE)
		return refuse_rolled_back(&row->period, "a destroyed period is back", err);
	struct secret *data_key = data_key_unwrap(master_of(desk, row), row, err);
	if (!data_key)
		return -1;
	if (mark == 0 && highwater_raise(desk->highwater, &row->period, "", "", 1, err) != 0) {
		secret_destroy(&data_key);
		return -1;
	}
	*period_r = (struct open_period){.row = *row, .data_key = data_key};
	return 1;
}

/* ---- which of an asset's periods is meant ---- */

/* A period that has a mark below HIGHWATER_GONE, and what the store has of it. */
struct marked {
	struct period period;
	bool found, destroyed;
};
struct pick {
	const struct holding *holding;
	struct marked *marked; /* of the wallet */
	size_t len, room;
	struct store_period row; /* the newest that is not over */
	bool found;
};

static bool keep_marked(void *arg, const struct period *period)
{
	struct pick *pick = arg;

	if (strcmp(period->wallet, pick->holding->wallet) != 0)
		return true;
	if (pick->len == pick->room) {
		pick->room = pick->room ? 2 * pick->room : 8;
		pick->marked = reallocarray(pick->marked, pick->room, sizeof(pick->marked[0]));
		bug_if(!pick->marked);
	}
	pick->marked[pick->len++] = (struct marked){.period = *period};
	return true;
}

static bool pick_row(void *arg, const struct store_period *row)
{
	struct pick *pick = arg;
	bool is_destroyed = row->state == PERIOD_DESTROYED;

	if (strcmp(row->period.wallet, pick->holding->wallet) != 0)
		return true;
	for (size_t i = 0; i < pick->len; i++) {
		if (pick->marked[i].period.slot == row->period.slot) {
			pick->marked[i].found = true;
			pick->marked[i].destroyed = is_destroyed;
		}
	}
	if (!is_destroyed && row->since > pick->holding->other_slot &&
	    (!pick->found || row->since > pick->row.since)) {
		pick->row = *row;
		pick->found = true;
	}
	return true;
}

/* The marks were not told: another vault did it, or a crash came between, or whoever writes to the store says so: nothing is sealed that could tell. */
static int learn_destroyed(struct desk *desk, const struct period *period, struct error *err)
{
	char text[PERIOD_TEXT_MAX + 1];

	if (highwater_gone(desk->highwater, period, err) != 0)
		return -1;
	log_audit("destroyed, says the store", "period", period_text(period, text));
	return 0;
}

/* Rows are never deleted: one that the marks know and the store does not was in a later store than this one. That holds for periods that are over, too: whether a
 * missing one was is not known any more, it may have been reinstated. */
static int check_marked(struct desk *desk, const struct pick *pick, struct error *err)
{
	for (size_t i = 0; i < pick->len; i++) {
		const struct marked *marked = &pick->marked[i];

		if (!marked->found)
			return refuse_rolled_back(&marked->period, "a period is missing", err);
		if (marked->destroyed && learn_destroyed(desk, &marked->period, err) != 0)
			return -1;
	}
	return 0;
}

static int pick_period(struct desk *desk, struct pick *pick, struct error *err)
{
	const char *asset = pick->holding->asset;
	int rc = -1;

	if (highwater_periods_of(desk->highwater, asset, keep_marked, pick, err) == 0 &&
	    store_periods_of(desk->db, asset, pick_row, pick, err) == 0)
		rc = check_marked(desk, pick, err);
	free(pick->marked);
	pick->marked = NULL;
	return rc;
}

int records_open_period(struct desk *desk, const struct holding *holding,
    struct open_period *period_r, struct error *err)
{
	struct pick pick = {.holding = holding};

	memset(period_r, 0, sizeof(*period_r));
	bug_if(strcmp(holding->asset, PERIOD_GLOBAL) == 0);
	if (check_unsealed(desk, err) != 0 || pick_period(desk, &pick, err) != 0)
		return -1;
	if (!pick.found)
		return 0;
	/* locked on what was known at one moment, and the record vouches for it now: the holder will unlock it; until then there must not be a second one */
	if (pick.row.state == PERIOD_LOCKED) {
		error_refuse(err, ERR_UNAVAILABLE, "vault_period_locked",
		    "what this owner keeps is locked until the asset was looked at again");
		err->retry_after_s = 1;
		return -1;
	}
	return open_row(desk, &pick.row, period_r, err);
}

/* ---- new ones ---- */

/* A slot at which no period ever was. A destroyed one may lie at the slot of proof (an operator destroyed it, the session is the same): the next slot is as good, since
 * another owner is seen later than the proof and a period since that slot is over then. The one after that is not. */
static int free_slot(
    struct desk *desk, const struct holding *holding, struct period *period_r, struct error *err)
{
	struct period period = {.slot = holding->slot};
	struct store_period row;
	uint64_t mark = 0;

	snprintf(period.asset, sizeof(period.asset), "%s", holding->asset);
	snprintf(period.wallet, sizeof(period.wallet), "%s", holding->wallet);
	for (; period.slot <= holding->slot + 1; period.slot++) {
		int found = store_period_find(desk->db, &period, &row, err);
		if (found < 0 || highwater_get(desk->highwater, &period, "", "", &mark, err) != 0)
			return -1;
		if (found == 0 && mark == 0) {
			*period_r = period;
			return 0;
		}
	}
	return error_refuse(err, ERR_CONFLICT, "vault_period_destroyed",
	    "what this owner kept was destroyed: a later proof of ownership begins anew");
}

static int make_row(
    struct desk *desk, const struct period *period, struct open_period *period_r, struct error *err)
{
	struct store_period row = {.period = *period,
	    .since = period->slot,
	    .state = PERIOD_LIVE,
	    .created_ms = desk->now_ms,
	    .changed_ms = desk->now_ms};
	scoped_secret struct secret *data_key = data_key_new();
	struct audit_note note = {.act = "period", .by = MADE_BY};
	char id[2 * KEY_ID_LEN + 1];
	const struct master *master = keyset_wrapper(desk, err);

	if (!master)
		return -1;
	data_key_wrap(master, data_key, &row);
	note.detail = master_id_text(row.key_id, id);
	if (store_period_add(desk->db, &row, err) != 0 ||
	    records_audit(desk, period, &note, err) != 0 ||
	    highwater_raise(desk->highwater, period, "", "", 1, err) != 0 ||
	    handover_begin(desk, period, err) != 0)
		return -1;
	*period_r = (struct open_period){.row = row, .data_key = data_key};
	data_key = NULL;
	return 1;
}

int records_make_period(struct desk *desk, const struct holding *holding,
    struct open_period *period_r, bool *made_r, struct error *err)
{
	int found = records_open_period(desk, holding, period_r, err);
	struct period period;

	*made_r = false;
	if (found != 0)
		return found;
	if (holding->slot <= holding->other_slot)
		return error_refuse(err, ERR_DENIED, "not_owner",
		    "another owner was seen since this proof of ownership");
	if (free_slot(desk, holding, &period, err) != 0 ||
	    make_row(desk, &period, period_r, err) < 0)
		return -1;
	*made_r = true;
	return 1;
}

int records_open_global(
    struct desk *desk, bool make, struct open_period *period_r, struct error *err)
{
	static const struct period global = {.asset = PERIOD_GLOBAL};
	struct store_period row;
	uint64_t mark;

	memset(period_r, 0, sizeof(*period_r));
	if (check_unsealed(desk, err) != 0)
		return -1;
	int found = store_period_find(desk->db, &global, &row, err);
	if (found < 0)
		return -1;
	if (found > 0 && row.state != PERIOD_LIVE)
		return refuse_rolled_back(&global, "the operators' period is not live", err);
	if (found > 0)
		return open_row(desk, &row, period_r, err);
	if (highwater_get(desk->highwater, &global, "", "", &mark, err) != 0)
		return -1;
	if (mark > 0)
		return refuse_rolled_back(&global, "the operators' period is missing", err);
	return make ? make_row(desk, &global, period_r, err) : 0;
}
