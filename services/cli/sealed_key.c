#include "services/cli/sealed_key.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_LEN crypto_sign_SECRETKEYBYTES
#define SEALED_LEN (KEY_LEN + crypto_box_SEALBYTES)
#define FILE_SIZE (4 * KEY_LEN + 8) /* "[255,...,255]\n" */

static int fill_random(void *arg, uint8_t *bytes, size_t len)
{
	(void)arg;
	randombytes_buf(bytes, len);
	return 0;
}

void recipient_new(struct recipient *recipient_r)
{
	recipient_r->secret = secret_make(crypto_box_SECRETKEYBYTES, fill_random, NULL);
	bug_if(crypto_scalarmult_base(recipient_r->public_key, secret_bytes(recipient_r->secret)) !=
	       0);
}

void recipient_wipe(struct recipient *recipient)
{
	secret_destroy(&recipient->secret);
}

struct opening {
	const struct recipient *recipient;
	const uint8_t *sealed;
};

static int open_in_place(void *arg, uint8_t *bytes, size_t len)
{
	const struct opening *opening = arg;

	(void)len;
	return crypto_box_seal_open(bytes, opening->sealed, SEALED_LEN,
	    opening->recipient->public_key, secret_bytes(opening->recipient->secret));
}

/* The public half is derived anew: an answer that does not fit its address is no key to it. */
static bool is_key_of(const struct secret *key, const char *address)
{
	uint8_t public_key[PUBKEY_LEN], derived[crypto_sign_PUBLICKEYBYTES], secret[KEY_LEN];
	const uint8_t *bytes = secret_bytes(key);

	if (pubkey_parse(address, public_key) < 0)
		return false;
	crypto_sign_seed_keypair(derived, secret, bytes);
	sodium_memzero(secret, sizeof(secret));
	return memcmp(derived, public_key, PUBKEY_LEN) == 0 &&
	       memcmp(bytes + crypto_sign_SEEDBYTES, public_key, PUBKEY_LEN) == 0;
}

struct secret *sealed_key_open(
    const struct recipient *recipient, const char *sealed, const char *address, struct error *err)
{
	uint8_t bytes[SEALED_LEN];
	size_t len = 0;
	const struct opening opening = {recipient, bytes};

	if (sodium_base642bin(bytes, sizeof(bytes), sealed, strlen(sealed), NULL, &len, NULL,
		sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    len != SEALED_LEN) {
		error_set(err, ERR_INTERNAL, "the sealed key that the service sent is damaged");
		return NULL;
	}
	union {
		const struct opening *in;
		void *out;
	} arg = {&opening};
	struct secret *key = secret_make(KEY_LEN, open_in_place, arg.out);
	if (!key)
		error_set(err, ERR_INTERNAL, "the service sealed the key to somebody else");
	else if (!is_key_of(key, address)) {
		secret_destroy(&key);
		error_set(
		    err, ERR_INTERNAL, "the key that the service sent is not that of %s", address);
	}
	return key;
}

int key_place_reserve(const char *path, struct key_place *place_r, struct error *err)
{
	place_r->path = path;
	place_r->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (place_r->fd < 0)
		return error_set(err, errno == EEXIST ? ERR_CONFLICT : ERR_UNAVAILABLE,
		    "cannot make %s: %s", path, strerror(errno));
	int rc =
	    fchmod(place_r->fd, 0600) == 0 ? posix_fallocate(place_r->fd, 0, FILE_SIZE) : errno;
	if (rc == 0)
		return 0;
	key_place_close(place_r);
	return error_set(err, ERR_UNAVAILABLE, "cannot reserve %s: %s", path, strerror(rc));
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int key_place_fill(struct key_place *place, const struct secret *key, struct error *err)
{
	char text[FILE_SIZE];
	const uint8_t *bytes = secret_bytes(key);
	size_t len = 0;

	for (size_t i = 0; i < secret_len(key) && len < sizeof(text); i++)
		len += (size_t)snprintf(
		    text + len, sizeof(text) - len, "%c%u", i == 0 ? '[' : ',', bytes[i]);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "]\n");
	int rc = write_all(place->fd, text, len);
	sodium_memzero(text, sizeof(text));
	if (rc != 0 || ftruncate(place->fd, (off_t)len) != 0 || fsync(place->fd) != 0)
		return error_set(
		    err, ERR_UNAVAILABLE, "cannot write %s: %s", place->path, strerror(errno));
	close(place->fd);
	place->fd = -1;
	return 0;
}

void key_place_close(struct key_place *place)
{
	if (place->fd < 0)
		return;
	unlink(place->path);
	close(place->fd);
	place->fd = -1;
}
