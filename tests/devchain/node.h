/* node - one RPC node's view of the chain, and what is wrong with it just now. Both nodes share the chain; each lags, freezes and lies
 * for itself. */
#ifndef DEVCHAIN_NODE_H
#define DEVCHAIN_NODE_H

#include "tests/devchain/chain.h"

#define SYSTEM_PROGRAM "11111111111111111111111111111111"
#define SYSVAR_PROGRAM "Sysvar1111111111111111111111111111111111111"
#define SYSVAR_CLOCK "SysvarC1ock11111111111111111111111111111111"
#define CLOCK_DATA_LEN 40
#define LIES_MAX 16
#define SLOTS_PER_EPOCH 432000u
#define UNHEALTHY_BEHIND 128u /* slots, where getHealth gives up */

struct lie {
	uint8_t asset[PUBKEY_LEN], owner[PUBKEY_LEN];
	uint8_t *data; /* the account's bytes as told, of the last reading */
};

struct faults {
	bool silent;           /* accepts requests and connections, never answers */
	bool mute_push;        /* subscriptions work, nothing is ever pushed */
	bool refuse;           /* HTTP 429 */
	bool refuse_quiet;     /* HTTP 200 with a JSON error 429 */
	bool html;             /* HTTP 502 with an HTML body */
	bool half_body;        /* the connection ends in the middle of the body */
	bool half_json;        /* a whole HTTP reply whose JSON is cut */
	bool wrong_id;         /* answers carry another id than the request */
	bool bad_slot;         /* every slot is the largest u64 */
	bool freeze;           /* the view stands still */
	bool lose_sent;        /* a transaction sent here is accepted and forgotten */
	bool false_simulation; /* every simulation, and preflight, goes well and changes nothing */
	bool other_status;     /* asked for a status, it tells that of the newest transaction */
	bool no_history;       /* it keeps none: asked to search it, it answers with an error */
	uint64_t lag;          /* blocks behind the chain */
	uint64_t lower;        /* as lag, and minContextSlot is not honoured */
	uint64_t old_statuses; /* blocks by which statuses lag behind the rest */
	uint64_t ahead;        /* every slot is told that much too high */
	uint64_t high;         /* every block height, likewise */
	uint64_t skew_s;       /* the Clock sysvar is that late */
	uint64_t delay_ms;     /* every reply waits */
	uint64_t retry_after_s;
	size_t nlies;
	struct lie lies[LIES_MAX];
};

struct node {
	const char *name; /* "a" or "b" */
	struct chain *chain;
	struct faults faults;
	struct view frozen;
	uint64_t started_ms; /* of the chain: start of the epoch */
	uint8_t clock_data[CLOCK_DATA_LEN], clock_program[PUBKEY_LEN];
};

/* An account as this node tells it. Pointers are borrowed, until the node's next reading of the same account. */
struct reading {
	const uint8_t *key, *program, *data;
	uint64_t lamports;
	size_t len;
	bool executable;
};

void node_open(struct node *node, const char *name, struct chain *chain, uint64_t started_ms);
void node_view(const struct node *node, struct view *view_r);
uint64_t node_height(const struct node *node, enum commitment commitment);
/* The slot this node says it is at: not the true one when the slot is bad. */
uint64_t node_slot(const struct node *node, enum commitment commitment);
uint64_t node_told_slot(const struct node *node, uint64_t slot);
/* Reads key at the end of a block. False: no such account. */
bool node_read(
    struct node *node, const uint8_t key[PUBKEY_LEN], uint64_t height, struct reading *reading_r);
/* Stop and start standing still; forget every fault. */
void node_freeze(struct node *node);
void node_reset(struct node *node);

#endif
