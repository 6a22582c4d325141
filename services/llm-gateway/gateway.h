/* gateway - what llm-gateway has: settings, the agents of its host, the listener that they reach, the way out. */
#ifndef LLM_GATEWAY_GATEWAY_H
#define LLM_GATEWAY_GATEWAY_H

#include "common/curl_loop.h"
#include "common/llm_usage.h"
#include "common/providers.h"
#include "common/service.h"
#include "proto/gateway.h"
#include "services/llm-gateway/agents.h"

struct gateway_metrics {
	struct metric *up_bytes, *down_bytes, *redactions, *cuts, *unaccounted;
};

struct gateway {
	struct process *process; /* first */

	/* settings */
	char *listen, *sandbox, *providers_path, *ca_file;
	uint64_t key_s, body_max_mib, answer_max_mib, agents_max, connections,
	    connections_per_agent, client_idle_s, connect_s, first_byte_s, idle_s, agent_usd,
	    all_usd, unknown_tokens, usage_days;
	struct llm_usage_limits limits;

	struct providers *providers;
	int listener; /* bound; the front's once it is there */
	uint16_t port;
	struct agents *agents;
	struct exchange_list unread; /* wait for an event to be read */
	struct bus_client *vaults;
	struct curl_loop *curl;
	CURLSH *sessions; /* of TLS, which a new connection to the same provider resumes */
	struct front *front;
	int sockets[65536];  /* of the connections to providers, by their port here */
	struct event *watch; /* of the lease */
	struct event *sweep; /* of keys whose time is over */
	struct gateway_metrics metrics;
	bool is_stopping, was_serving;
};
extern const struct setting gateway_settings[];
extern const size_t gateway_nsettings;

int gateway_open(void *self, struct error *err);
int gateway_service_start(void *self, struct error *err);
void gateway_service_stop(void *self);
void gateway_on_event(void *self, const struct ledger_event *event);
void gateway_on_heard(void *self, const struct ledger_event *event);
void gateway_on_restart(void *self, const char *history, struct event_id head);
bool gateway_reaches_vault(void *self, char *why, size_t size);
bool gateway_listens(void *self, char *why, size_t size);

GATEWAY_CALLS(PROTO_HANDLER)

/* May it use a key at this moment (a lease, a chain that was read)? ERR_UNAVAILABLE. */
int gateway_serves(const struct gateway *gateway, struct error *err);
/* Counts an answer that the gateway itself gave, by its code. */
void gateway_count_refusal(struct gateway *gateway, const char *code);

#endif
