/* errand - an operator's call that is one job of the worker: no owner, no ledger, no event to wait for. */
#ifndef SECRET_VAULT_ERRAND_H
#define SECRET_VAULT_ERRAND_H

#include "services/secret-vault/vault.h"

struct errand {
	struct vault *vault;
	struct bus_request *request;
	const struct proto_call *call;
	const void *req;   /* of the call; valid until the answer */
	void *rsp;         /* zeroed, of the call's size; wiped and freed by errand */
	char by[96 + 1];   /* for audit entries: "operator <key>" */
	bool has_changed;  /* work changed a global LLM key: an event says so before the answer */
	uint64_t head_seq; /* of all chains, after work of kind WORKER_WRITE */
	uint8_t head[AUDIT_HASH_LEN];
	/* in the worker's thread; fills rsp */
	int (*work)(struct errand *errand, struct desk *desk, struct error *err);
};
/* Needs storage only. What needs more (the vault open) is looked at before, or in work by desk->master. */
void errand_begin(struct vault *vault, const struct proto_call *call, enum worker_kind kind,
    int (*work)(struct errand *errand, struct desk *desk, struct error *err), const void *req,
    struct bus_request *request);

#endif
