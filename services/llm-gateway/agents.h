/* agents - who may call: the agents of this host, by the address that they call from, with what they show and what shows them to the vault. */
#ifndef LLM_GATEWAY_AGENTS_H
#define LLM_GATEWAY_AGENTS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "common/error.h"
#include "common/pubkey.h"
#include "common/secret.h"
#include "proto/gateway.h"

struct gateway;
struct exchange;
struct key_slot;
TAILQ_HEAD(exchange_list, exchange);
TAILQ_HEAD(key_slots, key_slot);

struct agent {
	TAILQ_ENTRY(agent) link, of_bucket;
	struct gateway *gateway;
	char id[AGENT_ID_LEN + 1];
	char asset[PUBKEY_TEXT_MAX + 1], wallet[PUBKEY_TEXT_MAX + 1];
	char boot[32 + 1];
	uint64_t slot;
	struct in_addr address;
	struct secret *token, *grant;
	uint64_t
	    epoch; /* rises with whatever makes an answer of the vault that is under way void */
	struct key_slots slots;
	struct exchange_list exchanges; /* under way; they point back */
};

struct agents;
struct agents *agents_new(struct gateway *gateway); /* caller owns the result */
void agents_destroy(struct agents **agents);
/* Takes the place of whoever has the id or the address, unless it is the same boot with the same address, token and grant. ERR_INVALID, or ERR_BUSY. */
int agents_admit(struct agents *agents, const struct gateway_admit_req *req, struct error *err);
bool agents_leave(struct agents *agents, const char *id, const char *boot);
/* Borrowed; NULL: nobody. */
struct agent *agents_at(const struct agents *agents, struct in_addr address);
size_t agents_count(const struct agents *agents);

/* What is kept of asset ("*", and LEDGER_OPERATORS, whose keys anybody may have: of all) is void: keys are dropped, and with cut what is under way is cut. */
void agents_doubt(struct agents *agents, const char *asset, bool cut);
/* Keys whose time is over. */
void agents_sweep(struct agents *agents);

#endif
