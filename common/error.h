/* error - how anything that is not our bug fails: a code, a reason, a text, on the caller's stack.
 *
 * A fallible function returns 0, or -1 with *err filled in; success leaves *err untouched. Failing is one statement:
 *	return error_set(err, ERR_DENIED, "nonce %s expired", id);
 */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The closed list of codes; they travel in bus replies by name. */
#define ERROR_CODES(X) \
	X(NONE, "ok") \
	X(INVALID, "invalid") /* the request itself is wrong; asking again will not help */ \
	X(UNAUTHENTICATED, "unauthenticated") /* no proof, or no good proof, of who asks */ \
	X(DENIED, "denied")                   /* we know who asks; the answer is no */ \
	X(NOT_FOUND, "not_found") \
	X(CONFLICT, "conflict") \
	X(BUSY, "busy") /* a limit or quota; retry_after_s says when */ \
	X(TIMEOUT, "timeout") \
	X(UNAVAILABLE, "unavailable") /* something we depend on, or fresh knowledge, is missing */ \
	X(INTERNAL, "internal")

enum error_code {
#define ERROR_ENUM(name, text) ERR_##name,
	ERROR_CODES(ERROR_ENUM)
#undef ERROR_ENUM
};

#define ERROR_REASON_MAX 40
#define ERROR_TEXT_MAX 192

struct error {
	enum error_code code;
	unsigned retry_after_s; /* 0: no advice */
	char reason[ERROR_REASON_MAX +
		    1]; /* stable snake_case name for programs, "" if the code says it all */
	char text[ERROR_TEXT_MAX]; /* for people; never a secret */
};

/* Fills *err (may be NULL) with a code and a text; truncates, never fails. Returns -1. */
int error_set(struct error *err, enum error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with a stable reason such as "nonce_unknown". Returns -1. */
int error_refuse(struct error *err, enum error_code code, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Name of a code as it travels ("denied"), and back; an unknown name is ERR_INTERNAL. */
const char *error_name(enum error_code code);
enum error_code error_from_name(const char *name);

/* Our own bug: log where and abort. Never for anything a peer, Redis, the chain or a disk can cause. */
#define bug_if(cond) \
	do { \
		if (__builtin_expect(!!(cond), 0)) \
			error_bug(__FILE__, __LINE__, #cond); \
	} while (0)
void error_bug(const char *file, int line, const char *what) __attribute__((noreturn));

/* Cannot start: one line to the log, exit 1. From the main path only, never after `ready`. */
void fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
