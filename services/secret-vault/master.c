#include "services/secret-vault/master.h"

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "common/scoped.h"

#define BASE64 sodium_base64_VARIANT_ORIGINAL
#define BASE64_LEN 44
#define ID_LABEL "multiclaw master id v1"
#define SUBKEY_LABEL "multiclaw master subkey v1"
#define PASSPHRASE_MAX 1024
#define MIB (1024u * 1024u)
#define DIFFERENT_MIN 16

struct master {
	struct secret *key, *wrap;
	uint8_t id[KEY_ID_LEN];
};

/* ---- what is derived from it ---- */

struct derivation {
	const struct secret *key;
	const char *label, *purpose;
};

static int derive(void *arg, uint8_t *bytes, size_t len)
{
	const struct derivation *from = arg;
	crypto_generichash_state hash;

	crypto_generichash_init(&hash, secret_bytes(from->key), secret_len(from->key), len);
	/* with their NULs, so that no label is another's beginning */
	crypto_generichash_update(&hash, (const uint8_t *)from->label, strlen(from->label) + 1);
	crypto_generichash_update(&hash, (const uint8_t *)from->purpose, strlen(from->purpose) + 1);
	crypto_generichash_final(&hash, bytes, len);
	sodium_memzero(&hash, sizeof(hash));
	return 0;
}

struct secret *master_subkey(const struct master *master, const char *purpose)
{
	struct derivation from = {master->key, SUBKEY_LABEL, purpose};

	return secret_make(MASTER_LEN, derive, &from);
}

/* Takes key over. */
static struct master *master_new(struct secret *key)
{
	struct master *master = calloc(1, sizeof(*master));
	struct derivation id = {key, ID_LABEL, ""};
	uint8_t whole[MASTER_LEN];

	bug_if(!master);
	master->key = key;
	master->wrap = master_subkey(master, "wrap");
	derive(&id, whole, sizeof(whole));
	memcpy(master->id, whole, sizeof(master->id));
	return master;
}

void master_destroy(struct master **master)
{
	if (!*master)
		return;
	secret_destroy(&(*master)->key);
	secret_destroy(&(*master)->wrap);
	free(*master);
	*master = NULL;
}

struct master *master_copy(const struct master *master)
{
	return master_new(secret_new(secret_bytes(master->key), secret_len(master->key)));
}

const uint8_t *master_id(const struct master *master)
{
	return master->id;
}

char *master_id_text(const uint8_t id[KEY_ID_LEN], char text[2 * KEY_ID_LEN + 1])
{
	return sodium_bin2hex(text, 2 * KEY_ID_LEN + 1, id, KEY_ID_LEN);
}

const struct secret *master_wrap_key(const struct master *master)
{
	return master->wrap;
}

/* ---- from a file ---- */

/* 32 random bytes have fewer than 16 different ones once in 3 * 10^16 keys, and are all printable once in 6 * 10^13. A passphrase, hex digits, a run of
 * zeros: always. Bytes that go up or down by the same step are an example from somewhere. */
static bool looks_random(const uint8_t *bytes, size_t len)
{
	bool seen[256] = {false}, printable = true, steps = true;
	size_t different = 0;

	for (size_t i = 0; i < len; i++) {
		different += !seen[bytes[i]];
		seen[bytes[i]] = true;
		printable = printable && (isprint(bytes[i]) || isspace(bytes[i]));
		steps = steps && (i < 2 || (uint8_t)(bytes[i] - bytes[i - 1]) ==
					       (uint8_t)(bytes[1] - bytes[0]));
	}
	sodium_memzero(seen, sizeof(seen));
	return different >= DIFFERENT_MIN && !printable && !steps;
}

static const char *decode(const struct secret *text, uint8_t key_r[MASTER_LEN])
{
	char again[BASE64_LEN + 1];
	size_t len = 0;

	if (secret_len(text) != BASE64_LEN ||
	    sodium_base642bin(key_r, MASTER_LEN, (const char *)secret_bytes(text), BASE64_LEN, NULL,
		&len, NULL, BASE64) != 0 ||
	    len != MASTER_LEN)
		return "must hold 32 bytes in base64 on one line, and nothing else";
	sodium_bin2base64(again, sizeof(again), key_r, MASTER_LEN, BASE64);
	bool same = secret_equal(text, again, BASE64_LEN);
	sodium_memzero(again, sizeof(again));
	if (!same)
		return "is not the base64 that its bytes have";
	return looks_random(key_r, MASTER_LEN)
		   ? NULL
		   : "holds a placeholder or a text, not 32 random bytes";
}

struct key_text {
	const struct secret *text;
	const char *why;
};

static int decode_key(void *arg, uint8_t *bytes, size_t len)
{
	struct key_text *from = arg;

	bug_if(len != MASTER_LEN);
	from->why = decode(from->text, bytes);
	return from->why ? -1 : 0;
}

static int open_plain(const char *path, struct error *err)
{
	struct stat st;
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);

	if (fd < 0 && errno == ELOOP)
		return error_set(err, ERR_INVALID, "%s: a symbolic link", path);
	if (fd < 0 || fstat(fd, &st) != 0)
		return error_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
	if (st.st_nlink > 1)
		return error_set(err, ERR_DENIED, "%s: has another name (a hard link)", path);
	int opened = fd;
	fd = -1;
	return opened;
}

struct master *master_read_file(const char *path, struct error *err)
{
	scoped_fd int fd = open_plain(path, err);

	if (fd < 0)
		return NULL;
	scoped_secret struct secret *text = secret_read_fd(fd, path, BASE64_LEN, err);
	if (!text)
		return NULL;
	struct key_text from = {text, NULL};
	struct secret *key = secret_make(MASTER_LEN, decode_key, &from);
	if (!key) {
		error_set(err, ERR_INVALID, "%s: %s", path, from.why);
		return NULL;
	}
	return master_new(key);
}

/* ---- from a passphrase ---- */

void master_kdf_new(struct master_kdf *kdf_r)
{
	randombytes_buf(kdf_r->salt, sizeof(kdf_r->salt));
	kdf_r->opslimit = crypto_pwhash_OPSLIMIT_MODERATE;
	kdf_r->memlimit = crypto_pwhash_MEMLIMIT_MODERATE;
}

void master_kdf_encode(const struct master_kdf *kdf, uint8_t bytes_r[MASTER_KDF_LEN])
{
	const uint64_t limits[] = {htole64(kdf->opslimit), htole64(kdf->memlimit)};

	memcpy(bytes_r, kdf->salt, sizeof(kdf->salt));
	memcpy(bytes_r + sizeof(kdf->salt), limits, sizeof(limits));
}

static int check_limits(const struct master_kdf *kdf, struct error *err)
{
	if (kdf->opslimit < 2 || kdf->opslimit > 10 || kdf->memlimit < 19 * MIB ||
	    kdf->memlimit > 1024 * MIB)
		return error_set(err, ERR_INVALID,
		    "the store's derivation parameters are out of bounds (2 to 10 passes, 19 MiB "
		    "to 1 GiB)");
	return 0;
}

int master_kdf_decode(const void *bytes, size_t len, struct master_kdf *kdf_r, struct error *err)
{
	struct master_kdf kdf;
	uint64_t limits[2];

	if (len != MASTER_KDF_LEN)
		return error_set(err, ERR_INVALID, "the store's derivation parameters are damaged");
	memcpy(kdf.salt, bytes, sizeof(kdf.salt));
	memcpy(limits, (const uint8_t *)bytes + sizeof(kdf.salt), sizeof(limits));
	kdf.opslimit = le64toh(limits[0]);
	kdf.memlimit = le64toh(limits[1]);
	if (check_limits(&kdf, err) != 0)
		return -1;
	*kdf_r = kdf;
	return 0;
}

/* Are the letters of it nothing but this word, once or again and again? */
static bool is_of_word(const uint8_t *bytes, size_t len, const char *word)
{
	size_t at = 0, letters = 0;

	for (size_t i = 0; i < len; i++) {
		if (!isalpha(bytes[i]))
			continue;
		if (tolower(bytes[i]) != word[at])
			return false;
		letters++;
		at = word[at + 1] ? at + 1 : 0;
	}
	/* many digits around a word are more than the word */
	return at == 0 && letters * 2 > len;
}

/* What people leave in a sample or a script. */
static bool is_placeholder(const uint8_t *bytes, size_t len)
{
	static const char *const words[] = {"changeme", "changethis", "replaceme", "password",
	    "passphrase", "placeholder", "example", "secret", "multiclaw", "yourpassphrase",
	    "yourpassphrasehere", "correcthorsebatterystaple", "todo", "test", "default"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (is_of_word(bytes, len, words[i]))
			return true;
	return false;
}

static int check_passphrase(const struct secret *passphrase, struct error *err)
{
	const uint8_t *bytes = secret_bytes(passphrase);
	size_t len = secret_len(passphrase), different = 0;
	bool seen[256] = {false};

	if (len < PASSPHRASE_MIN || len > PASSPHRASE_MAX)
		return error_refuse(err, ERR_INVALID, "passphrase_invalid",
		    "the passphrase must have %d to %d bytes", PASSPHRASE_MIN, PASSPHRASE_MAX);
	for (size_t i = 0; i < len; i++) {
		different += !seen[bytes[i]];
		seen[bytes[i]] = true;
	}
	sodium_memzero(seen, sizeof(seen));
	if (different < 6 || is_placeholder(bytes, len))
		return error_refuse(err, ERR_INVALID, "passphrase_invalid",
		    "the passphrase is a placeholder or the same few characters again and again");
	return 0;
}

struct passphrase_and_kdf {
	const struct secret *passphrase;
	const struct master_kdf *kdf;
};

static int stretch(void *arg, uint8_t *bytes, size_t len)
{
	const struct passphrase_and_kdf *from = arg;

	return crypto_pwhash(bytes, len, (const char *)secret_bytes(from->passphrase),
	    secret_len(from->passphrase), from->kdf->salt, from->kdf->opslimit,
	    (size_t)from->kdf->memlimit, crypto_pwhash_ALG_ARGON2ID13);
}

struct master *master_derive(
    const struct secret *passphrase, const struct master_kdf *kdf, struct error *err)
{
	struct passphrase_and_kdf from = {passphrase, kdf};

	if (check_passphrase(passphrase, err) != 0 || check_limits(kdf, err) != 0)
		return NULL;
	struct secret *key = secret_make(MASTER_LEN, stretch, &from);
	if (!key) {
		error_set(err, ERR_UNAVAILABLE,
		    "the master key could not be derived: %u MiB of memory are not to be had",
		    (unsigned)(kdf->memlimit / MIB));
		return NULL;
	}
	return master_new(key);
}
