#include "services/llm-gateway/agents.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/llm-gateway/exchange.h"
#include "services/llm-gateway/front.h"
#include "services/llm-gateway/gateway.h"
#include "services/llm-gateway/keys.h"

#define BUCKETS 1024

TAILQ_HEAD(agent_list, agent);
struct agents {
	struct gateway *gateway;
	size_t count;
	struct agent_list all;
	struct agent_list bucket[BUCKETS]; /* by address */
};

static size_t bucket_of(struct in_addr address)
{
	/* a container's address differs from its neighbour's in the low bits */
	uint32_t n = ntohl(address.s_addr);

	return (n ^ n >> 10 ^ n >> 20) % BUCKETS;
}

struct agents *agents_new(struct gateway *gateway)
{
	struct agents *agents = calloc(1, sizeof(*agents));

	bug_if(!agents);
	agents->gateway = gateway;
	TAILQ_INIT(&agents->all);
	for (size_t i = 0; i < BUCKETS; i++)
		TAILQ_INIT(&agents->bucket[i]);
	return agents;
}

static void cut(struct agent *agent)
{
	struct exchange *exchange;

	while ((exchange = TAILQ_FIRST(&agent->exchanges)))
		exchange_cut(exchange);
}

/* Whoever calls runs the front: what is under way ends in the same turn. */
static void drop(struct agents *agents, struct agent *agent)
{
	cut(agent);
	keys_end(agent);
	TAILQ_REMOVE(&agents->all, agent, link);
	TAILQ_REMOVE(&agents->bucket[bucket_of(agent->address)], agent, of_bucket);
	agents->count--;
	secret_destroy(&agent->token);
	secret_destroy(&agent->grant);
	free(agent);
}

void agents_destroy(struct agents **agents)
{
	struct agents *a = *agents;
	struct agent *agent;

	if (!a)
		return;
	while ((agent = TAILQ_FIRST(&a->all)))
		drop(a, agent);
	*agents = NULL;
	free(a);
}

struct agent *agents_at(const struct agents *agents, struct in_addr address)
{
	struct agent *agent;

	TAILQ_FOREACH(agent, &agents->bucket[bucket_of(address)], of_bucket)
	{
		if (agent->address.s_addr == address.s_addr)
			return agent;
	}
	return NULL;
}

static struct agent *find(const struct agents *agents, const char *id)
{
	struct agent *agent;

	TAILQ_FOREACH(agent, &agents->all, link)
	{
		if (strcmp(agent->id, id) == 0)
			return agent;
	}
	return NULL;
}

size_t agents_count(const struct agents *agents)
{
	return agents->count;
}

/* ---- coming and going */

static int check(const struct gateway_admit_req *req, struct in_addr *address_r, struct error *err)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t asset[PUBKEY_LEN], wallet[PUBKEY_LEN];
	char id[AGENT_ID_LEN + 1];

	if (pubkey_parse(req->asset, asset) != 0 || pubkey_parse(req->wallet, wallet) != 0)
		return error_refuse(
		    err, ERR_INVALID, "admit_malformed", "not an address of the chain");
	agent_id(asset, id);
	if (strcmp(id, req->agent) != 0)
		return error_refuse(
		    err, ERR_INVALID, "admit_malformed", "the agent's id is not its asset's");
	if (strspn(req->boot_id, hex) != strlen(req->boot_id) ||
	    strspn(req->token, hex) != strlen(req->token))
		return error_refuse(
		    err, ERR_INVALID, "admit_malformed", "boot id or token is not hex");
	if (inet_pton(AF_INET, req->address, address_r) != 1 || address_r->s_addr == INADDR_ANY ||
	    address_r->s_addr == INADDR_BROADCAST)
		return error_refuse(
		    err, ERR_INVALID, "admit_malformed", "not the address of a container");
	return 0;
}

static bool is_the_same(
    const struct agent *agent, const struct gateway_admit_req *req, struct in_addr address)
{
	return agent->address.s_addr == address.s_addr && strcmp(agent->id, req->agent) == 0 &&
	       strcmp(agent->boot, req->boot_id) == 0 && strcmp(agent->wallet, req->wallet) == 0 &&
	       agent->slot == req->slot &&
	       secret_equal(agent->token, req->token, strlen(req->token)) &&
	       secret_equal(agent->grant, req->grant.data, req->grant.len);
}

static int copy(void *arg, uint8_t *bytes, size_t len)
{
	memcpy(bytes, arg, len);
	return 0;
}

/* Small, and of as many agents as there are: in pages that they share. */
static struct secret *secret_of(const void *bytes, size_t len)
{
	return secret_make_brief(len, copy, (void *)(uintptr_t)bytes);
}

static void add(struct agents *agents, const struct gateway_admit_req *req, struct in_addr address)
{
	struct agent *agent = calloc(1, sizeof(*agent));

	bug_if(!agent);
	agent->gateway = agents->gateway;
	snprintf(agent->id, sizeof(agent->id), "%s", req->agent);
	snprintf(agent->asset, sizeof(agent->asset), "%s", req->asset);
	snprintf(agent->wallet, sizeof(agent->wallet), "%s", req->wallet);
	snprintf(agent->boot, sizeof(agent->boot), "%s", req->boot_id);
	agent->slot = req->slot;
	agent->address = address;
	agent->token = secret_of(req->token, strlen(req->token));
	agent->grant = secret_of(req->grant.data, req->grant.len);
	TAILQ_INIT(&agent->slots);
	TAILQ_INIT(&agent->exchanges);
	TAILQ_INSERT_TAIL(&agents->all, agent, link);
	TAILQ_INSERT_TAIL(&agents->bucket[bucket_of(address)], agent, of_bucket);
	agents->count++;
	log_info("admitted", "agent", agent->id, "boot", agent->boot, "address", req->address);
}

int agents_admit(struct agents *agents, const struct gateway_admit_req *req, struct error *err)
{
	struct in_addr address = {0};
	struct agent *there;

	if (check(req, &address, err) != 0)
		return -1;
	if ((there = find(agents, req->agent))) {
		if (is_the_same(there, req, address))
			return 0;
		drop(agents, there);
	}
	if ((there = agents_at(agents, address)))
		drop(agents, there);
	front_run(agents->gateway->front);
	if (agents->count >= agents->gateway->agents_max)
		return error_refuse(err, ERR_BUSY, "too_many_agents",
		    "MULTICLAW_GATEWAY_AGENTS_MAX agents are here");
	add(agents, req, address);
	return 0;
}

bool agents_leave(struct agents *agents, const char *id, const char *boot)
{
	struct agent *agent = find(agents, id);

	if (!agent || strcmp(agent->boot, boot) != 0)
		return false;
	log_info("left", "agent", id, "boot", boot);
	drop(agents, agent);
	front_run(agents->gateway->front);
	return true;
}

void agents_doubt(struct agents *agents, const char *asset, bool is_cut)
{
	bool is_all = strcmp(asset, "*") == 0 || strcmp(asset, LEDGER_OPERATORS) == 0;
	struct agent *agent;

	TAILQ_FOREACH(agent, &agents->all, link)
	{
		if (!is_all && strcmp(agent->asset, asset) != 0)
			continue;
		keys_drop_all(agent);
		if (is_cut)
			cut(agent);
	}
	if (is_cut)
		front_run(agents->gateway->front);
}

void agents_sweep(struct agents *agents)
{
	uint64_t now_ms = clock_boot_ms();
	struct agent *agent;

	TAILQ_FOREACH(agent, &agents->all, link)
	keys_sweep(agent, now_ms);
}
