#include "services/secret-vault/seal.h"

#include <sodium.h>
#include <string.h>

#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN crypto_aead_xchacha20poly1305_ietf_ABYTES
_Static_assert(SEAL_OVERHEAD == NONCE_LEN + TAG_LEN, "the envelope's overhead");
_Static_assert(DATA_KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "a data key");
_Static_assert(MASTER_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "a master's subkey");
_Static_assert(DATA_KEY_LEN + SEAL_OVERHEAD <= WRAPPED_MAX, "a wrapped data key");
_Static_assert(HANDOVER_LEN + SEAL_OVERHEAD <= SEALED_MAX, "a sealed hand-over");

static const char check_text[16 + 1] = "multiclaw vault\n";
static const char *const purposes[] = {
#define SEAL_PURPOSE_TEXT(name, text) [SEAL_##name] = (text),
    SEAL_PURPOSES(SEAL_PURPOSE_TEXT)
#undef SEAL_PURPOSE_TEXT
};

/* ---- associated data ---- */

struct binding {
	uint8_t bytes[512];
	size_t len;
};

static void bind_number(struct binding *binding, uint64_t number, size_t size)
{
	bug_if(size > sizeof(binding->bytes) - binding->len);
	for (size_t i = 0; i < size; i++)
		binding->bytes[binding->len++] = (uint8_t)(number >> (8 * i));
}

static void bind_bytes(struct binding *binding, const void *bytes, size_t len)
{
	bind_number(binding, len, 4);
	bug_if(len > sizeof(binding->bytes) - binding->len);
	memcpy(binding->bytes + binding->len, bytes, len);
	binding->len += len;
}

static void bind_text(struct binding *binding, const char *text)
{
	bind_bytes(binding, text, strlen(text));
}

static void bind_period(struct binding *binding, const struct period *period)
{
	bind_text(binding, period->asset);
	bind_text(binding, period->wallet);
	bind_number(binding, period->slot, 8);
}

/* ---- the envelope ---- */

static void seal(const struct secret *key, const struct binding *binding, const void *bytes,
    size_t len, uint8_t *sealed_r)
{
	bug_if(secret_len(key) != crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
	randombytes_buf(sealed_r, NONCE_LEN);
	crypto_aead_xchacha20poly1305_ietf_encrypt(sealed_r + NONCE_LEN, NULL, bytes, len,
	    binding->bytes, binding->len, NULL, sealed_r, secret_bytes(key));
}

struct opening {
	const struct secret *key;
	const struct binding *binding;
	const uint8_t *sealed;
	size_t len;
};

static int open_into(void *arg, uint8_t *bytes, size_t len)
{
	const struct opening *opening = arg;

	bug_if(len != opening->len - SEAL_OVERHEAD);
	return crypto_aead_xchacha20poly1305_ietf_decrypt(bytes, NULL, NULL,
	    opening->sealed + NONCE_LEN, opening->len - NONCE_LEN, opening->binding->bytes,
	    opening->binding->len, opening->sealed, secret_bytes(opening->key));
}

/* NULL if it does not open. */
static struct secret *unseal(
    const struct secret *key, const struct binding *binding, const void *sealed, size_t len)
{
	struct opening opening = {key, binding, sealed, len};

	bug_if(secret_len(key) != crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
	if (len < SEAL_OVERHEAD)
		return NULL;
	return secret_make_brief(len - SEAL_OVERHEAD, open_into, &opening);
}

/* ---- data keys ---- */

static int random_bytes(void *arg, uint8_t *bytes, size_t len)
{
	(void)arg;
	randombytes_buf(bytes, len);
	return 0;
}

struct secret *data_key_new(void)
{
	return secret_make_brief(DATA_KEY_LEN, random_bytes, NULL);
}

static struct binding data_key_binding(
    const struct master *master, const struct store_period *period)
{
	struct binding binding = {.len = 0};

	bind_text(&binding, "multiclaw data key v1");
	bind_bytes(&binding, master_id(master), KEY_ID_LEN);
	bind_period(&binding, &period->period);
	bind_number(&binding, period->since, 8);
	return binding;
}

void data_key_wrap(
    const struct master *master, const struct secret *data_key, struct store_period *period)
{
	const struct binding binding = data_key_binding(master, period);

	bug_if(secret_len(data_key) != DATA_KEY_LEN);
	memcpy(period->key_id, master_id(master), KEY_ID_LEN);
	seal(master_wrap_key(master), &binding, secret_bytes(data_key), DATA_KEY_LEN,
	    period->wrapped);
	period->wrapped_len = DATA_KEY_LEN + SEAL_OVERHEAD;
}

struct secret *data_key_unwrap(
    const struct master *master, const struct store_period *period, struct error *err)
{
	const struct binding binding = data_key_binding(master, period);
	char id[2 * KEY_ID_LEN + 1], text[PERIOD_TEXT_MAX + 1];
	struct secret *data_key = NULL;

	if (memcmp(period->key_id, master_id(master), KEY_ID_LEN) != 0) {
		error_refuse(err, ERR_UNAVAILABLE, "vault_foreign_key",
		    "the data key of %s is under master key %s", period_text(&period->period, text),
		    master_id_text(period->key_id, id));
		return NULL;
	}
	if (period->wrapped_len == DATA_KEY_LEN + SEAL_OVERHEAD)
		data_key =
		    unseal(master_wrap_key(master), &binding, period->wrapped, period->wrapped_len);
	if (!data_key)
		error_refuse(err, ERR_INTERNAL, "secret_undecryptable",
		    "the data key of %s does not open", period_text(&period->period, text));
	return data_key;
}

static void derive(const struct secret *data_key, const char *context, const struct period *period,
    uint8_t key_r[DATA_KEY_LEN])
{
	struct binding binding = {.len = 0};

	bug_if(secret_len(data_key) != DATA_KEY_LEN);
	bind_text(&binding, context);
	bind_period(&binding, period);
	bug_if(crypto_generichash(key_r, DATA_KEY_LEN, binding.bytes, binding.len,
		   secret_bytes(data_key), DATA_KEY_LEN) != 0);
}

void data_key_volume(
    const struct secret *data_key, const struct period *period, uint8_t key_r[DATA_KEY_LEN])
{
	derive(data_key, "multiclaw volume v1", period, key_r);
}

void data_key_snapshots(
    const struct secret *data_key, const struct period *period, uint8_t key_r[DATA_KEY_LEN])
{
	derive(data_key, "multiclaw snapshots v1", period, key_r);
}

struct secret *data_key_placements(const struct secret *data_key, const struct period *period)
{
	uint8_t key[DATA_KEY_LEN];

	derive(data_key, "multiclaw placements v1", period, key);
	struct secret *made = secret_new(key, sizeof(key));
	sodium_memzero(key, sizeof(key));
	return made;
}

/* ---- hand-overs ---- */

static struct binding handover_binding(
    const struct master *master, const struct store_handover *handover)
{
	struct binding binding = {.len = 0};

	bind_text(&binding, "multiclaw hand-over v1");
	bind_bytes(&binding, master_id(master), KEY_ID_LEN);
	bind_period(&binding, &handover->from);
	bind_text(&binding, handover->to.wallet);
	bind_number(&binding, handover->to.slot, 8);
	bind_number(&binding, handover->version, 8);
	return binding;
}

void seal_handover(
    const struct master *master, const uint8_t *bytes, size_t len, struct store_handover *handover)
{
	const struct binding binding = handover_binding(master, handover);
	scoped_secret struct secret *key = master_subkey(master, "hand-over");

	bug_if(len != 0 && len != HANDOVER_LEN);
	memcpy(handover->key_id, master_id(master), KEY_ID_LEN);
	seal(key, &binding, bytes, len, handover->sealed);
	handover->sealed_len = len + SEAL_OVERHEAD;
}

int seal_open_handover(const struct master *master, const struct store_handover *handover,
    uint8_t bytes_r[HANDOVER_LEN], size_t *len_r, struct error *err)
{
	const struct binding binding = handover_binding(master, handover);
	scoped_secret struct secret *key = master_subkey(master, "hand-over");
	struct opening opening = {key, &binding, handover->sealed, handover->sealed_len};
	bool fits = handover->sealed_len == SEAL_OVERHEAD ||
		    handover->sealed_len == SEAL_OVERHEAD + HANDOVER_LEN;

	*len_r = fits ? handover->sealed_len - SEAL_OVERHEAD : 0;
	if (!fits || open_into(&opening, bytes_r, *len_r) != 0)
		return error_refuse(err, ERR_INTERNAL, "secret_undecryptable",
		    "the hand-over of %s does not open", handover->from.asset);
	return 0;
}

/* ---- records ---- */

static struct binding record_binding(const struct seal_name *name)
{
	struct binding binding = {.len = 0};

	bind_text(&binding, "multiclaw record v1");
	bind_period(&binding, name->period);
	bind_text(&binding, name->kind);
	bind_text(&binding, name->name);
	bind_number(&binding, name->version, 8);
	bind_text(&binding, purposes[name->purpose]);
	return binding;
}

void seal_record(const struct secret *data_key, const struct seal_name *name, const void *bytes,
    size_t len, uint8_t *sealed_r)
{
	const struct binding binding = record_binding(name);

	bug_if(len == 0 && name->purpose == SEAL_VALUE);
	seal(data_key, &binding, bytes, len, sealed_r);
}

static int refuse_record(const struct seal_name *name, struct error *err)
{
	return error_refuse(err, ERR_INTERNAL, "secret_undecryptable",
	    "the %s of %s/%s, version %llu, does not open", purposes[name->purpose], name->kind,
	    name->name, (unsigned long long)name->version);
}

static bool may_open(const struct seal_name *name, size_t len)
{
	return len > SEAL_OVERHEAD || (len == SEAL_OVERHEAD && name->purpose != SEAL_VALUE);
}

struct secret *seal_open(const struct secret *data_key, const struct seal_name *name,
    const void *sealed, size_t len, struct error *err)
{
	const struct binding binding = record_binding(name);
	struct secret *value = may_open(name, len) ? unseal(data_key, &binding, sealed, len) : NULL;

	if (!value)
		refuse_record(name, err);
	return value;
}

int seal_open_into(const struct secret *data_key, const struct seal_name *name, const void *sealed,
    size_t len, uint8_t *bytes_r, size_t size, size_t *len_r, struct error *err)
{
	const struct binding binding = record_binding(name);
	struct opening opening = {data_key, &binding, sealed, len};

	bug_if(secret_len(data_key) != DATA_KEY_LEN);
	if (!may_open(name, len) || len - SEAL_OVERHEAD > size ||
	    open_into(&opening, bytes_r, len - SEAL_OVERHEAD) != 0)
		return refuse_record(name, err);
	*len_r = len - SEAL_OVERHEAD;
	return 0;
}

/* ---- the store's check ---- */

static struct binding check_binding(const uint8_t id[KEY_ID_LEN], const uint8_t store_id[16])
{
	struct binding binding = {.len = 0};

	bind_text(&binding, "multiclaw master check v1");
	bind_bytes(&binding, id, KEY_ID_LEN);
	bind_bytes(&binding, store_id, 16);
	return binding;
}

void seal_check_make(
    const struct master *master, const uint8_t store_id[16], uint8_t check_r[SEAL_CHECK_LEN])
{
	const struct binding binding = check_binding(master_id(master), store_id);
	scoped_secret struct secret *key = master_subkey(master, "check");

	memcpy(check_r, master_id(master), KEY_ID_LEN);
	seal(key, &binding, check_text, 16, check_r + KEY_ID_LEN);
}

int seal_check(const struct master *master, const uint8_t store_id[16], const void *check,
    size_t len, struct error *err)
{
	const struct binding binding = check_binding(master_id(master), store_id);
	const uint8_t *bytes = check;
	char ours[2 * KEY_ID_LEN + 1], its[2 * KEY_ID_LEN + 1];

	master_id_text(master_id(master), ours);
	if (len != SEAL_CHECK_LEN)
		return error_refuse(err, ERR_CONFLICT, "vault_foreign_key",
		    "the store's key check is damaged (ours: %s)", ours);
	if (memcmp(bytes, master_id(master), KEY_ID_LEN) != 0)
		return error_refuse(err, ERR_CONFLICT, "vault_foreign_key",
		    "the store belongs to master key %s, ours is %s", master_id_text(bytes, its),
		    ours);
	scoped_secret struct secret *key = master_subkey(master, "check");
	scoped_secret struct secret *text =
	    unseal(key, &binding, bytes + KEY_ID_LEN, len - KEY_ID_LEN);
	if (!text || !secret_equal(text, check_text, 16))
		return error_refuse(err, ERR_CONFLICT, "vault_foreign_key",
		    "the store's key check for master key %s does not open: damaged, or of another "
		    "store",
		    ours);
	return 0;
}
