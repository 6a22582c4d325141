/* secret - the only holder of secret bytes: guarded pages, locked, wiped, left out of core dumps, impossible to print.
 * Source: libsodium's sodium_malloc; sodium_init() has run before the first call. */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct secret;

/* Copies len bytes. Caller owns the result; destroy wipes it and nulls the pointer (NULL is accepted). */
struct secret *secret_new(const void *bytes, size_t len);
void secret_destroy(struct secret **secret);
/* Of len bytes that fill writes in place, so that they are nowhere else; NULL, and everything wiped, if fill returns anything but 0. Caller owns the result. */
typedef int (*secret_fill)(void *arg, uint8_t *bytes, size_t len);
struct secret *secret_make(size_t len, secret_fill fill, void *arg);
/* The same for one that lives as long as a piece of work: locked, left out of dumps and wiped like any, but it shares guarded pages with its like
 * (secret_pool.h) instead of having its own, which costs half a dozen system calls. Large ones get their own all the same. */
struct secret *secret_make_brief(size_t len, secret_fill fill, void *arg);

/* Reads a whole file of 1..max bytes, one trailing newline removed. Refuses a file that group or others can read or that
 * is not a regular file; but takes root's file that an ACL lets this user alone read (a credential of systemd). Caller owns the result. */
struct secret *secret_read_file(const char *path, size_t max, struct error *err);
/* The same of a file that is open already; path is what errors call it. fd stays the caller's. */
struct secret *secret_read_fd(int fd, const char *path, size_t max, struct error *err);

const uint8_t *secret_bytes(const struct secret *secret); /* borrowed, valid until destroy */
size_t secret_len(const struct secret *secret);
/* Constant time in the contents; lengths are public. */
bool secret_equal(const struct secret *secret, const void *bytes, size_t len);

static inline void scoped_secret_fn(struct secret **s)
{
	secret_destroy(s);
}
#define scoped_secret __attribute__((cleanup(scoped_secret_fn)))

#endif
