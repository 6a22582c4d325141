/* warden - what sandbox and warden, the two halves of one host's container service, say to each other.
 *
 * sandbox knows owners, sessions and the vault, and has no privilege; warden is root, knows nothing of owners, and does what needs root: namespaces,
 * links, mounts, cgroups, the OCI runtime. They speak over one SOCK_SEQPACKET connection on the host (never the bus), which warden binds and sandbox
 * connects to: one struct a packet, file descriptors beside it. Warden serves the newest connection and closes the one before.
 *
 * A connection begins with WARDEN_FOUND for every agent that warden has, alive or being cleaned up, and WARDEN_READY. Then, for an agent (by its id) and a
 * boot (by its id):
 *
 *	START  ->  STARTING, then STARTED (it accepts connections)  or FAILED (nothing of it is left)
 *	STOP, KILL, or its own end  ->  ENDED (no process is left and its secrets are wiped), then GONE (volume closed, link and cgroup gone)
 *	STOP with hold  ->  ENDED with is_held: nothing runs, but the volume stays open for a SNAPSHOT, and its secrets stay to be looked for in that, until RELEASE, KILL, hold_ms or the end of
 *		the connection; they are wiped then, before GONE
 *
 * A START that is stopped or killed before STARTED ends with ENDED and GONE, not FAILED; so does one whose connection is replaced by a newer one, to which it
 * is FOUND with is_ending. STOP and KILL of what warden does not have are answered by GONE.
 * A new START of an agent is refused (FAILED) before GONE. Everything a request names is checked again by warden; text is NUL-terminated and what
 * follows the NUL is zero. Numbers are the host's own.
 */
#ifndef PROTO_WARDEN_H
#define PROTO_WARDEN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define WARDEN_VERSION 4 /* in every packet; another one closes the connection */
#define WARDEN_FDS_MAX 2
#define WARDEN_ROOTS_BYTES 4096 /* NUL-terminated names, one after the other */
#define WARDEN_EXEC_BYTES 8192
#define WARDEN_ALLOW_MAX 32
#define WARDEN_RANGES_MAX 100

/* clang-format off */
#define WARDEN_REQUESTS(X) \
	X(ALIVE, 1)  /* sandbox lives and has a lease; said every second or so. Without it for MULTICLAW_WARDEN_ORPHAN_S all agents are stopped */ \
	X(START, 2)  /* u.start; fd: secrets (below) */ \
	X(STOP, 3)   /* u.stop: TERM to its first process, KILL after grace_ms */ \
	X(KILL, 4)   /* all its processes at once */ \
	X(RESET, 5)  /* every TCP connection from the host to it -> RESETTED */ \
	X(COUNT, 6)  /* -> COUNTED */ \
	X(EXEC, 7)   /* u.exec -> EXECED; one at a time for an agent */ \
	X(ALLOW, 8)  /* u.allow: addresses that a narrowed agent may reach from now on; -> ALLOWED, or nothing if they cannot be let through */ \
	X(ERASE, 9)  /* u.erase: delete a volume that is not open; -> ERASED */ \
	X(SNAPSHOT, 10) /* u.snapshot; fds: where the archive goes (a pipe's write end), secrets to look for (below) -> SAVING ..., SNAPSHOTTED. Of an agent that runs, or is held */ \
	X(RELEASE, 11)  /* one that is held need not be any more; a SNAPSHOT under way is given up -> GONE */
#define WARDEN_EVENTS(X) \
	X(FOUND, 101)   /* u.found; fd: its log, if it lives */ \
	X(READY, 102)   /* u.ready; fd: the UDP socket on which containers ask for names, bound to their resolver's address */ \
	X(STARTED, 103) /* u.started; fd: its log: read end of what it writes to standard output and error, never at an end, non-blocking */ \
	X(FAILED, 104)  /* u.failed: why the START was not done */ \
	X(ENDED, 105)   /* u.ended */ \
	X(GONE, 106)    /* u.text: "" or what could not be cleaned up (warden goes on trying) */ \
	X(COUNTED, 107) /* u.counted */ \
	X(EXECED, 108)  /* u.execed; fd: a memfd of the output, at most 64 KiB, if it ran */ \
	X(ERASED, 109)  /* u.text: "" or why not */ \
	X(STARTING, 110) /* u.starting: first answer to a START that is not refused, before anything of it can send a packet */ \
	X(ALLOWED, 111) /* u.allowed: the rules are in */ \
	X(SAVING, 112)  /* u.saving: how far a SNAPSHOT, or a START that fills its volume, is; every second or so */ \
	X(SNAPSHOTTED, 113) /* u.snapshotted */ \
	X(RESETTED, 114) /* u.text: "", or why connections may be left */
/* clang-format on */
enum warden_what {
#define WARDEN_ENUM(name, number) WARDEN_##name = (number),
	WARDEN_REQUESTS(WARDEN_ENUM) WARDEN_EVENTS(WARDEN_ENUM)
#undef WARDEN_ENUM
};

enum warden_volume {
	WARDEN_VOLUME_ANY,     /* the one there is, or a new one that is empty */
	WARDEN_VOLUME_PRESENT, /* there has to be one */
	WARDEN_VOLUME_FILLED,  /* a new one, filled from the archive; it takes the old one's place once it is complete */
};
enum warden_failure {
	WARDEN_FAILURE_OTHER,
	WARDEN_FAILURE_NO_VOLUME, /* WARDEN_VOLUME_PRESENT, and there is none */
	WARDEN_FAILURE_ARCHIVE,   /* damaged, cut off, of something else; nothing was changed */
	WARDEN_FAILURE_VOLUME,    /* it does not open: damaged, or of another key */
};
enum warden_outcome {
	WARDEN_MADE,
	WARDEN_UNCHANGED,    /* the fingerprint is the last one's: nothing was written */
	WARDEN_SECRET_FOUND, /* path and kind say where and which */
	WARDEN_TOO_LARGE,
	WARDEN_NOT_SAVED, /* text says why */
};

/* What an archive belongs to: it opens with the same values only. */
struct warden_archive {
	uint8_t key[32];    /* wiped by both sides once used */
	uint64_t number;    /* of the snapshot */
	char boot[32 + 1];  /* that it was taken from */
	char wallet[44 + 1];
	uint64_t period;
};

/* Beside SNAPSHOT: as beside START, the secrets that are live. Warden has those of the agent's START looked for as well, whatever became of them since; but for what is named here with size 0,
 * which is no secret.
 * Beside START: with WARDEN_VOLUME_FILLED a second descriptor, from which the archive is read (a pipe's read end). The first: a sealed memfd (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) of the files under /run/secrets, one after the other: this header, path_len
 * bytes of path ([A-Za-z0-9._/-], relative, no "..", no empty part; folders are made), size bytes. */
struct warden_file {
	uint32_t size;
	uint16_t mode; /* permission bits: 0400 */
	uint16_t path_len;
};

struct warden_limits {
	uint64_t memory_bytes, pids, cpu_percent; /* 100: one processor */
	uint64_t volume_bytes;                    /* /data; taken when the volume is made */
	uint64_t tmp_bytes;                       /* /tmp; counts as memory */
	uint64_t connections;                     /* at one time, in each direction */
	uint64_t io_bytes_per_s;                  /* of the volume, each way; 0: any */
};

struct warden_range {
	struct in_addr address; /* the first one */
	uint32_t bits;          /* 8-32; 32: one address */
};

struct warden_packet {
	uint32_t version, what; /* enum warden_what */
	char agent[32 + 1];     /* sandbox id; "" for ALIVE, READY */
	char boot[32 + 1];      /* hex; "" where no boot is meant */
	union {
		struct {
			char image
			    [64 +
				1]; /* SHA-256 of its manifest, hex: a folder of the image store */
			char wallet[44 + 1];    /* base58; with period: whose volume */
			uint64_t period;        /* slot of the ownership period */
			uint8_t volume_key[32]; /* wiped by both sides once used */
			struct warden_limits limits;
			uint64_t ready_ms; /* longest wait for it to accept connections */
			bool is_narrowed;  /* reaches only its ranges, and what ALLOW names */
			char kind
			    [16]; /* "openclaw" or "": what the image's environment is told besides */
			uint32_t nranges; /* without is_narrowed: 0 */
			struct warden_range range[WARDEN_RANGES_MAX];
			uint32_t volume; /* enum warden_volume */
			struct warden_archive archive;
		} start;
		struct {
			uint64_t grace_ms;
			uint64_t hold_ms; /* 0: not held */
		} stop;
		struct {
			struct warden_archive archive;
			uint64_t bytes_max;          /* of its files */
			uint8_t fingerprint[32];     /* of the last one; zero: write it whatever it is */
			uint8_t level;               /* of compression: zstd's 1-19 */
			bool must_freeze;            /* the agent's processes stand still meanwhile */
			char roots[WARDEN_ROOTS_BYTES];    /* below /data: what is saved; ends with an empty name */
			char excluded[WARDEN_ROOTS_BYTES]; /* below /data: what is not */
		} snapshot;
		struct {
			uint64_t bytes, total_bytes; /* of files */
		} saving;
		struct {
			uint32_t outcome;       /* enum warden_outcome */
			uint64_t bytes, files;  /* saved */
			uint64_t stored_bytes;  /* of the archive */
			uint64_t unsettled;     /* files that changed each time they were read */
			uint64_t skipped;       /* devices, sockets, what cannot be read */
			uint8_t digest[32];     /* BLAKE2b-256 of the archive */
			uint8_t fingerprint[32]; /* of names, sizes and times */
			char path[1024], kind[96];
			char text[160];
		} snapshotted;
		struct {
			char text[160];
			uint32_t failure; /* enum warden_failure */
		} failed;
		struct {
			uint32_t len;                 /* of text */
			char text[WARDEN_EXEC_BYTES]; /* arguments, each with its NUL */
			uint64_t timeout_ms;
		} exec;
		struct {
			uint32_t len;
			struct in_addr address[WARDEN_ALLOW_MAX];
			uint32_t ttl_s;
			uint64_t ticket; /* sandbox's own */
		} allow;
		struct {
			char wallet[44 + 1];
			uint64_t period;
		} erase;
		struct {
			struct in_addr address; /* of the container */
			uint16_t port;
			bool is_ending;      /* ENDED was said, or would have been: GONE follows */
			uint64_t started_ms; /* Unix */
			char image[64 + 1], wallet[44 + 1];
			uint64_t period;
		} found;
		struct {
			uint64_t slots,
			    slots_used;    /* how many agents there may be at one time, and are */
			char runtime[64];  /* name and version, for people */
			char warning[160]; /* what it cannot do; "" if nothing is known */
			struct in_addr resolver;
		} ready;
		struct {
			struct in_addr address; /* nobody else's until GONE or FAILED */
		} starting;
		struct {
			uint64_t ticket;
		} allowed;
		struct {
			struct in_addr address;
			uint16_t port;
			uint64_t ms; /* from the START to here */
		} started;
		struct {
			bool
			    was_asked; /* by STOP, KILL or the end of all; else it ended by itself */
			int32_t status; /* as of wait(2); -1: not known */
			bool was_oom;   /* something in it was killed for want of memory */
			bool is_held;   /* its volume is open still, for a SNAPSHOT */
			uint64_t us;    /* from the request to here */
		} ended;
		struct {
			uint64_t connections; /* TCP, from the host to it, open now */
		} counted;
		struct {
			int32_t status; /* as of wait(2) */
			bool was_cut;
			char why[160]; /* not "": it did not run */
		} execed;
		char text[160];
	} u;
};

#endif
