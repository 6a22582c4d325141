#include "tests/devchain/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/scoped.h"

#define SAVED_MAX 2000
#define LANDED_KEYS_MAX 64
#define FIRST_SLOT 100000u /* a young chain with a past, so that a node can be far behind */

char *store_path(const struct store *store, const char *name)
{
	char *path;

	bug_if(asprintf(&path, "%s/%s", store->dir, name) < 0);
	return path;
}

int store_open(struct store *store, const char *dir, struct error *err)
{
	scoped_free char *lock = NULL;

	*store = (struct store){.lock_fd = -1};
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", dir, strerror(errno));
	store->dir = realpath(dir, NULL);
	if (!store->dir)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", dir, strerror(errno));
	lock = store_path(store, "lock");
	store->lock_fd = open(lock, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (store->lock_fd < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", lock, strerror(errno));
	if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return error_set(
		    err, ERR_CONFLICT, "%s: another development chain runs on this folder", dir);
	return 0;
}

void store_close(struct store *store)
{
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	free(store->dir);
	*store = (struct store){.lock_fd = -1};
}

static FILE *create(const char *path, unsigned mode)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, mode);

	return fd < 0 ? NULL : fdopen(fd, "w");
}

static int commit(FILE **file, const char *from, const char *to, struct error *err)
{
	bool failed = !*file || ferror(*file) | fflush(*file);

	if (*file && fclose(*file) != 0)
		failed = true;
	*file = NULL;
	if (failed || rename(from, to) != 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", to, strerror(errno));
	return 0;
}

int store_write(
    const struct store *store, const char *name, const char *text, unsigned mode, struct error *err)
{
	scoped_free char *path = store_path(store, name), *fresh = NULL;
	scoped_file FILE *file = NULL;

	bug_if(asprintf(&fresh, "%s.new", path) < 0);
	file = create(fresh, mode);
	if (file)
		fputs(text, file);
	return commit(&file, fresh, path, err);
}

int store_reserve(
    struct store *store, uint64_t next_slot, uint64_t ahead, bool exact, struct error *err)
{
	char text[24];

	if (!exact && next_slot + ahead < store->reserved)
		return 0;
	store->reserved = exact ? next_slot : next_slot + 2 * ahead;
	snprintf(text, sizeof(text), "%" PRIu64 "\n", store->reserved);
	return store_write(store, "slot", text, 0600, err);
}

/* ---- writing the accounts ---- */

static void save_version(FILE *file, const struct version *version)
{
	size_t size = sodium_base64_encoded_len(version->state.len, sodium_base64_VARIANT_ORIGINAL);
	scoped_free char *data = malloc(size);
	char program[PUBKEY_TEXT_MAX + 1];

	bug_if(!data);
	sodium_bin2base64(
	    data, size, version->state.data, version->state.len, sodium_base64_VARIANT_ORIGINAL);
	fprintf(file,
	    "{\"slot\":%" PRIu64 ",\"lamports\":%" PRIu64 ",\"program\":\"%s\",\"data\":\"%s\"}",
	    version->slot, version->state.lamports, pubkey_text(version->state.program, program),
	    data);
}

static void save_account(FILE *file, const struct account *account)
{
	char key[PUBKEY_TEXT_MAX + 1];

	fprintf(file, "{\"key\":\"%s\",\"versions\":[", pubkey_text(account->key, key));
	for (size_t i = 0; i < account->nversions; i++) {
		fputs(i ? "," : "", file);
		save_version(file, &account->versions[i]);
	}
	fputs("]}", file);
}

/* The newest; the keys are those of getSignaturesForAddress. */
static void save_landed(FILE *file, const struct chain *chain)
{
	const struct landed *all;
	size_t n = chain_landed(chain, &all), first = n > SAVED_MAX ? n - SAVED_MAX : 0;
	char text[SIGNATURE_TEXT_MAX + 1];

	for (size_t i = first; i < n; i++) {
		base58_encode(all[i].signature, SIGNATURE_LEN, text, sizeof(text));
		fprintf(file,
		    "%s\n{\"signature\":\"%s\",\"slot\":%" PRIu64 ",\"err\":%s,\"keys\":[",
		    i > first ? "," : "", text, all[i].slot,
		    all[i].error[0] ? all[i].error : "null");
		for (size_t k = 0; k < all[i].nkeys; k++)
			fprintf(file, "%s\"%s\"", k ? "," : "",
			    pubkey_text(all[i].keys + k * PUBKEY_LEN, text));
		fputs("]}", file);
	}
}

int store_save(struct store *store, const struct chain *chain, const struct genesis *genesis,
    struct error *err)
{
	scoped_free char *path = store_path(store, "chain.json"),
			 *fresh = store_path(store, "chain.json.new");
	scoped_file FILE *file = create(fresh, 0600);
	char hash[PUBKEY_TEXT_MAX + 1];
	struct account *const *accounts;
	size_t n = chain_accounts(chain, &accounts);

	if (!file)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", fresh, strerror(errno));
	fprintf(file,
	    "{\"version\":1,\"genesis\":\"%s\",\"started_ms\":%" PRIu64 ",\"next_slot\":%" PRIu64
	    ",\"accounts\":[",
	    pubkey_text(genesis->hash, hash), genesis->started_ms, chain_next_slot(chain));
	for (size_t i = 0; i < n; i++) {
		fputs(i ? ",\n" : "\n", file);
		save_account(file, accounts[i]);
	}
	fputs("\n],\"transactions\":[", file);
	save_landed(file, chain);
	fputs("\n]}\n", file);
	return commit(&file, fresh, path, err);
}

/* ---- reading them ---- */

static int load_state(const json_t *version, struct account_state *state, struct error *err)
{
	const char *program = json_string_value(json_object_get(version, "program"));
	const char *data = json_string_value(json_object_get(version, "data"));
	size_t len = data ? strlen(data) / 4 * 3 + 1 : 0;

	if (!program || !data || pubkey_parse(program, state->program) != 0)
		return error_set(err, ERR_INVALID, "chain.json: not an account");
	account_state_resize(state, len);
	if (sodium_base642bin(state->data, len, data, strlen(data), NULL, &state->len, NULL,
		sodium_base64_VARIANT_ORIGINAL) != 0)
		return error_set(err, ERR_INVALID, "chain.json: data is not base64");
	state->lamports = (uint64_t)json_integer_value(json_object_get(version, "lamports"));
	return 0;
}

static int load_account(struct chain *chain, const json_t *account, struct error *err)
{
	const char *text = json_string_value(json_object_get(account, "key"));
	const json_t *versions = json_object_get(account, "versions"), *version;
	uint8_t key[PUBKEY_LEN];
	size_t i;

	if (!text || pubkey_parse(text, key) != 0)
		return error_set(err, ERR_INVALID, "chain.json: not a key");
	json_array_foreach(versions, i, version)
	{
		struct account_state scoped_state state = {0};

		if (load_state(version, &state, err) != 0)
			return -1;
		chain_seed(chain, key,
		    (uint64_t)json_integer_value(json_object_get(version, "slot")), &state);
	}
	return 0;
}

static int load_landed(struct chain *chain, const json_t *saved, struct error *err)
{
	const json_t *keys = json_object_get(saved, "keys"), *why = json_object_get(saved, "err");
	const char *signature = json_string_value(json_object_get(saved, "signature"));
	uint8_t bytes[LANDED_KEYS_MAX * PUBKEY_LEN];
	struct landed landed = {.nkeys = json_array_size(keys), .keys = bytes};
	scoped_free char *text =
	    json_is_null(why) ? NULL : json_dumps(why, JSON_COMPACT | JSON_ENCODE_ANY);

	if (!signature || base58_decode(signature, landed.signature, SIGNATURE_LEN) != 0 ||
	    landed.nkeys > LANDED_KEYS_MAX)
		return error_set(err, ERR_INVALID, "chain.json: not a transaction");
	for (size_t i = 0; i < landed.nkeys; i++) {
		const char *key = json_string_value(json_array_get(keys, i));
		if (!key || pubkey_parse(key, bytes + i * PUBKEY_LEN) != 0)
			return error_set(err, ERR_INVALID, "chain.json: not a key");
	}
	landed.slot = (uint64_t)json_integer_value(json_object_get(saved, "slot"));
	snprintf(landed.error, sizeof(landed.error), "%s", text ? text : "");
	chain_land(chain, &landed);
	return 0;
}

static uint64_t reserved_slot(const struct store *store)
{
	scoped_free char *path = store_path(store, "slot");
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[24] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	return strtoull(text, NULL, 10);
}

static struct chain *load_chain(struct store *store, const json_t *saved, uint64_t slot_ms,
    const uint64_t lags[COMMITMENTS], struct genesis *genesis_r, struct error *err)
{
	const json_t *accounts = json_object_get(saved, "accounts"), *account;
	const json_t *transactions = json_object_get(saved, "transactions"), *landed;
	const char *hash = json_string_value(json_object_get(saved, "genesis"));
	uint64_t next = (uint64_t)json_integer_value(json_object_get(saved, "next_slot"));
	struct chain *chain;
	size_t i;

	if (!hash || pubkey_parse(hash, genesis_r->hash) != 0 || next < 2) {
		error_set(err, ERR_INVALID, "chain.json cannot be read");
		return NULL;
	}
	genesis_r->started_ms = (uint64_t)json_integer_value(json_object_get(saved, "started_ms"));
	store->reserved = reserved_slot(store);
	if (next < store->reserved)
		next = store->reserved;
	chain = chain_new(next - 1, slot_ms, lags, clock_unix_ms());
	json_array_foreach(accounts, i, account) if (load_account(chain, account, err) != 0)
	{
		chain_destroy(&chain);
		return NULL;
	}
	json_array_foreach(transactions, i, landed) if (load_landed(chain, landed, err) != 0)
	{
		chain_destroy(&chain);
		return NULL;
	}
	return chain;
}

struct chain *store_load(struct store *store, uint64_t slot_ms, const uint64_t lags[COMMITMENTS],
    struct genesis *genesis_r, bool *found_r, struct error *err)
{
	scoped_free char *path = store_path(store, "chain.json");
	json_error_t where;
	scoped_json json_t *saved = json_load_file(path, 0, &where);

	*found_r = saved != NULL;
	if (saved)
		return load_chain(store, saved, slot_ms, lags, genesis_r, err);
	if (access(path, F_OK) == 0) {
		error_set(err, ERR_INVALID, "%s line %d: %s", path, where.line, where.text);
		return NULL;
	}
	randombytes_buf(genesis_r->hash, sizeof(genesis_r->hash));
	genesis_r->started_ms = clock_unix_ms();
	return chain_new(FIRST_SLOT, slot_ms, lags, genesis_r->started_ms);
}
