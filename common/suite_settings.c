#include "common/suite_settings.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base58.h"
#include "common/origin.h"

#define REPLICA_MAX SUITE_REPLICA_MAX
#define REPLICAS_MAX 64
#define ADDRESS_MAX 200

#define ROW(name, type, member, min, max, value, doc) \
	{ \
		"MULTICLAW_" name, SETTING_##type, offsetof(struct suite_settings, member), min, \
		    max, value, doc \
	}
const struct setting suite_settings_rows[] = {
    ROW("STATE_DIR", PATH, state_dir, 1, 90, ".",
	"Folder of keys, sockets and files; relative paths begin here."),
    ROW("PUBLIC_URL", STR, public_url, 8, 256, "http://localhost:8080",
	"Where browsers reach the suite; plain http only for names of this machine."),
    ROW("AGENTS_DOMAIN", STR, agents_domain, 1, 240, "localhost:8080",
	"Agents live at <agent id>.<this>."),
    ROW("COLLECTION", STR, collection, 32, PUBKEY_TEXT_MAX, NULL,
	"Address (base58) of the Metaplex Core collection whose assets have agents."),
    ROW("REPLICA", STR, replica, 0, REPLICA_MAX, "",
	"Unique name of this process; empty: <service>-1."),
    ROW("LOG_LEVEL", STR, log_level, 1, 8, "info", "Lowest level: debug, info, warn or error."),
    ROW("KEYS", PATH, keys, 1, 256, "keys", "Folder made by `multiclaw keys init`."),
    ROW("REDIS", STR, redis, 1, ADDRESS_MAX, "unix:run/redis.sock",
	"unix:path or numeric address:port of Redis; not used with Sentinels."),
    ROW("SENTINELS", LIST, sentinels, 0, REDIS_SENTINELS_MAX, "",
	"Numeric address:port of every Sentinel, of which a majority says where Redis is; empty: "
	"MULTICLAW_REDIS."),
    ROW("SENTINEL_PRIMARY", STR, sentinel_primary, 1, 64, "multiclaw",
	"Name of the primary in the Sentinels' configuration."),
    ROW("REDIS_TIMEOUT_MS", UINT, redis_timeout_ms, 50, 60000, "1000",
	"Longest wait for an answer of Redis."),
    ROW("BUS_LISTEN", STR, bus_listen, 0, ADDRESS_MAX, "",
	"Where this process answers calls; empty: ipc://run/<replica>.bus."),
    ROW("BELL_LISTEN", STR, bell_listen, 0, ADDRESS_MAX, "",
	"Where this process rings, if it adds events; empty: ipc://run/<replica>.bell."),
    ROW("OPS_LISTEN", STR, ops_listen, 0, ADDRESS_MAX, "",
	"Where it serves /healthz, /readyz, /metrics; empty: unix:run/<replica>.ops."),
    ROW("BELLS", LIST, bells, 0, 4 * REPLICAS_MAX, "",
	"Bells of every replica that adds events: chain-oracle, session, secret-vault, sandbox."),
    ROW("AUTHS", LIST, auths, 0, REPLICAS_MAX, "", "Bus addresses of every auth replica."),
    ROW("SESSIONS", LIST, sessions, 0, REPLICAS_MAX, "", "Bus addresses of every session replica."),
    ROW("ORACLES", LIST, oracles, 0, REPLICAS_MAX, "",
	"Bus addresses of every chain-oracle replica."),
    ROW("ROUTERS", LIST, routers, 0, REPLICAS_MAX, "",
	"Bus addresses of every router replica, for `multiclaw status`."),
    ROW("VAULTS", LIST, vaults, 0, REPLICAS_MAX, "",
	"Bus addresses of every secret-vault replica."),
    ROW("WALLETS", LIST, wallets, 0, REPLICAS_MAX, "",
	"Bus addresses of every agent-wallet replica."),
    ROW("SANDBOXES", LIST, sandboxes, 0, REPLICAS_MAX, "",
	"The sandbox of every host, each as <replica>=<bus address>; empty: no containers."),
    ROW("USER", STR, user, 0, 32, "",
	"User to become after binding, if started as root; empty: stay."),
    ROW("CHAIN_GRACE_S", UINT, chain_grace_s, 1, 86400, "120",
	"Age of what is known of the chain from which nothing is allowed any more."),
};
const size_t suite_settings_nrows = ARRAY_LEN(suite_settings_rows);

static const char *const log_levels[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

enum log_level suite_settings_log_level(const struct suite_settings *settings)
{
	for (size_t i = 0; i < ARRAY_LEN(log_levels); i++) {
		if (strcmp(log_levels[i], settings->log_level) == 0)
			return (enum log_level)i;
	}
	return LOG_INFO;
}

__attribute__((format(printf, 2, 3))) static void fill_in(char **value, const char *fmt, ...)
{
	va_list ap;

	if (**value)
		return;
	free(*value);
	va_start(ap, fmt);
	int len = vasprintf(value, fmt, ap);
	va_end(ap);
	bug_if(len < 0);
}

/* Part of file names and of a Redis key. */
bool suite_settings_is_replica(const char *name)
{
	return strlen(name) <= REPLICA_MAX && isalnum((unsigned char)name[0]) &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") == strlen(name);
}

static int check_replica(const char *name, struct error *err)
{
	if (suite_settings_is_replica(name))
		return 0;
	return error_set(err, ERR_INVALID,
	    "MULTICLAW_REPLICA must be 1 to %d of a-z 0-9 - . _, first a letter or digit: %s",
	    REPLICA_MAX, name);
}

int suite_settings_sandbox(
    const char *text, char name_r[SUITE_REPLICA_MAX + 1], const char **address_r, struct error *err)
{
	size_t len = strcspn(text, "=");

	snprintf(name_r, REPLICA_MAX + 1, "%.*s", (int)len, text);
	if (text[len] != '=' || text[len + 1] == '\0' || len > REPLICA_MAX ||
	    !suite_settings_is_replica(name_r))
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_SANDBOXES: '%s' is not <replica>=<bus address>", text);
	*address_r = text + len + 1;
	return 0;
}

/* Two of one name would make it a matter of luck which host is meant. */
static int check_sandboxes(const struct setting_list *list, struct error *err)
{
	char name[REPLICAS_MAX][REPLICA_MAX + 1];
	const char *address;

	for (size_t i = 0; i < list->len; i++) {
		if (suite_settings_sandbox(list->item[i], name[i], &address, err) != 0)
			return -1;
		for (size_t k = 0; k < i; k++)
			if (strcmp(name[i], name[k]) == 0)
				return error_set(err, ERR_INVALID,
				    "MULTICLAW_SANDBOXES names %s twice", name[i]);
	}
	return 0;
}

static bool is_this_machine(const struct origin *origin)
{
	const char *domain = origin_domain(origin);
	size_t len = domain[0] == '[' ? strcspn(domain, "]") + 1 : strcspn(domain, ":");
	char host[ORIGIN_HOST_MAX + 1];
	struct in_addr v4;

	snprintf(host, sizeof(host), "%.*s", (int)len, domain);
	static const char suffix[] = ".localhost";
	size_t suffix_len = sizeof(suffix) - 1;
	if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	if (len > suffix_len && strcmp(host + len - suffix_len, suffix) == 0)
		return true;
	return inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

/* Over plain http anybody on the way reads the session's cookie. */
static int check_public_url(const char *url, struct error *err)
{
	struct origin origin;
	struct error why;

	if (origin_parse(url, &origin, &why) != 0)
		return error_set(err, ERR_INVALID, "MULTICLAW_PUBLIC_URL: %s", why.text);
	if (origin.is_https || is_this_machine(&origin))
		return 0;
	return error_set(err, ERR_INVALID,
	    "MULTICLAW_PUBLIC_URL: plain http is for localhost only, use https: %s", url);
}

static int check_agents_domain(const char *domain, struct error *err)
{
	char url[ORIGIN_HOST_MAX + 16];
	struct origin origin;
	struct error why;

	snprintf(url, sizeof(url), "http://%s", domain);
	if (strchr(domain, '/') || origin_parse(url, &origin, &why) != 0)
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_AGENTS_DOMAIN must be host or host:port: %s", domain);
	return 0;
}

static int check_values(const struct suite_settings *settings, struct error *err)
{
	uint8_t key[PUBKEY_LEN];

	if (pubkey_parse(settings->collection, key) != 0)
		return error_set(err, ERR_INVALID, "MULTICLAW_COLLECTION is not an address: %s",
		    settings->collection);
	if (strcmp(log_levels[suite_settings_log_level(settings)], settings->log_level) != 0)
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_LOG_LEVEL must be debug, info, warn or error: %s",
		    settings->log_level);
	if (check_replica(settings->replica, err) != 0 ||
	    check_sandboxes(&settings->sandboxes, err) != 0 ||
	    check_public_url(settings->public_url, err) != 0)
		return -1;
	return check_agents_domain(settings->agents_domain, err);
}

int suite_settings_finish(struct suite_settings *settings, const char *service, struct error *err)
{
	fill_in(&settings->replica, "%s-1", service);
	fill_in(&settings->bus_listen, "ipc://run/%s.bus", settings->replica);
	fill_in(&settings->bell_listen, "ipc://run/%s.bell", settings->replica);
	fill_in(&settings->ops_listen, "unix:run/%s.ops", settings->replica);
	return check_values(settings, err);
}
