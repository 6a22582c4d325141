/* driver - what runs containers. sandbox decides, a driver does; another driver is another file with a struct driver in it. Everything is asked for and told
 * later, on the loop; an agent is named by its id, a start of it by its boot id.
 *
 * What a driver tells it tells through struct driver_told, never from inside a call. Between lost and ready it has nothing to say, and what was asked is
 * not known to be done; before ready it tells every container there is by found, alive or not.
 */
#ifndef SANDBOX_DRIVER_H
#define SANDBOX_DRIVER_H

#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cidr.h"
#include "common/error.h"
#include "common/metrics.h"
#include "proto/warden.h"

struct driver_image {
	char name[64 + 1];
	char digest[64 + 1]; /* hex */
	char kind[16];       /* "openclaw" or "" */
};
struct driver_limits {
	uint64_t memory_bytes, pids, cpu_percent, volume_bytes, tmp_bytes, connections,
	    io_bytes_per_s;
};
struct driver_boot {
	const char *agent, *boot;
};
struct driver_start {
	struct driver_boot of;
	const struct driver_image *image;
	const char *wallet; /* with period: whose volume */
	uint64_t period;
	const uint8_t *volume_key; /* 32 bytes; borrowed for the call */
	int files;                 /* proto/warden.h; stays the caller's */
	enum warden_volume volume;
	/* with WARDEN_VOLUME_FILLED: read end of a pipe, stays the caller's; borrowed for the call */
	int archive_fd;
	const struct warden_archive *archive;
	const struct driver_limits *limits;
	uint64_t ready_ms;
	bool is_narrowed;         /* reaches only these ranges, and what allow names */
	const struct cidr *range; /* borrowed for the call */
	size_t nranges;
};
struct driver_snapshot {
	struct driver_boot of;
	const struct warden_archive *archive; /* borrowed for the call */
	int out;                              /* write end of a pipe; both stay the caller's */
	int secrets;                          /* memfd, as files of a start */
	uint64_t bytes_max;
	const uint8_t *fingerprint; /* 32 bytes, of the last one; borrowed */
	uint8_t level;
	bool must_freeze;
	const char *roots, *excluded; /* WARDEN_ROOTS_BYTES each; borrowed */
};
struct driver_snapshotted {
	enum warden_outcome outcome;
	uint64_t bytes, files, stored_bytes, unsettled, skipped;
	const uint8_t *digest, *fingerprint; /* 32 bytes */
	const char *path, *kind, *text;
};
struct driver_allow {
	const struct in_addr *address;
	size_t n; /* 1-32 */
	uint32_t ttl_s;
	uint64_t ticket;
};
struct driver_found {
	struct driver_boot of;
	struct in_addr address;
	uint16_t port; /* 0: it does not accept connections yet */
	bool is_ending;
	uint64_t started_ms;
	const char *wallet;
	uint64_t period;
};
struct driver_ended {
	bool was_asked, was_oom, is_held;
	int status; /* as of wait(2); -1: not known */
	uint64_t us;
};
struct driver_ready {
	uint64_t slots, slots_used;
	const char *runtime, *warning; /* for people */
	struct in_addr resolver;
};

/* log: read end of what it writes, or -1; the callee's from then on. */
struct driver_told {
	void (*found)(void *arg, const struct driver_found *found, int log);
	/* resolver: socket on which containers ask for names, or -1; the callee's */
	void (*ready)(void *arg, const struct driver_ready *ready, int resolver);
	void (*lost)(void *arg);
	/* Its address, before it can send anything from there. */
	void (*starting)(void *arg, const struct driver_boot *of, struct in_addr address);
	void (*started)(void *arg, const struct driver_boot *of, struct in_addr address,
	    uint16_t port, int log);
	void (*failed)(
	    void *arg, const struct driver_boot *of, const char *why, enum warden_failure failure);
	void (*ended)(void *arg, const struct driver_boot *of, const struct driver_ended *ended);
	void (*gone)(void *arg, const struct driver_boot *of, const char *left);
	void (*counted)(void *arg, const struct driver_boot *of, uint64_t connections);
	/* why: "", or connections may be left */
	void (*was_reset)(void *arg, const struct driver_boot *of, const char *why);
	/* output: a memfd, or -1 (why says what); the callee's */
	void (*execed)(void *arg, const struct driver_boot *of, int status, bool was_cut,
	    const char *why, int output);
	void (*erased)(void *arg, const char *agent, const char *why); /* "": done */
	void (*allowed)(void *arg, uint64_t ticket);                   /* it may go there now */
	/* How far a snapshot, or a start that fills its volume, is. */
	void (*saving)(
	    void *arg, const struct driver_boot *of, uint64_t bytes, uint64_t total_bytes);
	void (*snapshotted)(
	    void *arg, const struct driver_boot *of, const struct driver_snapshotted *snapshotted);
	/* Asked every second: does this host know what it has to know to let agents live? */
	bool (*is_alive)(void *arg);
	void *arg;
};

struct driver_config {
	struct event_base *base;
	struct metrics *metrics;
	const char *socket, *images;
	struct driver_told told;
};

struct driver {
	const char *name;
	/* Looks for what it needs, and goes on looking. Caller owns the result. */
	void *(*open)(const struct driver_config *config);
	void (*close)(void *self);
	bool (*is_ready)(const void *self, char *why, size_t size);
	/* Is there such an image, and which is it? ERR_NOT_FOUND. */
	int (*prepare)(
	    void *self, const char *image, struct driver_image *image_r, struct error *err);
	/* Each: ERR_UNAVAILABLE if it could not be asked. */
	int (*start)(void *self, const struct driver_start *start, struct error *err);
	/* hold_ms above 0: it ends with is_held, and gone follows release, kill or that time. */
	int (*stop)(void *self, const struct driver_boot *of, uint64_t grace_ms, uint64_t hold_ms,
	    struct error *err);
	int (*release)(void *self, const struct driver_boot *of, struct error *err);
	/* Of one that runs or is held; one at a time for an agent. Told as snapshotted, or as gone. */
	int (*snapshot)(void *self, const struct driver_snapshot *snapshot, struct error *err);
	int (*kill)(void *self, const struct driver_boot *of, struct error *err);
	int (*reset)(void *self, const struct driver_boot *of, struct error *err);
	int (*count)(void *self, const struct driver_boot *of, struct error *err);
	/* argv: len bytes, each argument with its NUL */
	int (*exec)(void *self, const struct driver_boot *of, const char *argv, size_t len,
	    uint64_t timeout_ms, struct error *err);
	/* Told as allowed; never if it could not be done. */
	int (*allow)(void *self, const struct driver_boot *of, const struct driver_allow *allow,
	    struct error *err);
	/* One at a time for an agent. */
	int (*erase)(
	    void *self, const char *agent, const char *wallet, uint64_t period, struct error *err);
};

extern const struct driver driver_oci;

#endif
