#include "services/sandbox/gateway_link.h"

#include <arpa/inet.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "proto/gateway.h"
#include "services/sandbox/files.h"

#define TICK_MS 100
#define CALL_MS 2000
#define AGAIN_MS 1000 /* after a refusal, which may last */

struct gateway_link {
	struct sandbox *sandbox;
	struct bus_client *client;
	struct event *tick;
};

/* One admission under way; the agent may be gone when it is answered. */
struct admission {
	struct sandbox *sandbox;
	char agent[AGENT_ID_LEN + 1], boot[VAULT_BOOT_ID_LEN + 1];
	uint64_t connection;
};

static void on_left(void *arg, const void *rsp, const struct error *err)
{
	(void)arg, (void)rsp;
	if (err)
		log_warn("llm-gateway was not told that an agent left", "why", err->text);
}

static void send_leave(const struct sandbox *sandbox, const char *agent, const char *boot)
{
	struct gateway_leave_req req = {0};
	snprintf(req.agent, sizeof(req.agent), "%s", agent);
	snprintf(req.boot_id, sizeof(req.boot_id), "%s", boot);
	bus_send(sandbox->gateway_link->client, &gateway_leave_call, &req,
	    clock_unix_ms() + CALL_MS, "", on_left, NULL);
}

void gateway_link_leave(struct agent *agent)
{
	if (agent->admitted.boot[0] && agent->sandbox->gateway_link)
		send_leave(agent->sandbox, agent->id, agent->admitted.boot);
	agent->admitted.boot[0] = '\0';
	agent->admitted.connection = agent->admitted.again_ms = 0;
}

static bool may_use(const struct agent *agent)
{
	enum machine_phase phase = agent->machine.phase;
	return (phase == MACHINE_STARTING || phase == MACHINE_RUNNING) &&
	       !agent->machine.must_kill && !agent->start && agent->boot[0] &&
	       agent->address.s_addr && agent->record.gateway_grant_len > 0 &&
	       agent->record.placement_len > 0 && strcmp(agent->boot, agent->record.boot) == 0;
}

static bool is_told(const struct agent *agent)
{
	return strcmp(agent->admitted.boot, agent->boot) == 0;
}

static void on_admitted(void *arg, const void *message, const struct error *err)
{
	struct admission *admission = arg;
	const struct sandbox *sandbox = admission->sandbox;
	const struct gateway_admit_rsp *rsp = message;
	struct agent *agent =
	    sandbox->agents ? agents_find(sandbox->agents, admission->agent) : NULL;
	bool is_wanted = agent && strcmp(agent->admitted.boot, admission->boot) == 0;
	if (agent)
		agent->admitted.is_asked = false;
	if (!is_wanted) {
		/* it may have been told after the leave: a call is tried again */
		if (!sandbox->is_stopping)
			send_leave(sandbox, admission->agent, admission->boot);
	} else if (err) {
		agent->admitted.again_ms = clock_boot_ms() + AGAIN_MS;
		log_warn("llm-gateway did not admit an agent; it is told again", "agent",
		    admission->agent, "why", err->text);
	} else {
		agent->admitted.connection = admission->connection;
		if (rsp->port != sandbox->llm_port)
			log_error("llm-gateway listens on another port than MULTICLAW_LLM_PORT: no "
				  "agent reaches it",
			    "port", log_u64(rsp->port));
	}
	free(admission);
}

static void send_admit(struct agent *agent, const struct gateway_link *link)
{
	const struct record *record = &agent->record;
	struct gateway_admit_req req = {
	    .slot = record->slot, .grant.len = record->gateway_grant_len};
	struct admission *admission = calloc(1, sizeof(*admission));
	scoped_secret struct secret *token =
	    boot_token(BOOT_TOKEN_LLM, record->placement, record->placement_len, record->boot);
	bug_if(!admission);
	*admission = (struct admission){
	    .sandbox = agent->sandbox, .connection = bus_client_connections(link->client)};
	memcpy(admission->agent, agent->id, sizeof(admission->agent));
	memcpy(admission->boot, agent->boot, sizeof(admission->boot));
	memcpy(agent->admitted.boot, agent->boot, sizeof(agent->admitted.boot));
	agent->admitted.is_asked = true;
	memcpy(req.agent, agent->id, sizeof(req.agent));
	memcpy(req.asset, record->asset, sizeof(req.asset));
	memcpy(req.wallet, record->wallet, sizeof(req.wallet));
	memcpy(req.boot_id, agent->boot, sizeof(req.boot_id));
	inet_ntop(AF_INET, &agent->address, req.address, sizeof(req.address));
	memcpy(req.token, secret_bytes(token), BOOT_TOKEN_LEN);
	memcpy(req.grant.data, record->gateway_grant, record->gateway_grant_len);
	bus_send(link->client, &gateway_admit_call, &req, clock_unix_ms() + CALL_MS, "",
	    on_admitted, admission);
	sodium_memzero(&req, sizeof(req));
}

void gateway_link_settle(struct agent *agent)
{
	const struct gateway_link *link = agent->sandbox->gateway_link;
	if (!link || agent->sandbox->is_stopping)
		return;
	if (!may_use(agent)) {
		gateway_link_leave(agent);
		return;
	}
	if (agent->admitted.boot[0] && !is_told(agent))
		gateway_link_leave(agent);
	bool is_known =
	    is_told(agent) && agent->admitted.connection == bus_client_connections(link->client);
	if (!is_known && !agent->admitted.is_asked && clock_boot_ms() >= agent->admitted.again_ms &&
	    bus_client_ready(link->client) > 0)
		send_admit(agent, link);
}

/* A gateway that was started anew knows nobody. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	const struct gateway_link *link = arg;
	const struct agents *agents = link->sandbox->agents;
	(void)fd, (void)what;
	for (size_t i = 0; agents && i < agents_count(agents); i++)
		gateway_link_settle(agents_at(agents, i));
}

const char *gateway_link_key(const struct sandbox *sandbox)
{
	const struct keyring *keyring = sandbox->process->keyring;
	if (!sandbox->gateway_link)
		return "";
	if (strlen(sandbox->gateway_key) == Z85_KEY_LEN)
		return sandbox->gateway_key;
	const char *first = keyring_server_key_at(keyring, ROLE_GATEWAY, 0);
	const char *second = keyring_server_key_at(keyring, ROLE_GATEWAY, 1);
	return first && second && strcmp(first, second) == 0 ? first : "";
}

struct gateway_link *gateway_link_new(struct sandbox *sandbox, struct error *err)
{
	static const struct timeval tick = {.tv_usec = TICK_MS * 1000};
	if (strcmp(sandbox->gateway_key, "llm-gateway") != 0 &&
	    strlen(sandbox->gateway_key) != Z85_KEY_LEN) {
		error_set(err, ERR_INVALID,
		    "MULTICLAW_SANDBOX_GATEWAY_KEY must be llm-gateway, or a public key of %d "
		    "characters: %s",
		    Z85_KEY_LEN, sandbox->gateway_key);
		return NULL;
	}
	struct gateway_link *link = calloc(1, sizeof(*link));
	bug_if(!link);
	link->sandbox = sandbox;
	link->client =
	    process_client_at(sandbox->process, ROLE_GATEWAY, "llm-gateway", sandbox->gateway);
	link->tick = event_new(sandbox->process->base, -1, EV_PERSIST, on_tick, link);
	bug_if(!link->tick || event_add(link->tick, &tick) != 0);
	return link;
}

void gateway_link_destroy(struct gateway_link **link)
{
	struct gateway_link *l = *link;
	if (!l)
		return;
	bus_client_destroy(&l->client);
	*link = NULL;
	event_free(l->tick);
	free(l);
}

bool gateway_link_is_ready(const struct gateway_link *link, char *why, size_t size)
{
	bool is_ready = bus_client_ready(link->client) > 0;
	bool has_key = gateway_link_key(link->sandbox)[0];
	snprintf(why, size, "%s",
	    !has_key   ? "several llm-gateways are listed: MULTICLAW_SANDBOX_GATEWAY_KEY has to "
			 "say which is this host's"
	    : is_ready ? "answers"
		       : "does not answer");
	return is_ready && has_key;
}
