#include "services/secret-vault/rotation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/scoped.h"
#include "services/secret-vault/eraser_work.h"
#include "services/secret-vault/handover.h"
#include "services/secret-vault/keyset.h"
#include "services/secret-vault/opening.h"

#define KEYS_TEXT (4 * KEY_ID_LEN + 16)

struct rotation {
	struct vault *vault;
	bool is_busy, is_failing;
};

/* ---- in the worker's thread */

static const char *keys_text(const struct keyset *keyset, char text[KEYS_TEXT])
{
	char now[2 * KEY_ID_LEN + 1], next[2 * KEY_ID_LEN + 1];
	snprintf(text, KEYS_TEXT, "%s to %s", master_id_text(keyset_key_id(&keyset->now), now),
	    master_id_text(keyset_key_id(&keyset->next), next));
	return text;
}

static int note(struct desk *desk, const struct keyset *keyset, const char *act, const char *by,
    struct error *err)
{
	char keys[KEYS_TEXT];
	const struct audit_note audit = {.act = act, .by = by, .detail = keys_text(keyset, keys)};
	return records_audit(desk, NULL, &audit, err);
}

static int store_next(struct desk *desk, struct keyset *keyset, const struct master *next,
    const struct master_kdf *kdf, struct error *err)
{
	uint8_t bytes[MASTER_KDF_LEN];
	seal_check_make(next, keyset->store_id, keyset->next.check);
	keyset->next.is_set = true;
	if (store_set(desk->db, KEYSET_NEXT_CHECK, keyset->next.check, SEAL_CHECK_LEN, err) != 0)
		return -1;
	if (!kdf)
		return store_unset(desk->db, KEYSET_NEXT_KDF, err);
	master_kdf_encode(kdf, bytes);
	return store_set(desk->db, KEYSET_NEXT_KDF, bytes, sizeof(bytes), err);
}

static bool is_key(const struct keyset_key *key, const struct master *master)
{
	return key->is_set && memcmp(keyset_key_id(key), master_id(master), KEY_ID_LEN) == 0;
}

int rotation_begin(struct desk *desk, const struct master *next, const struct master_kdf *kdf,
    const char *by, struct error *err)
{
	struct keyset keyset;
	if (keyset_read(desk->db, &keyset, err) != 0)
		return -1;
	if (!keyset.now.is_set || !keyset_find(desk, keyset_key_id(&keyset.now)))
		return error_refuse(err, ERR_UNAVAILABLE, "vault_sealed",
		    "the master key in use is not known here");
	if (is_key(&keyset.next, next))
		return 0;
	if (keyset.next.is_set)
		return error_refuse(err, ERR_CONFLICT, "rotation_under_way",
		    "the master key is being changed to another one already");
	if (is_key(&keyset.now, next))
		return error_refuse(
		    err, ERR_CONFLICT, "key_unchanged", "the next master key is the one in use");
	if (store_next(desk, &keyset, next, kdf, err) != 0)
		return -1;
	return note(desk, &keyset, "rotate_begin", by, err);
}

struct batch {
	size_t len;
	struct store_period row[ROTATION_BATCH];
};

static bool add_row(void *arg, const struct store_period *row)
{
	struct batch *batch = arg;
	batch->row[batch->len++] = *row;
	return batch->len < ROTATION_BATCH;
}

static int rewrap(
    struct desk *desk, const struct master *next, struct store_period *row, struct error *err)
{
	const struct master *master = keyset_find(desk, row->key_id);
	scoped_secret struct secret *data_key = NULL;
	if (!master)
		return error_refuse(
		    err, ERR_UNAVAILABLE, "vault_foreign_key", "its master key is not known here");
	data_key = data_key_unwrap(master, row, err);
	if (!data_key)
		return -1;
	data_key_wrap(next, data_key, row);
	return store_period_rewrap(desk->db, row, err);
}

/* One that cannot be opened does not hold up the others, but the change does not end while there is one: its data key would be lost with the old key. */
static int rewrap_batch(
    struct desk *desk, const struct master *next, struct batch *batch, struct error *err)
{
	char period[PERIOD_TEXT_MAX + 1];
	struct error why;
	size_t good = 0;
	for (size_t i = 0; i < batch->len; i++) {
		struct store_period *row = &batch->row[i];
		if (rewrap(desk, next, row, &why) == 0)
			good++;
		else if (strcmp(why.reason, "storage_unavailable") == 0)
			return *err = why, -1;
		else
			log_error("a data key cannot be wrapped anew", "period",
			    period_text(&row->period, period), "why", why.text);
	}
	if (good == 0 && batch->len > 0)
		return error_set(err, ERR_INTERNAL, "%zu data keys cannot be opened", batch->len);
	return 0;
}

static int finish(struct desk *desk, const struct keyset *keyset, const char *by, struct error *err)
{
	struct db *db = desk->db;
	uint8_t bytes[MASTER_KDF_LEN];
	if (store_set(db, KEYSET_CHECK, keyset->next.check, SEAL_CHECK_LEN, err) != 0 ||
	    store_unset(db, KEYSET_NEXT_CHECK, err) != 0 ||
	    store_unset(db, KEYSET_NEXT_KDF, err) != 0)
		return -1;
	master_kdf_encode(&keyset->next.kdf, bytes);
	int result = keyset->next.has_kdf ? store_set(db, KEYSET_KDF, bytes, sizeof(bytes), err)
					  : store_unset(db, KEYSET_KDF, err);
	if (result != 0 || eraser_note_scrub(db, err) != 0)
		return -1;
	return note(desk, keyset, "rotate", by, err);
}

int rotation_step(struct desk *desk, const char *by, bool *left_r, struct error *err)
{
	struct keyset keyset;
	*left_r = false;
	if (keyset_read(desk->db, &keyset, err) != 0)
		return -1;
	if (!keyset.next.is_set)
		return 0;
	const struct master *next = keyset_find(desk, keyset_key_id(&keyset.next));
	if (!next)
		return error_refuse(err, ERR_UNAVAILABLE, "vault_foreign_key",
		    "the next master key is not known here");
	scoped_free struct batch *batch = calloc(1, sizeof(*batch));
	bug_if(!batch);
	if (store_periods_not_under(
		desk->db, keyset_key_id(&keyset.next), ROTATION_BATCH, add_row, batch, err) != 0)
		return -1;
	*left_r = batch->len > 0;
	if (*left_r)
		return rewrap_batch(desk, next, batch, err);
	if (handover_rewrap(desk, next, left_r, err) != 0)
		return -1;
	return *left_r ? 0 : finish(desk, &keyset, by, err);
}

/* ---- on the loop */

struct step {
	struct vault *vault;
	bool is_left;
};

static int work(void *arg, struct desk *desk, struct error *err)
{
	struct step *step = arg;
	return rotation_step(desk, "vault", &step->is_left, err);
}

static void send_step(struct rotation *rotation, struct step *step);

static void tell_failure(struct rotation *rotation, const struct error *err)
{
	if (err && !rotation->is_failing)
		log_error("the change of the master key is held up; tried again", "why", err->text);
	rotation->is_failing = err != NULL;
}

/* At its end the keys of the desk are sorted anew by what the store says now. */
static void stepped(void *arg, const struct error *err)
{
	struct step *step = arg;
	struct vault *vault = step->vault;
	struct rotation *rotation = vault->rotation;
	if (vault->is_stopping) {
		free(step);
		return;
	}
	tell_failure(rotation, err);
	if (!err && step->is_left) {
		send_step(rotation, step);
		return;
	}
	rotation->is_busy = false;
	free(step);
	if (err)
		return;
	log_audit("the master key was changed", "from", vault->key_id, "to", vault->next_key_id);
	opening_again(vault->opening, NULL, false, "", NULL, NULL);
}

static void send_step(struct rotation *rotation, struct step *step)
{
	step->vault = rotation->vault;
	rotation->is_busy = true;
	worker_do(rotation->vault->worker, WORKER_WRITE, work, stepped, step);
}

void rotation_go_on(struct rotation *rotation)
{
	struct vault *vault = rotation->vault;
	bool is_up = vault->state == VAULT_OPEN || vault->state == VAULT_CATCHING_UP;
	if (rotation->is_busy || !is_up || !vault->next_key_id[0] || vault->is_stopping)
		return;
	struct step *step = calloc(1, sizeof(*step));
	bug_if(!step);
	send_step(rotation, step);
}

struct rotation *rotation_new(struct vault *vault)
{
	struct rotation *rotation = calloc(1, sizeof(*rotation));
	bug_if(!rotation);
	rotation->vault = vault;
	return rotation;
}

void rotation_destroy(struct rotation **rotation)
{
	free(*rotation);
	*rotation = NULL;
}
