#include "services/secret-vault/keyset.h"

static int read_kdf(struct db *db, const char *name, struct keyset_key *key, struct error *err)
{
	uint8_t bytes[MASTER_KDF_LEN];
	size_t len;
	if (store_get(db, name, bytes, sizeof(bytes), &len, err) != 0)
		return -1;
	key->has_kdf = len > 0;
	return len > 0 ? master_kdf_decode(bytes, len, &key->kdf, err) : 0;
}

static int read_check(struct db *db, const char *name, struct keyset_key *key, struct error *err)
{
	size_t len;
	if (store_get(db, name, key->check, sizeof(key->check), &len, err) != 0)
		return -1;
	if (len != 0 && len != sizeof(key->check))
		return error_set(err, ERR_INTERNAL, "the store's %s is damaged", name);
	key->is_set = len > 0;
	return 0;
}

static int read_store_id(struct db *db, struct keyset *keyset, struct error *err)
{
	size_t len;
	if (store_get(db, KEYSET_STORE_ID, keyset->store_id, STORE_ID_LEN, &len, err) != 0)
		return -1;
	if (len != 0 && len != STORE_ID_LEN)
		return error_set(err, ERR_INTERNAL, "the store's id is damaged");
	keyset->has_store_id = len > 0;
	return 0;
}

int keyset_read(struct db *db, struct keyset *keyset_r, struct error *err)
{
	*keyset_r = (struct keyset){0};
	if (read_store_id(db, keyset_r, err) != 0 ||
	    read_check(db, KEYSET_CHECK, &keyset_r->now, err) != 0 ||
	    read_check(db, KEYSET_NEXT_CHECK, &keyset_r->next, err) != 0 ||
	    read_kdf(db, KEYSET_KDF, &keyset_r->now, err) != 0)
		return -1;
	return read_kdf(db, KEYSET_NEXT_KDF, &keyset_r->next, err);
}

const uint8_t *keyset_key_id(const struct keyset_key *key)
{
	return key->check; /* it begins with the id */
}

static bool has_id(const struct master *master, const uint8_t id[KEY_ID_LEN])
{
	return master && memcmp(master_id(master), id, KEY_ID_LEN) == 0;
}

const struct master *keyset_find(const struct desk *desk, const uint8_t id[KEY_ID_LEN])
{
	if (has_id(desk->master, id))
		return desk->master;
	return has_id(desk->next, id) ? desk->next : NULL;
}

const struct master *keyset_wrapper(const struct desk *desk, struct error *err)
{
	struct keyset_key now = {0}, next = {0};
	char id[2 * KEY_ID_LEN + 1];
	if (read_check(desk->db, KEYSET_CHECK, &now, err) != 0 ||
	    read_check(desk->db, KEYSET_NEXT_CHECK, &next, err) != 0)
		return NULL;
	const struct keyset_key *key = next.is_set ? &next : &now;
	if (!key->is_set && desk->master) /* a store that nobody has claimed */
		return desk->next ? desk->next : desk->master;
	const struct master *master = keyset_find(desk, keyset_key_id(key));
	if (!master) {
		error_refuse(err, ERR_UNAVAILABLE, "vault_foreign_key",
		    "data keys are wrapped by master key %s, which this vault has not loaded",
		    master_id_text(keyset_key_id(key), id));
		err->retry_after_s = 1;
	}
	return master;
}
