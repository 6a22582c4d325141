/* audit - entries of the vault's audit trail: what is in one, how they are chained, and how a copy is checked against a head that was kept elsewhere.
 *
 * There is one chain per ownership period, so that a copy shows nobody else's data, and one for operators' acts ("global"); and over all of them one
 * head, so that a chain that is missing altogether is found. Hashes are BLAKE2b-256, without a key: whoever has a copy and a head can check.
 *
 *	hash     = H("multiclaw audit entry v1" chain seq at_ms act by kind name version detail prev)
 *	all_hash = H("multiclaw audit head v1" all_seq all_hash_before hash)
 *
 * where texts (the first, too) go in as a 4-byte little-endian length and their bytes, numbers as 8 bytes little-endian, hashes as they are. prev is the
 * hash before in the chain, 32 zeros at its beginning; the same for all_hash.
 */
#ifndef COMMON_AUDIT_H
#define COMMON_AUDIT_H

#include <stdio.h>

#include "common/error.h"

#define AUDIT_HASH_LEN 32
#define AUDIT_CHAIN_MAX 128
#define AUDIT_GLOBAL "global"

struct audit_entry {
	char chain[AUDIT_CHAIN_MAX + 1]; /* "<asset>/<wallet>/<slot>" or AUDIT_GLOBAL */
	uint64_t seq, at_ms, version;
	char act[16 + 1], by[96 + 1], kind[8 + 1], name[64 + 1], detail[160 + 1];
	uint8_t prev[AUDIT_HASH_LEN], hash[AUDIT_HASH_LEN];
	uint64_t all_seq; /* 0: not known (an owner's copy has it not) */
	uint8_t all_hash[AUDIT_HASH_LEN];
};

/* Fills in hash from everything before it. */
void audit_seal(struct audit_entry *entry);
/* all_hash of an entry whose hash and all_seq are set. before: all_hash of the entry before, zeros for the first. */
void audit_seal_all(struct audit_entry *entry, const uint8_t before[AUDIT_HASH_LEN]);

/* One entry a line, as JSON in ASCII: what `multiclaw audit export` writes and GET /v1/audit lists. Members: chain, seq, at_ms, act, by, kind, name,
 * version, detail, prev, hash, all_seq, all_hash; what is empty or 0 is left out; hashes are in lower-case hex. Caller frees; no newline. NULL if JSON
 * cannot say it: a text that is not UTF-8, a number of 2^63 or more. */
char *audit_entry_text(const struct audit_entry *entry);
/* Strict. ERR_INVALID. Whether its hash is right, audit_check_next says. */
int audit_entry_parse(const char *text, size_t len, struct audit_entry *entry_r, struct error *err);

/* Checks entries one after the other: flipped, dropped, reordered ones, a beginning that is missing; at its end, by the head, a tail that is missing.
 * Entries without all_seq: of one chain. With it: of all chains, in its order; then the chains are checked as well as the head of all. After an error the
 * check is of no further use. Keeps 32 bytes per entry, and each chain's head. */
struct audit_check;
struct audit_check *audit_check_new(void);
void audit_check_destroy(struct audit_check **check);
/* ERR_INVALID names chain and seq. */
int audit_check_next(struct audit_check *check, const struct audit_entry *entry, struct error *err);
/* head: of one chain, or (if the entries have all_seq) of all. It may be older than the copy: then it has to be in it, at its seq. */
int audit_check_head(const struct audit_check *check, uint64_t head_seq,
    const uint8_t head[AUDIT_HASH_LEN], struct error *err);

#endif
