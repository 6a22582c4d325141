/* packer - what warden and multiclaw-packer, which it starts for each snapshot and each restore, say to each other.
 *
 * The packer alone reads what agents wrote, in formats that are known for their mistakes (tar, zstd, SQLite, gzip). It is started as root with five descriptors, and
 * before it looks at any of them it makes PACKER_ROOT its root folder, becomes order.uid, gives up every capability (but reads all of the tree while it packs) and confines
 * itself; from then on it holds what its own agent holds, and nothing else. It ends with 0 if the last report is DONE, else with 1.
 */
#ifndef PROTO_PACKER_H
#define PROTO_PACKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/warden.h"

#define PACKER_VERSION 1

enum packer_fd {
	PACKER_ORDER = 3,   /* memfd of one struct packer_order */
	PACKER_ROOT = 4,    /* folder: what the agent has as /data, with its ids shifted */
	PACKER_SECRETS = 5, /* pack: memfd of the secrets to look for, as beside WARDEN_START, a path perhaps twice; -1 (closed) while unpacking */
	PACKER_ARCHIVE = 6, /* pipe: written while packing, read while unpacking */
	PACKER_REPORT = 7,  /* SOCK_SEQPACKET: one struct packer_report a packet */
};

struct packer_order {
	uint32_t version;
	bool is_unpacking;
	uid_t uid; /* of the agent, on this host: owner of all that is unpacked */
	gid_t gid;
	char agent[32 + 1];
	struct warden_archive archive;
	uint64_t bytes_max;
	uint8_t fingerprint[32]; /* as in warden_packet.u.snapshot */
	uint8_t level;
	char roots[WARDEN_ROOTS_BYTES];
	char excluded[WARDEN_ROOTS_BYTES];
};

enum packer_kind { PACKER_PROGRESS, PACKER_DONE };
struct packer_report {
	uint32_t kind;    /* enum packer_kind */
	uint32_t outcome; /* DONE: enum warden_outcome */
	bool is_damaged;  /* WARDEN_NOT_SAVED of unpacking: the archive is; another one may be tried */
	uint64_t bytes, total_bytes, files, stored_bytes, unsettled, skipped;
	uint8_t digest[32], fingerprint[32];
	char path[1024], kind_of_secret[96];
	char text[160];
};

#endif
