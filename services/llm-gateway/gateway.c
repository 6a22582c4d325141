#include "services/llm-gateway/gateway.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/http_listen.h"
#include "common/log.h"
#include "common/loop_priority.h"
#include "services/llm-gateway/exchange.h"
#include "services/llm-gateway/front.h"

#define WATCH_MS 20      /* of a lease that is gone */
#define ACCOUNTS_MS 2000 /* longest wait for the last accounts at a stop */
#define LIMIT_MAX 1000000000000
#define MICRO 1000000

/* clang-format off */
#define ROW(name, type, member, least, most, value, doc) \
	{"MULTICLAW_GATEWAY_" name, SETTING_##type, offsetof(struct gateway, member), least, most, value, doc}
/* clang-format on */
const struct setting gateway_settings[] = {
    ROW("LISTEN", STR, listen, 9, 21, NULL,
	"Where containers reach it, IPv4, with MULTICLAW_LLM_PORT: the address of their resolver, "
	"the last but one of MULTICLAW_WARDEN_NETWORK, which need not be there yet."),
    ROW("SANDBOX", STR, sandbox, 7, 40, "sandbox",
	"Public key (Z85) of this host's sandbox, who alone says which agents are here; sandbox: "
	"the "
	"one that the list of peers has, if it has one only."),
    ROW("PROVIDERS", PATH, providers_path, 1, 256, "providers.json",
	"The LLM providers that are known, and where they are; the same file as secret-vault's."),
    ROW("CA_FILE", PATH, ca_file, 0, 256, "",
	"Certificates (PEM) that alone are trusted to vouch for providers; empty: the system's."),
    ROW("KEY_S", UINT, key_s, 1, 60, "10",
	"How long a key is kept that the vault gave. What happens to the asset or to the key ends "
	"it "
	"at once; this is how old one gets if the vault could not say so."),
    ROW("BODY_MAX_MIB", UINT, body_max_mib, 1, 4096, "64", "Larger requests are refused."),
    ROW("ANSWER_MAX_MIB", UINT, answer_max_mib, 1, 65536, "1024", "Larger answers are cut."),
    ROW("AGENTS_MAX", UINT, agents_max, 1, 65536, "4096", "Agents that may be here at one time."),
    ROW("CONNECTIONS", UINT, connections, 8, 65536, "4096",
	"Connections at one time, of all agents."),
    ROW("CONNECTIONS_PER_AGENT", UINT, connections_per_agent, 1, 4096, "64",
	"Connections at one time, of each agent."),
    ROW("CLIENT_IDLE_S", UINT, client_idle_s, 1, 3600, "60",
	"After so many seconds in which an agent neither sends nor takes what it waits for, its "
	"connection is closed."),
    ROW("CONNECT_S", UINT, connect_s, 1, 120, "10", "Longest wait for a connection to a provider."),
    ROW("FIRST_BYTE_S", UINT, first_byte_s, 1, 3600, "600",
	"Longest wait for an answer's beginning, from the last byte that was sent."),
    ROW("IDLE_S", UINT, idle_s, 1, 3600, "300",
	"Longest silence within an answer that the agent waits for."),
    ROW("AGENT_REQUESTS_MINUTE", UINT, limits.agent.requests_minute, 0, LIMIT_MAX, "600",
	"Requests of each agent in a minute, over all hosts; 0: no limit."),
    ROW("AGENT_REQUESTS_DAY", UINT, limits.agent.requests_day, 0, LIMIT_MAX, "0",
	"Requests of each agent in a day (UTC); 0: no limit."),
    ROW("AGENT_TOKENS_MINUTE", UINT, limits.agent.tokens_minute, 0, LIMIT_MAX, "0",
	"Tokens, in and out, of each agent in a minute: once there were so many, the next request "
	"is refused; 0: no limit."),
    ROW("AGENT_TOKENS_DAY", UINT, limits.agent.tokens_day, 0, LIMIT_MAX, "0",
	"The same of a day (UTC); 0: no limit."),
    ROW("GLOBAL_REQUESTS_MINUTE", UINT, limits.key.requests_minute, 0, LIMIT_MAX, "0",
	"Requests with each provider's global key in a minute, of all agents; 0: no limit."),
    ROW("GLOBAL_REQUESTS_DAY", UINT, limits.key.requests_day, 0, LIMIT_MAX, "0",
	"The same of a day (UTC); 0: no limit."),
    ROW("GLOBAL_TOKENS_MINUTE", UINT, limits.key.tokens_minute, 0, LIMIT_MAX, "0",
	"Tokens of each provider's global key in a minute, of all agents; 0: no limit."),
    ROW("GLOBAL_TOKENS_DAY", UINT, limits.key.tokens_day, 0, LIMIT_MAX, "0",
	"The same of a day (UTC); 0: no limit."),
    ROW("GLOBAL_AGENT_USD", UINT, agent_usd, 0, 1000000, "0",
	"What each agent may spend on global keys in a day (UTC), in USD by the prices of the data "
	"file; providers without prices are refused then. 0: no cap, so set one before you store a "
	"global key."),
    ROW("GLOBAL_ALL_USD", UINT, all_usd, 0, 1000000, "0",
	"What all agents together may; 0: no cap."),
    ROW("GLOBAL_UNKNOWN_TOKENS", UINT, unknown_tokens, 0, 1000000, "4096",
	"With a global key, a request whose tokens the provider does not say, or not all, counts "
	"as so many of output at least: what a model thinks is in no answer, and what was cut had "
	"been paid for."),
    ROW("USAGE_DAYS", UINT, usage_days, 1, 400, "35",
	"How many days the counts of what was used are kept."),
};
const size_t gateway_nsettings = ARRAY_LEN(gateway_settings);

/* ---- may it serve? */

int gateway_serves(const struct gateway *gateway, struct error *err)
{
	const struct follower *follower = gateway->process->follower;

	if (gateway->is_stopping)
		return error_refuse(err, ERR_UNAVAILABLE, "service_unavailable", "stopping");
	if (!follower_has_lease(follower))
		return error_refuse(err, ERR_UNAVAILABLE, "service_unavailable", "no lease");
	if (follower_chain_age_ms(follower) > gateway->process->settings.chain_grace_s * 1000)
		return error_refuse(err, ERR_UNAVAILABLE, "chain_unavailable",
		    "the chain was not read for too long");
	return 0;
}

static void end_all(struct gateway *gateway)
{
	agents_doubt(gateway->agents, "*", true);
}

/* I2: what may have ended unseen is ended when the lease does. */
static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct gateway *gateway = arg;
	uint64_t left_ms = follower_lease_ms(gateway->process->follower);
	bool serves = gateway_serves(gateway, NULL) == 0;

	(void)fd, (void)what;
	if (gateway->was_serving && !serves) {
		log_warn("no lease, or no chain: what is under way is cut");
		end_all(gateway);
	}
	gateway->was_serving = serves;
	uint64_t next_ms = serves && left_ms > WATCH_MS ? left_ms : WATCH_MS;
	struct timeval tv = {
	    .tv_sec = (time_t)(next_ms / 1000), .tv_usec = (suseconds_t)(next_ms % 1000) * 1000};
	evtimer_add(gateway->watch, &tv);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct gateway *gateway = arg;

	(void)fd, (void)what;
	agents_sweep(gateway->agents);
}

/* ---- events */

/* A logout ends the owner's own streams, not what the agent is doing; what happens to operators' keys ends nobody's ownership. */
static bool ends_ownership(const struct ledger_event *event)
{
	return ledger_event_ends(event) && strcmp(event->kind, "logout") != 0 &&
	       strcmp(event->asset, LEDGER_OPERATORS) != 0;
}

/* Who may go on is the vault's to say, when a key is wanted next. The agent itself stays known: sandbox may have told of it anew before this was read. */
void gateway_on_event(void *self, const struct ledger_event *event)
{
	struct gateway *gateway = self;

	if (gateway->is_stopping || !gateway->agents)
		return;
	agents_doubt(gateway->agents, event->asset, ends_ownership(event));
	exchanges_have_read(gateway, event);
}

void gateway_on_heard(void *self, const struct ledger_event *event)
{
	struct gateway *gateway = self;

	if (!gateway->is_stopping && gateway->agents)
		agents_doubt(gateway->agents, event->asset, false);
}

static void on_told(void *arg, const struct error *err)
{
	(void)arg;
	if (err)
		log_warn("the limits are told to nobody", "why", err->text);
}

void gateway_on_restart(void *self, const char *history, struct event_id head)
{
	struct gateway *gateway = self;

	(void)history, (void)head;
	if (gateway->is_stopping || !gateway->agents)
		return;
	end_all(gateway);
	llm_usage_tell(gateway->process->redis, &gateway->limits, on_told, NULL);
}

/* ---- readiness, counts */

bool gateway_reaches_vault(void *self, char *why, size_t size)
{
	const struct gateway *gateway = self;
	size_t vaults = gateway->vaults ? bus_client_ready(gateway->vaults) : 0;

	snprintf(why, size, "%zu secret-vault replicas answer", vaults);
	return vaults > 0;
}

bool gateway_listens(void *self, char *why, size_t size)
{
	const struct gateway *gateway = self;

	snprintf(why, size, "%zu agents", gateway->agents ? agents_count(gateway->agents) : 0);
	return gateway->front;
}

void gateway_count_refusal(struct gateway *gateway, const char *code)
{
	char labels[80];

	snprintf(labels, sizeof(labels), "code=\"%s\"", code);
	metric_add(metrics_counter(gateway->process->metrics, "multiclaw_gateway_refusals_total",
		       "What the gateway itself answered, by code.", labels),
	    1);
}

static double count_agents(void *arg)
{
	const struct gateway *gateway = arg;
	return gateway->agents ? (double)agents_count(gateway->agents) : 0;
}

static double count_streams(void *arg)
{
	const struct gateway *gateway = arg;
	return gateway->front ? (double)front_exchanges(gateway->front) : 0;
}

static void make_metrics(struct gateway *gateway)
{
	struct metrics *metrics = gateway->process->metrics;

	metrics_gauge_fn(metrics, "multiclaw_gateway_agents", "Agents that may use keys now.", NULL,
	    count_agents, gateway);
	metrics_gauge_fn(metrics, "multiclaw_gateway_streams", "Requests under way.", NULL,
	    count_streams, gateway);
	gateway->metrics = (struct gateway_metrics){
	    .up_bytes = metrics_counter(metrics, "multiclaw_gateway_bytes_total",
		"Of bodies, without their heads.", "direction=\"up\""),
	    .down_bytes = metrics_counter(metrics, "multiclaw_gateway_bytes_total",
		"Of bodies, without their heads.", "direction=\"down\""),
	    .redactions = metrics_counter(metrics, "multiclaw_gateway_redactions_total",
		"Keys that a provider sent back, and that were overwritten.", NULL),
	    .cuts = metrics_counter(metrics, "multiclaw_gateway_cuts_total",
		"Requests under way that were ended: by an event, a leave, a lost lease, or a "
		"client "
		"that went.",
		NULL),
	    .unaccounted = metrics_counter(metrics, "multiclaw_gateway_unaccounted_total",
		"Requests whose end could not be noted in Redis: they stay counted, with unknown "
		"tokens.",
		NULL),
	};
}

/* ---- start and stop */

int gateway_open(void *self, struct error *err)
{
	struct gateway *gateway = self;
	struct sockaddr_in at = {0};
	socklen_t len = sizeof(at);

	if (strcmp(gateway->sandbox, "sandbox") != 0 && strlen(gateway->sandbox) != Z85_KEY_LEN)
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_GATEWAY_SANDBOX must be sandbox, or a public key of %d characters: "
		    "%s",
		    Z85_KEY_LEN, gateway->sandbox);
	gateway->limits.agent_micro = gateway->agent_usd * MICRO;
	gateway->limits.all_micro = gateway->all_usd * MICRO;
	gateway->providers = providers_read(gateway->providers_path, err);
	if (!gateway->providers)
		return -1;
	gateway->listener = http_listen_early(gateway->listen, err);
	if (gateway->listener < 0)
		return -1;
	if (getsockname(gateway->listener, (struct sockaddr *)&at, &len) != 0 ||
	    at.sin_family != AF_INET)
		return error_set(
		    err, ERR_INVALID, "MULTICLAW_GATEWAY_LISTEN is not IPv4: %s", gateway->listen);
	gateway->port = ntohs(at.sin_port);
	return 0;
}

static void on_over(void *arg, CURL *easy, CURLcode code)
{
	(void)arg;
	exchange_over(easy, code);
}

int gateway_service_start(void *self, struct error *err)
{
	struct gateway *gateway = self;
	struct event_base *base = gateway->process->base;
	static const struct timeval second = {.tv_sec = 1};

	make_metrics(gateway);
	gateway->agents = agents_new(gateway);
	TAILQ_INIT(&gateway->unread);
	gateway->vaults = process_client(gateway->process, ROLE_VAULT);
	gateway->curl = curl_loop_new(base, LOOP_BULK, on_over, gateway, err);
	gateway->sessions = curl_share_init();
	if (!gateway->curl || !gateway->sessions ||
	    curl_share_setopt(gateway->sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) !=
		CURLSHE_OK)
		return -1;
	gateway->front = front_new(gateway, gateway->listener, err);
	if (!gateway->front)
		return -1;
	gateway->watch = evtimer_new(base, on_watch, gateway);
	gateway->sweep = event_new(base, -1, EV_PERSIST, on_sweep, gateway);
	bug_if(!gateway->watch || !gateway->sweep || event_add(gateway->sweep, &second) != 0);
	on_watch(-1, 0, gateway);
	return 0;
}

/* What is under way is cut, and its account, as far as it was seen, is in Redis before the process ends. */
void gateway_service_stop(void *self)
{
	struct gateway *gateway = self;

	gateway->is_stopping = true;
	bus_client_destroy(&gateway->vaults);
	agents_destroy(&gateway->agents);
	front_destroy(&gateway->front);
	curl_loop_destroy(&gateway->curl);
	curl_share_cleanup(gateway->sessions);
	event_free(gateway->watch);
	event_free(gateway->sweep);
	providers_destroy(&gateway->providers);
	redis_drain(gateway->process->redis, ACCOUNTS_MS);
}
