/* What opening does in the worker's thread. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "services/secret-vault/opening.h"

/* What a try works with, besides what was given to it. */
struct finding {
	struct desk *desk;
	struct keyset keyset;
	struct master *now, *next; /* that fit the store; owned until the desk has them */
};

static void finding_wipe(struct finding *finding)
{
	master_destroy(&finding->now);
	master_destroy(&finding->next);
}
#define scoped_finding __attribute__((cleanup(finding_wipe)))

static bool has_id(const struct master *master, const uint8_t *id)
{
	return master && memcmp(master_id(master), id, KEY_ID_LEN) == 0;
}

/* Ends the transaction either way. */
static int commit_if(struct db *db, int result, struct error *err)
{
	if (result == 0)
		return db_commit(db, err);
	db_rollback(db);
	return -1;
}

/* ---- the store's id, and what it is sealed with */

static int make_store_id(struct finding *finding, struct error *err)
{
	struct keyset *keyset = &finding->keyset;
	if (keyset->has_store_id)
		return 0;
	randombytes_buf(keyset->store_id, STORE_ID_LEN);
	keyset->has_store_id = true;
	return store_set(finding->desk->db, KEYSET_STORE_ID, keyset->store_id, STORE_ID_LEN, err);
}

static int read_store(struct finding *finding, struct error *err)
{
	struct db *db = finding->desk->db;
	if (db_begin(db, true, err) != 0)
		return -1;
	int result = keyset_read(db, &finding->keyset, err);
	if (result == 0)
		result = make_store_id(finding, err);
	return commit_if(db, result, err);
}

/* ---- which of the keys at hand is the one that the store wants */

static struct master *find(
    const struct opening_try *attempt, const struct desk *desk, const uint8_t *id)
{
	const struct master *at_hand = keyset_find(desk, id);
	for (size_t i = 0; !at_hand && i < OPENING_KEYS; i++)
		if (has_id(attempt->keys[i], id))
			at_hand = attempt->keys[i];
	return at_hand ? master_copy(at_hand) : NULL;
}

/* 1: it is the passphrase of this key; 0: it is not; -1 */
static int derive_one(const struct opening_try *attempt, const struct keyset_key *key,
    struct master **master_r, struct error *err)
{
	struct master *master;
	if (*master_r || !key->is_set || !key->has_kdf)
		return 0;
	master = master_derive(attempt->passphrase, &key->kdf, err);
	if (!master)
		return -1;
	if (has_id(master, keyset_key_id(key))) {
		*master_r = master;
		return 1;
	}
	master_destroy(&master);
	return 0;
}

/* The passphrase is that of the key in use, or of the next one: whichever is still missing. */
static int derive(struct finding *finding, const struct opening_try *attempt, struct error *err)
{
	const struct keyset *keyset = &finding->keyset;
	bool is_missing = !finding->now || (keyset->next.is_set && !finding->next);
	if (!attempt->passphrase || !keyset->now.is_set || !is_missing)
		return 0;
	int found = derive_one(attempt, &keyset->now, &finding->now, err);
	if (found == 0)
		found = derive_one(attempt, &keyset->next, &finding->next, err);
	if (found == 0)
		return error_refuse(err, ERR_UNAUTHENTICATED, "passphrase_wrong",
		    "this is not the passphrase that the store waits for");
	return found < 0 ? -1 : 0;
}

static int find_keys(struct finding *finding, const struct opening_try *attempt, struct error *err)
{
	const struct keyset *keyset = &finding->keyset;
	if (keyset->now.is_set && !finding->now)
		finding->now = find(attempt, finding->desk, keyset_key_id(&keyset->now));
	if (keyset->next.is_set)
		finding->next = find(attempt, finding->desk, keyset_key_id(&keyset->next));
	return derive(finding, attempt, err);
}

/* ---- the first key of a new store */

static int store_first(struct finding *finding, const struct master *master,
    const struct master_kdf *kdf, struct error *err)
{
	struct db *db = finding->desk->db;
	struct keyset_key *key = &finding->keyset.now;
	uint8_t bytes[MASTER_KDF_LEN];
	char id[2 * KEY_ID_LEN + 1];
	const struct audit_note note = {
	    .act = "create", .by = "vault", .detail = master_id_text(master_id(master), id)};
	seal_check_make(master, finding->keyset.store_id, key->check);
	key->is_set = true;
	if (store_set(db, KEYSET_CHECK, key->check, sizeof(key->check), err) != 0)
		return -1;
	if (kdf) {
		key->has_kdf = true;
		key->kdf = *kdf;
		master_kdf_encode(kdf, bytes);
		if (store_set(db, KEYSET_KDF, bytes, sizeof(bytes), err) != 0)
			return -1;
	}
	return records_audit(finding->desk, NULL, &note, err);
}

/* Another vault may have been first since the store was read: then that one's key counts. */
static int claim(struct finding *finding, const struct master *master, const struct master_kdf *kdf,
    struct error *err)
{
	struct db *db = finding->desk->db;
	if (db_begin(db, true, err) != 0)
		return -1;
	int result = keyset_read(db, &finding->keyset, err);
	if (result == 0 && !finding->keyset.now.is_set)
		result = store_first(finding, master, kdf, err);
	if (commit_if(db, result, err) != 0)
		return -1;
	if (has_id(master, keyset_key_id(&finding->keyset.now)))
		finding->now = master_copy(master);
	return 0;
}

static int begin_store(
    struct finding *finding, const struct opening_try *attempt, struct error *err)
{
	struct master_kdf kdf;
	if (finding->keyset.now.is_set)
		return 0;
	if (attempt->keys[0])
		return claim(finding, attempt->keys[0], NULL, err);
	if (!attempt->passphrase)
		return 0;
	master_kdf_new(&kdf);
	struct master *master = master_derive(attempt->passphrase, &kdf, err);
	int result = master ? claim(finding, master, &kdf, err) : -1;
	master_destroy(&master);
	return result;
}

/* ---- is all there that has to be? */

static void tell(struct opening_try *attempt, enum vault_state state, const char *why)
{
	attempt->state = state;
	snprintf(attempt->why, sizeof(attempt->why), "%.159s", why);
}

static void tell_missing(
    struct opening_try *attempt, const struct keyset *keyset, const struct keyset_key *key)
{
	char id[2 * KEY_ID_LEN + 1], why[sizeof(attempt->why)];
	bool is_next = key == &keyset->next, expects = attempt->is_passphrase_expected;
	if (!key->is_set) {
		tell(attempt, VAULT_SEALED, "a new store: waits for its first passphrase");
		return;
	}
	master_id_text(keyset_key_id(key), id);
	if (expects && key->has_kdf)
		snprintf(why, sizeof(why), "waits for the passphrase of %smaster key %s",
		    is_next ? "the next " : "", id);
	else if (expects)
		snprintf(why, sizeof(why), "master key %s of the store comes from a file", id);
	else
		snprintf(why, sizeof(why),
		    "the store is sealed with %smaster key %s, which is not at hand",
		    is_next ? "the next " : "", id);
	tell(attempt, expects && key->has_kdf ? VAULT_SEALED : VAULT_FOREIGN, why);
}

/* Says what is missing, or that the keys are good: state CATCHING_UP. */
static void judge_keys(struct opening_try *attempt, const struct finding *finding)
{
	const struct keyset *keyset = &finding->keyset;
	const struct keyset_key *now = &keyset->now, *next = &keyset->next;
	struct error why;
	if (!finding->now)
		tell_missing(attempt, keyset, now);
	else if (next->is_set && !finding->next)
		tell_missing(attempt, keyset, next);
	else if (seal_check(finding->now, keyset->store_id, now->check, sizeof(now->check), &why) !=
		 0)
		tell(attempt, VAULT_FOREIGN, why.text);
	else if (next->is_set && seal_check(finding->next, keyset->store_id, next->check,
				     sizeof(next->check), &why) != 0)
		tell(attempt, VAULT_FOREIGN, why.text);
	else
		tell(attempt, VAULT_CATCHING_UP, "looking at every ownership period");
}

/* ---- are the marks this store's? */

static int count_all(struct db *db, uint64_t *periods_r, struct error *err)
{
	struct store_counts counts;
	if (db_begin(db, false, err) != 0)
		return -1;
	int result = store_count_periods(db, &counts, err);
	db_rollback(db);
	*periods_r = counts.periods + counts.destroyed;
	return result;
}

static int adopt(const struct finding *finding, struct error *err)
{
	struct highwater *highwater = finding->desk->highwater;
	if (highwater_adopt(highwater, finding->keyset.store_id, err) != 0)
		return -1;
	return highwater_commit(highwater, err);
}

static int judge_marks(
    struct opening_try *attempt, const struct finding *finding, struct error *err)
{
	uint8_t id[STORE_ID_LEN];
	bool is_known;
	uint64_t periods;
	if (highwater_store(finding->desk->highwater, id, &is_known, err) != 0)
		return -1;
	/* of an older store that was put back it is an operator's word that counts, too */
	if (!attempt->adopts && is_known && memcmp(id, finding->keyset.store_id, STORE_ID_LEN) == 0)
		return 0;
	if (count_all(finding->desk->db, &periods, err) != 0)
		return -1;
	if (attempt->adopts || (!is_known && periods == 0))
		return adopt(finding, err);
	tell(attempt, VAULT_UNMARKED,
	    is_known ? "the high-water marks are another store's: `multiclaw vault unseal --adopt`"
		     : "the high-water marks are new: `multiclaw vault unseal --adopt`");
	return 0;
}

/* ---- the end */

static void give(struct opening_try *attempt, struct finding *finding)
{
	struct desk *desk = finding->desk;
	master_destroy(&desk->master);
	master_destroy(&desk->next);
	desk->master = finding->now;
	desk->next = finding->next;
	finding->now = finding->next = NULL;
	if (desk->master) {
		master_id_text(master_id(desk->master), attempt->key_id);
		attempt->grant_key = master_subkey(desk->master, "grant");
	}
	if (desk->next) {
		master_id_text(master_id(desk->next), attempt->next_key_id);
		attempt->next_grant_key = master_subkey(desk->next, "grant");
	}
}

static int note_operator(
    const struct opening_try *attempt, const struct finding *finding, struct error *err)
{
	struct db *db = finding->desk->db;
	const struct audit_note note = {.act = "unseal",
	    .by = attempt->by,
	    .detail = attempt->adopts ? "adopted the store's versions" : ""};
	if (!attempt->by[0] || attempt->state != VAULT_CATCHING_UP)
		return 0;
	if (db_begin(db, true, err) != 0)
		return -1;
	return commit_if(db, records_audit(finding->desk, NULL, &note, err), err);
}

int opening_work(struct opening_try *attempt, struct desk *desk, struct error *err)
{
	scoped_finding struct finding finding = {.desk = desk};
	if (read_store(&finding, err) != 0 || begin_store(&finding, attempt, err) != 0 ||
	    find_keys(&finding, attempt, err) != 0)
		return -1;
	judge_keys(attempt, &finding);
	if (attempt->state == VAULT_CATCHING_UP && judge_marks(attempt, &finding, err) != 0)
		return -1;
	if (note_operator(attempt, &finding, err) != 0)
		return -1;
	give(attempt, &finding);
	return 0;
}

void opening_try_wipe(struct opening_try *attempt)
{
	for (size_t i = 0; i < OPENING_KEYS; i++)
		master_destroy(&attempt->keys[i]);
	secret_destroy(&attempt->passphrase);
	secret_destroy(&attempt->grant_key);
	secret_destroy(&attempt->next_grant_key);
}
