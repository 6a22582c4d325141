/* rpc_answer - what a node said, sorted into outcomes. Hostile input: nothing is taken on trust, unknown members are ignored. */
#ifndef CHAIN_ORACLE_RPC_ANSWER_H
#define CHAIN_ORACLE_RPC_ANSWER_H

#include <jansson.h>

#include "common/http_client.h"
#include "services/chain-oracle/core_account.h"

/* name, label in metrics */
#define RPC_OUTCOMES(X) \
	X(OK, "ok") \
	X(BEHIND, \
	    "behind") /* has not reached minContextSlot; slot says where it is, 0: it did not say */ \
	X(LIMITED, "limited")         /* 429, in any of its shapes */ \
	X(REFUSED, "refused")         /* it does not serve this: asking again will not help */ \
	X(FAILED, "failed")           /* unhealthy, or any other error it reported */ \
	X(BROKEN, "broken")           /* not an answer to what was asked */ \
	X(UNREACHABLE, "unreachable") /* no answer at all */ \
	X(IMPLAUSIBLE, "implausible") /* an answer, of a node that is set aside */
enum rpc_outcome {
#define RPC_OUTCOME_ENUM(name, text) RPC_##name,
	RPC_OUTCOMES(RPC_OUTCOME_ENUM)
#undef RPC_OUTCOME_ENUM
};
#define RPC_OUTCOMES_LEN (RPC_IMPLAUSIBLE + 1)
const char *rpc_outcome_text(enum rpc_outcome outcome);

struct rpc_answer {
	enum rpc_outcome outcome;
	unsigned retry_after_s; /* LIMITED; 0: the node gave no advice */
	uint64_t slot;          /* BEHIND */
	json_t *result;         /* OK; owned */
	json_int_t code;        /* of the error it reported; 0: it reported none */
	json_t *data;     /* of that error; owned, to be wiped whatever the outcome; NULL: none */
	struct error err; /* not OK: why; may quote the node */
};

/* http NULL: there was none, err says why. */
void rpc_answer_read(const struct http_answer *http, const struct error *err, uint64_t id,
    struct rpc_answer *answer_r);
void rpc_answer_wipe(struct rpc_answer *answer);

/* One account, with the beginning of its data. */
struct rpc_account {
	struct core_account core; /* core.data points to bytes, or is NULL */
	uint8_t bytes[CORE_SLICE];
};
/* value: an account as nodes write it, or null. 0, or -1: not that. */
int rpc_account_read(const json_t *value, struct rpc_account *account_r);
/* The same of one asked for with a slice of that many bytes, which bytes has room for; account_r->data points there. */
int rpc_account_read_slice(
    const json_t *value, uint8_t *bytes, size_t slice, struct core_account *account_r);
/* Unix seconds in the Clock sysvar's account; -1: it is not that account. */
int rpc_account_clock(const struct rpc_account *account, int64_t *unix_r);

/* context.slot of a result that has one; exact. */
int rpc_answer_slot(const struct rpc_answer *answer, uint64_t *slot_r, struct error *err);
/* The result of rpc_request_accounts: exactly len accounts, all at *slot_r. */
int rpc_answer_accounts(const struct rpc_answer *answer, size_t len, struct rpc_account *accounts_r,
    uint64_t *slot_r, struct error *err);

/* The result of rpc_request_collection, one call per account. Entries that cannot be read are passed over and counted. */
typedef void (*rpc_each_account)(
    void *arg, const uint8_t key[PUBKEY_LEN], const struct rpc_account *account, uint64_t slot);
int rpc_answer_collection(const struct rpc_answer *answer, rpc_each_account each, void *arg,
    size_t *unread_r, struct error *err);
/* context.value of a result that has one; NULL: not there. Borrowed. */
json_t *rpc_answer_value(const struct rpc_answer *answer);
/* A TransactionError (or null: "") in the words of proto/chain.h. */
#define RPC_TRANSACTION_ERROR_MAX 120
void rpc_transaction_error(const json_t *error, char text_r[RPC_TRANSACTION_ERROR_MAX + 1]);
/* The result of rpc_request_genesis. */
int rpc_answer_genesis(
    const struct rpc_answer *answer, char text_r[PUBKEY_TEXT_MAX + 1], struct error *err);

#endif
