#include "common/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "common/confine.h"
#include "common/scoped.h"
#include "common/secret_pool.h"

struct secret {
	size_t len;
	uint8_t *bytes; /* guarded pages, read-only once filled; or a slot of the pool */
	bool is_pooled;
};

static struct secret *reserve(size_t len, bool brief)
{
	struct secret *secret = malloc(sizeof(*secret));

	bug_if(!secret);
	secret->len = len;
	secret->is_pooled = brief && len <= SECRET_POOL_MAX && !confine_is_sanitized();
	secret->bytes = secret->is_pooled ? secret_pool_take(len) : sodium_malloc(len);
	bug_if(!secret->bytes);
	return secret;
}

static void release(struct secret *secret)
{
	if (secret->is_pooled)
		secret_pool_give(secret->bytes, secret->len);
	else
		sodium_free(secret->bytes);
	free(secret);
}

struct secret *secret_new(const void *bytes, size_t len)
{
	struct secret *secret = reserve(len, false);

	if (len > 0)
		memcpy(secret->bytes, bytes, len);
	sodium_mprotect_readonly(secret->bytes);
	return secret;
}

static struct secret *make(size_t len, bool brief, secret_fill fill, void *arg)
{
	struct secret *secret = reserve(len, brief);

	if (fill(arg, secret->bytes, len) != 0) {
		secret_destroy(&secret);
		return NULL;
	}
	if (!secret->is_pooled)
		sodium_mprotect_readonly(secret->bytes);
	return secret;
}

struct secret *secret_make(size_t len, secret_fill fill, void *arg)
{
	return make(len, false, fill, arg);
}

struct secret *secret_make_brief(size_t len, secret_fill fill, void *arg)
{
	return make(len, true, fill, arg);
}

void secret_destroy(struct secret **secret)
{
	if (!*secret)
		return;
	release(*secret);
	*secret = NULL;
}

/* A process that is not root's and yet has root's file open was let in by name: the bits of the group are the mask of an ACL (acl(5)). So does systemd hand over a
 * credential where it can, and nobody but root can have written it. */
static bool is_handed_over(const struct stat *st)
{
	return geteuid() != 0 && st->st_uid == 0 && st->st_gid == 0 && getegid() != 0 &&
	       (st->st_mode & (S_IRWXG | S_IRWXO)) == S_IRGRP;
}

static int check_private(int fd, const char *path, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return error_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INVALID, "%s: not a regular file", path);
	if (st.st_mode & (S_IRWXG | S_IRWXO) && !is_handed_over(&st))
		return error_set(err, ERR_DENIED, "%s: mode %04o is open to others, must be 0600",
		    path, (unsigned)st.st_mode & 07777);
	return 0;
}

/* Fills bytes up to size; returns how many, or -1. */
static ssize_t read_up_to(int fd, uint8_t *bytes, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, bytes + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static void free_guarded(uint8_t **bytes)
{
	sodium_free(*bytes);
}

struct secret *secret_read_fd(int fd, const char *path, size_t max, struct error *err)
{
	if (check_private(fd, path, err) != 0)
		return NULL;
	/* room for the newline and for one byte that proves the file too long */
	__attribute__((cleanup(free_guarded))) uint8_t *bytes = sodium_malloc(max + 2);
	bug_if(!bytes);
	ssize_t n = read_up_to(fd, bytes, max + 2);
	if (n < 0) {
		error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
		return NULL;
	}
	size_t len = (size_t)n;
	if (len > 0 && bytes[len - 1] == '\n')
		len--;
	if (len == 0 || len > max) {
		error_set(err, ERR_INVALID, "%s: must hold 1 to %zu bytes", path, max);
		return NULL;
	}
	return secret_new(bytes, len);
}

struct secret *secret_read_file(const char *path, size_t max, struct error *err)
{
	/* O_NONBLOCK: a pipe in the file's place must not hang the start */
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0) {
		error_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
		return NULL;
	}
	return secret_read_fd(fd, path, max, err);
}

const uint8_t *secret_bytes(const struct secret *secret)
{
	return secret->bytes;
}

size_t secret_len(const struct secret *secret)
{
	return secret->len;
}

bool secret_equal(const struct secret *secret, const void *bytes, size_t len)
{
	return secret->len == len && sodium_memcmp(secret->bytes, bytes, len) == 0;
}
