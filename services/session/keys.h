/* keys - the HS256 keys in keys/jwt.keys, each with an id and a time; they overlap while they rotate.
 *
 * One key a line: <kid> <not_before, Unix seconds> <not_after> <base64 of 32..128 random bytes>; '#' begins a comment. The file is
 * 0600, belongs to the user that session runs as, and is replaced by renaming. A new key's not_before lies far enough ahead for every
 * replica to have read it; an old key's not_after lies 7 days (a session's life) behind the new key's not_before, or its sessions end early.
 */
#ifndef SESSION_KEYS_H
#define SESSION_KEYS_H

#include "services/session/jws.h"

#define KEYS_MAX 16
#define KID_MAX 32
#define CLOCK_SKEW_S 30 /* by how much replicas' clocks may differ */

struct signing_key {
	char kid[KID_MAX + 1];
	uint64_t not_before_s, not_after_s;
	struct secret *secret;
	char header[JWS_HEADER_MAX]; /* encoded: {"alg":"HS256","typ":"JWT","kid":"..."} */
};
struct keys {
	size_t len;
	struct signing_key key[KEYS_MAX];
};

/* Refuses, naming the line but never its contents: a file others can read, an empty one, short keys, keys that are text or a placeholder instead
 * of random bytes, an id used twice, times that make no sense. Caller owns the result. */
struct keys *keys_read(const char *path, struct error *err);
/* Of the file's text. */
struct keys *keys_parse(const char *text, size_t len, struct error *err);
void keys_destroy(struct keys **keys);

/* The newest key whose time has begun and not ended; NULL if there is none. Borrowed. */
const struct signing_key *keys_signer(const struct keys *keys, uint64_t now_s);
/* The key of that name, if it is inside its times; NULL: it is not, or there is none. Borrowed. */
const struct signing_key *keys_named(const struct keys *keys, const char *kid, uint64_t now_s);
/* The key that signed this token, if it is inside its times; a replica whose clock is ahead may have begun to use it already. */
const struct signing_key *keys_match(
    const struct keys *keys, const struct jws *jws, uint64_t now_s);
/* Is a key that was good among old at the time then not good among new (may be NULL) now? */
bool keys_retired(const struct keys *old, uint64_t then_s, const struct keys *new, uint64_t now_s);
/* The next moment at which a key ends; UINT64_MAX if none will. */
uint64_t keys_next_end(const struct keys *keys, uint64_t now_s);

#endif
