/* service - the skeleton of every daemon. Each main.c is a literal and a call.
 *
 * service_main's order, always: options, settings, log, no core dumps, keys, open (privileged), bind, confine, start, ready, loop, stop, wipe.
 * Options: -c FILE (repeatable), -n (check the settings and exit), -S (print a sample settings file), -V, -h.
 * Signals: SIGTERM and SIGINT stop; SIGHUP calls reload. SIGPIPE is ignored.
 */
#ifndef COMMON_SERVICE_H
#define COMMON_SERVICE_H

#include "common/bus.h"
#include "common/follower.h"
#include "common/http_server.h"
#include "common/settings.h"

#define MULTICLAW_VERSION "0.1.0"

/* Settings every program of the suite reads; the table is suite_settings_rows. Relative paths are relative to MULTICLAW_STATE_DIR, which the
 * process makes its working directory. Lists of addresses name every replica. */
struct suite_settings {
	char *state_dir; /* MULTICLAW_STATE_DIR */
	/* MULTICLAW_PUBLIC_URL, default http://localhost:8080; plain http only for loopback names */
	char *public_url;
	char *agents_domain; /* MULTICLAW_AGENTS_DOMAIN, default localhost:8080 */
	char *collection;    /* MULTICLAW_COLLECTION, base58 */
	char *replica;       /* MULTICLAW_REPLICA, unique name; default <service>-1 */
	char *log_level;     /* MULTICLAW_LOG_LEVEL debug|info|warn|error */
	char *keys;          /* MULTICLAW_KEYS folder, default keys */
	char *redis;         /* MULTICLAW_REDIS, default unix:run/redis.sock */
	/* MULTICLAW_SENTINELS: if there are any, Redis is where they say */
	struct setting_list sentinels;
	char *sentinel_primary;       /* MULTICLAW_SENTINEL_PRIMARY, default multiclaw */
	uint64_t redis_timeout_ms;    /* MULTICLAW_REDIS_TIMEOUT_MS, default 1000 */
	char *bus_listen;             /* MULTICLAW_BUS_LISTEN, default ipc://run/<replica>.bus */
	char *bell_listen;            /* MULTICLAW_BELL_LISTEN, default ipc://run/<replica>.bell */
	char *ops_listen;             /* MULTICLAW_OPS_LISTEN, default unix:run/<replica>.ops */
	struct setting_list bells;    /* MULTICLAW_BELLS, of every replica that adds events */
	struct setting_list auths;    /* MULTICLAW_AUTHS, bus addresses */
	struct setting_list sessions; /* MULTICLAW_SESSIONS */
	struct setting_list oracles;  /* MULTICLAW_ORACLES */
	struct setting_list routers;  /* MULTICLAW_ROUTERS: for `multiclaw status` */
	struct setting_list vaults;   /* MULTICLAW_VAULTS */
	struct setting_list wallets;  /* MULTICLAW_WALLETS */
	struct setting_list
	    sandboxes; /* MULTICLAW_SANDBOXES, "<replica>=<bus address>" each: which one an agent is on matters */
	char *user; /* MULTICLAW_USER: change to it after binding, if started as root; default "" */
	uint64_t chain_grace_s; /* MULTICLAW_CHAIN_GRACE_S, default 120 */
};
extern const struct setting suite_settings_rows[];
extern const size_t suite_settings_nrows;

/* What a running daemon has. Members are borrowed by the service. */
struct process {
	const struct service *service;
	struct suite_settings settings;
	struct event_base *base;
	struct metrics *metrics;
	struct keyring *keyring;
	struct bus *bus;
	struct bell *bell; /* NULL if the service adds no events: it listens through the follower */
	struct redis *redis;
	struct follower *follower;
	bool sanitized;
};

/* An answer for /readyz and `multiclaw status`: is this dependency all right, and a few words why (or why not). */
typedef bool (*ready_check)(void *self, char *why, size_t size);

struct service {
	const char *name; /* "auth" */
	enum role role;
	const char *about; /* one sentence, for -h */
	size_t self_size;
	const struct setting *settings; /* rows with offsets into the service's own struct */
	size_t nsettings;
	const struct bus_route *routes; /* beside the generic service.status */
	size_t nroutes;
	bool adds_events; /* binds a bell */
	bool may_exec;    /* confine: leave execve allowed (no daemon of this suite so far) */
	/* self points to self_size zeroed bytes whose first member is  struct process *process; settings are loaded. */
	int (*open)(void *self, struct error *err);  /* may be NULL; privileged: read keys */
	int (*start)(void *self, struct error *err); /* confined; bus, redis and follower exist */
	/* The loop is over; everything of process still exists. Destroys what the service made. Requests to Redis that are still pending end
	 * after it with err set, before self is freed: their callbacks may use self, process and bus_fail, not what stop has destroyed. */
	void (*stop)(void *self);
	void (*reload)(void *self); /* SIGHUP; may be NULL */
	struct {
		void (*on_event)(void *self, const struct ledger_event *event);
		void (*on_restart)(void *self, const char *history, struct event_id head);
		void (*on_heard)(void *self, const struct ledger_event *event);
	} follow; /* each may be NULL */
	struct {
		const char *name;
		ready_check check;
		bool is_optional; /* shown; without it the rest is still ready */
	} ready[6]; /* of the service's own; lease, redis and skew are checked for everyone */
};

int service_main(int argc, char **argv, const struct service *service);

/* The event this process has just written (the reply of a ledger call): rings the bell and tells the follower. */
void process_announce(
    struct process *process, const char *history, struct event_id id, const char *asset);
/* Adds an event of the asset to the ledger, and tells of it in the same way. done (NULL: nobody waits) is called once, never from inside the call; err: it is
 * not there (which is logged). */
typedef void (*process_added)(void *arg, const struct error *err);
void process_add_event(
    struct process *process, const char *asset, const char *kind, process_added done, void *arg);
/* A bus client for every replica of a service; fatal if the addresses are wrong. Caller owns. */
struct bus_client *process_client(struct process *process, enum role role);
/* The same for one replica alone, by name: where it matters which one answers. */
struct bus_client *process_client_at(
    struct process *process, enum role role, const char *name, const char *address);

#endif
