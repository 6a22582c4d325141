/* keys - providers' keys, as the vault gives them for an agent: kept for seconds, asked for once at one time, void as soon as something of the asset was heard. */
#ifndef LLM_GATEWAY_KEYS_H
#define LLM_GATEWAY_KEYS_H

#include "common/providers.h"
#include "services/llm-gateway/agents.h"

/* Shared by what uses it; wiped with the last one. */
struct key {
	unsigned refs;
	struct secret *value;
	struct redact_forms *forms; /* to look for it in what the provider sends */
	char source[6 + 1];         /* user or global */
	uint64_t version;
};
struct key *key_keep(struct key *key);
void key_release(struct key **key);

/* Somebody who waits, embedded in what does. */
struct key_waiter {
	TAILQ_ENTRY(key_waiter) link;
	struct key_slot *slot; /* NULL: does not wait */
	/* key is borrowed; NULL: there is none, as err says. Not from within keys_want. */
	void (*done)(void *arg, struct key *key, const struct error *err);
	void *arg;
};

/* Borrowed; NULL: it is asked for, waiter is told; or with err->code set: too many wait. */
struct key *keys_want(struct agent *agent, const struct provider *provider,
    struct key_waiter *waiter, struct error *err);
void keys_forget_waiter(struct key_waiter *waiter);
/* The provider does not take it: the next call asks the vault again. */
void keys_drop(struct agent *agent, const struct provider *provider, uint64_t version);
/* All of the agent's, and what is under way is asked for again. */
void keys_drop_all(struct agent *agent);
void keys_sweep(struct agent *agent, uint64_t now_ms);
/* The agent goes: waiters have been forgotten before. */
void keys_end(struct agent *agent);

#endif
