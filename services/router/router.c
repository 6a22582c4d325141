#include "services/router/router.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "services/router/api.h"
#include "services/router/authz.h"
#include "services/router/reach.h"
#include "services/router/site.h"
#include "services/router/stream.h"
#include "services/router/usage.h"

#define ROW(name, type, member, min, max, value, doc) \
	{ \
		"MULTICLAW_" name, SETTING_##type, offsetof(struct router, member), min, max, \
		    value, doc \
	}
const struct setting router_settings[] = {
    ROW("API_LISTEN", STR, api_listen, 0, 200, "",
	"Where nginx reaches the JSON API; empty: unix:run/<replica>.api."),
    ROW("AUTHZ_LISTEN", STR, authz_listen, 0, 200, "",
	"Where the proxy reaches the decision endpoint; empty: unix:run/<replica>.authz."),
    ROW("AUTHZ_DIALECT", STR, authz_dialect, 1, 16, "nginx",
	"How the decision endpoint is asked: nginx, traefik or envoy."),
    ROW("AGENT_UPSTREAM", STR, agent_upstream, 0, 64, "",
	"Address and port that serves every agent if MULTICLAW_SANDBOXES is empty; empty: agents "
	"are starting."),
    ROW("AGENTS_NETWORK", STR, agents_network, 9, 18, "10.213.0.0/16",
	"IPv4 network of the agents' containers on every host: nothing is sent anywhere else."),
    ROW("AGENTS_PORT", UINT, agents_port, 1, 65535, "18789", "Port that every agent listens on."),
    ROW("PLACE_ENTRIES", UINT, place_entries, 64, 1 << 20, "4096",
	"Agents whose place is kept; rounded up to a power of two."),
    ROW("DECISION_ENTRIES", UINT, decision_entries, 64, 1 << 24, "16384",
	"Sessions whose last answer is kept, 128 bytes each; rounded up to a power of two."),
    ROW("STREAMS_MAX", UINT, streams_max, 1, 100000, "1024", "Event streams at one time."),
    ROW("STREAMS_PER_ASSET", UINT, streams_per_asset, 1, 1000, "16",
	"Event streams at one time of one asset."),
};
const size_t router_nsettings = ARRAY_LEN(router_settings);

/* An empty address becomes the replica's own socket. */
static void default_listen(struct router *router, char **address, const char *suffix)
{
	char text[128];
	if ((*address)[0])
		return;
	snprintf(text, sizeof(text), "unix:run/%s.%s", router->process->settings.replica, suffix);
	free(*address);
	*address = strdup(text);
	bug_if(!*address);
}

int router_open(void *self, struct error *err)
{
	struct router *router = self;
	const struct suite_settings *settings = &router->process->settings;
	default_listen(router, &router->api_listen, "api");
	default_listen(router, &router->authz_listen, "authz");
	router->table = decision_table_new(router->decision_entries);
	if (!router->table)
		return error_set(err, ERR_UNAVAILABLE, "no memory for %llu decisions",
		    (unsigned long long)router->decision_entries);
	if (host_names_init(&router->names, settings->public_url, settings->agents_domain, err) !=
	    0)
		return -1;
	entry_page_init(&router->entry_page, router->names.console);
	const char *console = router->names.console + strlen(router->names.scheme);
	const char *objection = site_objection(console, router->names.domain);
	if (objection)
		log_warn("agents are not safe from each other", "why", objection, "setting",
		    "MULTICLAW_AGENTS_DOMAIN");
	return 0;
}

int router_start(void *self, struct error *err)
{
	struct router *router = self;
	router->auths = process_client(router->process, ROLE_AUTH);
	router->sessions = process_client(router->process, ROLE_SESSION);
	if (router->process->settings.vaults.len > 0)
		router->vaults = process_client(router->process, ROLE_VAULT);
	if (router->process->settings.wallets.len > 0)
		router->wallets = process_client(router->process, ROLE_WALLET);
	router->sandboxes = sandboxes_new(router);
	router->reaches = reaches_new(router, err);
	if (!router->reaches)
		return -1;
	router->streams = streams_new(router);
	router->authz = authz_new(router, err);
	if (!router->authz)
		return -1;
	router->api = api_new(router, err);
	return router->api ? 0 : -1;
}

/* The clients first: their last answers reach requests that still exist. */
void router_stop(void *self)
{
	struct router *router = self;
	bus_client_destroy(&router->auths);
	bus_client_destroy(&router->sessions);
	bus_client_destroy(&router->vaults);
	bus_client_destroy(&router->wallets);
	sandboxes_destroy(&router->sandboxes);
	reaches_destroy(&router->reaches);
	streams_destroy(&router->streams);
	usage_stop(router);
	http_server_destroy(&router->api);
	authz_destroy(&router->authz);
	decision_table_destroy(&router->table);
	entry_page_clear(&router->entry_page);
}

static void mark(struct router *router, const struct ledger_event *event)
{
	uint8_t asset[PUBKEY_LEN];
	bool one = pubkey_parse(event->asset, asset) == 0;
	decision_mark(router->table, one ? asset : NULL, event->id);
	if (router->reaches)
		reaches_mark(router->reaches, one ? asset : NULL);
	if (router->sandboxes)
		sandboxes_mark(router->sandboxes, one ? asset : NULL);
}

void router_on_event(void *self, const struct ledger_event *event)
{
	struct router *router = self;
	mark(router, event);
	if (router->streams)
		streams_on_event(router->streams, event);
}

void router_on_heard(void *self, const struct ledger_event *event)
{
	mark(self, event);
}

void router_on_restart(void *self, const char *history, struct event_id head)
{
	struct router *router = self;
	(void)history;
	decision_restart(router->table, follower_history_number(router->process->follower), head);
	if (router->reaches)
		reaches_mark(router->reaches, NULL);
	if (router->sandboxes)
		sandboxes_mark(router->sandboxes, NULL);
	if (router->streams)
		streams_on_restart(router->streams);
}

static bool reaches(const struct bus_client *client, char *why, size_t size)
{
	size_t ready = client ? bus_client_ready(client) : 0;
	snprintf(why, size, "%zu ready", ready);
	return ready > 0;
}

bool router_reaches_auth(void *self, char *why, size_t size)
{
	return reaches(((struct router *)self)->auths, why, size);
}

bool router_reaches_session(void *self, char *why, size_t size)
{
	return reaches(((struct router *)self)->sessions, why, size);
}

static bool reaches_any(const struct bus_client *client, char *why, size_t size)
{
	if (client)
		return reaches(client, why, size);
	snprintf(why, size, "none is configured");
	return false;
}

/* A vault that is sealed answers, and says so to whoever asks for secrets. */
bool router_reaches_vault(void *self, char *why, size_t size)
{
	return reaches_any(((struct router *)self)->vaults, why, size);
}

bool router_reaches_wallet(void *self, char *why, size_t size)
{
	return reaches_any(((struct router *)self)->wallets, why, size);
}

bool router_reaches_sandbox(void *self, char *why, size_t size)
{
	const struct router *router = self;
	size_t all = 0, ready = router->sandboxes ? sandboxes_ready(router->sandboxes, &all) : 0;
	if (router->sandboxes)
		snprintf(why, size, "%zu of %zu ready", ready, all);
	else
		snprintf(why, size, "none is configured");
	return ready > 0;
}

bool router_knows_chain(void *self, char *why, size_t size)
{
	const struct process *process = ((struct router *)self)->process;
	uint64_t age_ms = follower_chain_age_ms(process->follower);
	if (age_ms == UINT64_MAX)
		snprintf(why, size, "no sweep has counted yet");
	else
		snprintf(why, size, "swept %llu s ago", (unsigned long long)(age_ms / 1000));
	return age_ms <= process->settings.chain_grace_s * 1000;
}
