/* agents - the table of agent.h: an array by id. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "services/sandbox/agent.h"
#include "services/sandbox/asking.h"
#include "services/sandbox/exec.h"
#include "services/sandbox/gateway_link.h"
#include "services/sandbox/holder.h"
#include "services/sandbox/offer.h"
#include "services/sandbox/restore.h"
#include "services/sandbox/snapshot.h"
#include "services/sandbox/start.h"

#define ADDRESS_LISTS 1024
#define POINTER sizeof(void *) /* bytes of one of agents->at */

struct agents {
	struct sandbox *sandbox;
	struct agent **at;
	size_t n, room;
	struct agent_list by_address[ADDRESS_LISTS];
};

struct agents *agents_new(struct sandbox *sandbox)
{
	struct agents *agents = calloc(1, sizeof(*agents));
	bug_if(!agents);
	agents->sandbox = sandbox;
	return agents;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	agent_step(arg);
}

static struct agent *agent_new(struct sandbox *sandbox, const char *id)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	bug_if(!agent);
	agent->sandbox = sandbox;
	memcpy(agent->id, id, AGENT_ID_LEN);
	machine_init(&agent->machine, &sandbox->rules, MACHINE_NEW);
	TAILQ_INIT(&agent->waiting);
	agent->timer = evtimer_new(sandbox->process->base, on_timer, agent);
	bug_if(!agent->timer);
	return agent;
}

static void agent_free(struct agent *agent)
{
	struct error err;
	error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "stopping");
	if (agent->start)
		start_cancel(&agent->start);
	gateway_link_leave(agent);
	restore_destroy(&agent->restore);
	offer_destroy(&agent->offer);
	snapshot_destroy(agent);
	asking_fail_all(agent, &err);
	exec_fail(agent, &err);
	agent_set_address(agent, (struct in_addr){0});
	holder_forget(agent);
	event_free(agent->timer);
	secret_destroy(&agent->owner_token);
	secret_destroy(&agent->gateway_token);
	journal_destroy(&agent->journal);
	sodium_memzero(agent, sizeof(*agent));
	free(agent);
}

void agents_destroy(struct agents **agents)
{
	struct agents *a = *agents;
	if (!a)
		return;
	for (size_t i = 0; i < a->n; i++)
		agent_free(a->at[i]);
	*agents = NULL;
	free(a->at);
	free(a);
}

size_t agents_count(const struct agents *agents)
{
	return agents->n;
}

struct agent *agents_at(const struct agents *agents, size_t i)
{
	return agents->at[i];
}

size_t agents_after(const struct agents *agents, const char *id)
{
	size_t low = 0, high = agents->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(agents->at[middle]->id, id) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct agent *agents_find(const struct agents *agents, const char *id)
{
	size_t i = agents_after(agents, id);
	return i > 0 && strcmp(agents->at[i - 1]->id, id) == 0 ? agents->at[i - 1] : NULL;
}

/* Addresses of a pool of /31s: those of containers differ in every second number. */
static size_t list_of(struct in_addr address)
{
	return (ntohl(address.s_addr) >> 1) % ADDRESS_LISTS;
}

struct agent *agents_at_address(const struct agents *agents, struct in_addr address)
{
	struct agent *agent;
	if (address.s_addr == 0)
		return NULL;
	LIST_FOREACH(agent, &agents->by_address[list_of(address)], by_address)
	if (agent->address.s_addr == address.s_addr)
		return agent;
	return NULL;
}

/* An address is one agent's: whoever had it before, and was not said to be gone, has it no more. */
void agent_set_address(struct agent *agent, struct in_addr address)
{
	struct agents *agents = agent->sandbox->agents;
	struct agent *before = agents_at_address(agents, address);
	if (before == agent)
		return;
	if (before)
		agent_set_address(before, (struct in_addr){0});
	if (agent->address.s_addr)
		LIST_REMOVE(agent, by_address);
	agent->address = address;
	if (address.s_addr)
		LIST_INSERT_HEAD(&agents->by_address[list_of(address)], agent, by_address);
}

static int id_of(const char *asset, char id_r[AGENT_ID_LEN + 1])
{
	uint8_t key[PUBKEY_LEN];
	if (pubkey_parse(asset, key) != 0)
		return -1;
	agent_id(key, id_r);
	return 0;
}

struct agent *agents_of(const struct agents *agents, const char *asset)
{
	char id[AGENT_ID_LEN + 1];
	return id_of(asset, id) == 0 ? agents_find(agents, id) : NULL;
}

static struct agent *insert(struct agents *agents, const char *id)
{
	size_t i = agents_after(agents, id);
	if (agents->n == agents->room) {
		agents->room = agents->room ? 2 * agents->room : 64;
		agents->at = reallocarray(agents->at, agents->room, POINTER);
		bug_if(!agents->at);
	}
	memmove(agents->at + i + 1, agents->at + i, (agents->n - i) * POINTER);
	agents->n++;
	return agents->at[i] = agent_new(agents->sandbox, id);
}

struct agent *agents_make(struct agents *agents, const char *asset)
{
	char id[AGENT_ID_LEN + 1];
	bug_if(id_of(asset, id) != 0);
	struct agent *agent = agents_find(agents, id);
	if (agent)
		return agent;
	agent = insert(agents, id);
	snprintf(agent->record.asset, sizeof(agent->record.asset), "%s", asset);
	snprintf(agent->shown, sizeof(agent->shown), "%s", machine_state(&agent->machine));
	return agent;
}

struct agent *agents_add(struct agents *agents, const char *id, const struct record *record)
{
	struct agent *agent = insert(agents, id);
	agent->is_damaged = !record;
	if (record) {
		agent->record = *record;
		machine_init(&agent->machine, &agents->sandbox->rules, record->wish);
	}
	snprintf(agent->shown, sizeof(agent->shown), "%s", machine_state(&agent->machine));
	return agent;
}

void agents_remove(struct agents *agents, struct agent *agent)
{
	size_t i = agents_after(agents, agent->id) - 1;
	memmove(agents->at + i, agents->at + i + 1, (agents->n - i - 1) * POINTER);
	agents->n--;
	agent_free(agent);
}

size_t agents_active(const struct agents *agents)
{
	size_t active = 0;
	for (size_t i = 0; i < agents->n; i++)
		active += agents->at[i]->machine.phase != MACHINE_NONE;
	return active;
}
