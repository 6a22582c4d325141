/* store - what sandbox and snapshot-store, the process that has the object storage's credentials, say to each other on one host.
 *
 * snapshot-store moves bytes between a pipe and the storage (a folder, or an S3-compatible service); they are encrypted before it sees them, and it knows no
 * owners. One SOCK_SEQPACKET connection (never the bus), which snapshot-store binds and sandbox connects to: one struct a packet, at most one file descriptor beside it. A
 * connection begins with STORE_READY. Requests run side by side, each answered by one DONE or FAILED of the same ticket, after PROGRESS every second or so; the end of the
 * connection gives up all of them. Text is NUL-terminated. Numbers are the host's own.
 *
 * A key is agents/<sandbox id>/<wallet>/<period>/<name>, or agents/<sandbox id>/handed-over/<name>; name is of a-z 0-9 . - and does not begin with a dot. store_key_is_good
 * (store_key.h) says so on both sides; nothing else is ever read, written or removed.
 */
#ifndef PROTO_STORE_H
#define PROTO_STORE_H

#include <stdbool.h>
#include <stdint.h>

#define STORE_VERSION 1
#define STORE_KEY_MAX 200
#define STORE_REQUESTS_MAX 64 /* of a connection, at one time; more are FAILED with STORE_BUSY */

/* clang-format off */
#define STORE_REQUESTS(X) \
	X(PUT, 1)    /* u.put; fd: read end of a pipe. Complete or not there at all: what ends early by CANCEL is not stored */ \
	X(GET, 2)    /* u.get; fd: write end of a pipe, closed at the end whatever came of it */ \
	X(DELETE, 3) /* DONE also if there was none */ \
	X(SWEEP, 4)  /* key is a folder of the two forms, with its last /: removes all below it, interrupted uploads too; DONE's bytes: how many objects */ \
	X(CANCEL, 5) /* the request of that ticket -> its FAILED */
#define STORE_EVENTS(X) \
	X(READY, 101)    /* u.text: which storage, for people */ \
	X(DONE, 102)     /* u.done */ \
	X(PROGRESS, 103) /* u.done, without digest */ \
	X(FAILED, 104)   /* u.failed */
/* clang-format on */
enum store_what {
#define STORE_ENUM(name, number) STORE_##name = (number),
	STORE_REQUESTS(STORE_ENUM) STORE_EVENTS(STORE_ENUM)
#undef STORE_ENUM
};

enum store_failure {
	STORE_UNAVAILABLE, /* no answer, or trouble at the other end, after several tries */
	STORE_NOT_FOUND,
	STORE_DENIED, /* credentials, rights */
	STORE_FULL,
	STORE_DAMAGED, /* it is not of the length or checksum that the storage said */
	STORE_TOO_LARGE,
	STORE_CANCELLED,
	STORE_BUSY,
	STORE_INVALID,
};

struct store_packet {
	uint32_t version, what; /* enum store_what */
	uint64_t ticket;        /* sandbox's own */
	char key[STORE_KEY_MAX + 1];
	union {
		struct {
			uint64_t bytes_max; /* more fail with STORE_TOO_LARGE */
		} put;
		struct {
			uint64_t bytes_max;
		} get;
		struct {
			uint64_t bytes;
			uint8_t digest[32]; /* BLAKE2b-256 of what was moved */
		} done;
		struct {
			uint32_t failure; /* enum store_failure */
			char text[160];
		} failed;
		char text[160];
	} u;
};

#endif
