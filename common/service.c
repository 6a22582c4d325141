#include "common/service.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/confine.h"
#include "common/heap.h"
#include "common/log.h"
#include "common/loop_priority.h"
#include "common/scoped.h"
#include "common/service_internal.h"
#include "common/suite_settings.h"

#define PASSWORD_MAX 256
#define REQUESTS_PARKED_MAX 4096

/* ---- the order of starting. Each step returns -1 with err set. ---- */

static int load_settings(
    struct daemon *daemon, const struct service_options *options, struct error *err)
{
	struct process *process = &daemon->process;
	const struct service *service = process->service;

	daemon->tables[0] =
	    (struct settings_table){&process->settings, suite_settings_rows, suite_settings_nrows};
	daemon->tables[1] =
	    (struct settings_table){daemon->self, service->settings, service->nsettings};
	if (settings_load(daemon->tables, 2, options->files, options->nfiles, err) != 0)
		return -1;
	return suite_settings_finish(&process->settings, service->name, err);
}

/* Sockets are made for the suite's own group, everything else names its mode. */
static int enter_state_dir(const struct suite_settings *settings, struct error *err)
{
	umask(0007);
	if (chdir(settings->state_dir) != 0)
		return error_set(err, ERR_INVALID, "MULTICLAW_STATE_DIR %s: %s",
		    settings->state_dir, strerror(errno));
	return 0;
}

/* What becomes another user keeps its capabilities until then; who stays gives them up before there are threads. */
static int limit_self(const struct suite_settings *settings, struct error *err)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &files) != 0)
			log_warn("cannot raise the limit of open files", "why", strerror(errno));
	}
	if (confine_early(err) != 0)
		return -1;
	return settings->user[0] ? confine_group(settings->user, err) : confine_capabilities(err);
}

static void on_libevent_log(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_warn("libevent", "what", text);
}

static struct event_base *new_base(void)
{
	static const struct timeval bulk = {.tv_usec = 1000 * LOOP_BULK_MAX_MS};
	struct event_config *config = event_config_new();

	bug_if(!config);
	event_set_log_callback(on_libevent_log);
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	event_config_set_max_dispatch_interval(config, &bulk, -1, LOOP_BULK);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	bug_if(!base || event_base_priority_init(base, LOOP_PRIORITIES) != 0);
	return base;
}

static const char *role_name(const struct daemon *daemon, char buf[32])
{
	return role_text(daemon->process.service->role, buf, 32);
}

static struct secret *read_password(const struct daemon *daemon, struct error *err)
{
	char path[512], role[32];

	snprintf(path, sizeof(path), "%s/redis/%s.password", daemon->process.settings.keys,
	    role_name(daemon, role));
	return secret_read_file(path, PASSWORD_MAX, err);
}

/* Still with all the privileges of who started us. */
static int open_all(struct daemon *daemon, struct error *err)
{
	struct process *process = &daemon->process;
	const struct service *service = process->service;
	char role[32];

	process->base = new_base();
	process->metrics = metrics_new();
	process->keyring = keyring_open(process->settings.keys, role_name(daemon, role), err);
	if (!process->keyring)
		return -1;
	daemon->redis_password = read_password(daemon, err);
	if (!daemon->redis_password)
		return -1;
	return service->open ? service->open(daemon->self, err) : 0;
}

static void on_heard(void *arg, const char *history, const char *event_id, const char *asset)
{
	struct daemon *daemon = arg;

	if (daemon->process.follower)
		follower_heard(daemon->process.follower, history, event_id, asset);
}

static void make_routes(struct daemon *daemon)
{
	const struct service *service = daemon->process.service;

	daemon->routes = calloc(service->nroutes + 1, sizeof(daemon->routes[0]));
	bug_if(!daemon->routes);
	if (service->nroutes)
		memcpy(
		    daemon->routes, service->routes, service->nroutes * sizeof(daemon->routes[0]));
	daemon->routes[service->nroutes] = service_ops_route;
}

static int bind_all(struct daemon *daemon, struct error *err)
{
	struct process *process = &daemon->process;
	const struct suite_settings *settings = &process->settings;
	const struct service *service = process->service;

	process->bus = bus_new(process->base, process->keyring, process->metrics, err);
	if (!process->bus)
		return -1;
	make_routes(daemon);
	daemon->server = bus_server_new(process->bus, settings->bus_listen, daemon->routes,
	    service->nroutes + 1, daemon->self, REQUESTS_PARKED_MAX, err);
	if (!daemon->server)
		return -1;
	daemon->bell = bell_new(process->bus, service->adds_events ? settings->bell_listen : NULL,
	    (const char *const *)settings->bells.item, settings->bells.len, on_heard, daemon, err);
	if (!daemon->bell)
		return -1;
	process->bell = service->adds_events ? daemon->bell : NULL;
	daemon->ops = service_ops_new(daemon, err);
	return daemon->ops ? 0 : -1;
}

/* ---- what the service sees of events ---- */

static void on_event(void *arg, const struct ledger_event *event)
{
	const struct daemon *daemon = arg;

	if (daemon->process.service->follow.on_event)
		daemon->process.service->follow.on_event(daemon->self, event);
}

static void on_restart(void *arg, const char *history, struct event_id head)
{
	const struct daemon *daemon = arg;

	if (daemon->process.service->follow.on_restart)
		daemon->process.service->follow.on_restart(daemon->self, history, head);
}

static void on_heard_event(void *arg, const struct ledger_event *event)
{
	const struct daemon *daemon = arg;

	if (daemon->process.service->follow.on_heard)
		daemon->process.service->follow.on_heard(daemon->self, event);
}

static struct redis *new_redis(const struct daemon *daemon, const char *user, struct error *err)
{
	const struct process *process = &daemon->process;
	const struct suite_settings *settings = &process->settings;
	const struct redis_sentinel_list sentinels = {
	    (const char *const *)settings->sentinels.item,
	    settings->sentinels.len,
	    settings->sentinel_primary,
	};
	const struct redis_login login = {user, daemon->redis_password, settings->redis_timeout_ms};

	if (sentinels.len > 0)
		return redis_new_watched(process->base, &sentinels, &login, process->metrics, err);
	return redis_new(
	    process->base, settings->redis, user, login.password, login.timeout_ms, err);
}

/* Confined. Nothing here waits for Redis or for another process. */
static int start_all(struct daemon *daemon, struct error *err)
{
	struct process *process = &daemon->process;
	const struct suite_settings *settings = &process->settings;
	char role[32];

	role_name(daemon, role);
	process->redis = new_redis(daemon, role, err);
	secret_destroy(&daemon->redis_password);
	if (!process->redis)
		return -1;
	daemon->hooks = (struct follower_hooks){on_event, on_restart,
	    process->service->follow.on_heard ? on_heard_event : NULL, daemon};
	process->follower = follower_new(process->base, process->redis, settings->replica, role,
	    &daemon->hooks, process->metrics);
	return process->service->start ? process->service->start(daemon->self, err) : 0;
}

/* ---- the loop ---- */

static void on_stop_signal(evutil_socket_t signo, short what, void *arg)
{
	struct daemon *daemon = arg;

	(void)what;
	log_info("stopping", "signal", signo == SIGTERM ? "TERM" : "INT");
	event_base_loopbreak(daemon->process.base);
}

static void on_reload_signal(evutil_socket_t signo, short what, void *arg)
{
	struct daemon *daemon = arg;

	(void)signo, (void)what;
	log_info("reloading");
	if (daemon->process.service->reload)
		daemon->process.service->reload(daemon->self);
}

static void catch_signals(struct daemon *daemon)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		daemon->signals[i] = evsignal_new(daemon->process.base, numbers[i],
		    numbers[i] == SIGHUP ? on_reload_signal : on_stop_signal, daemon);
		bug_if(!daemon->signals[i] || event_add(daemon->signals[i], NULL) != 0);
	}
}

static void run(struct daemon *daemon)
{
	const struct suite_settings *settings = &daemon->process.settings;

	log_info("started", "version", MULTICLAW_VERSION, "pid", log_u64((uint64_t)getpid()), "bus",
	    settings->bus_listen, "ops", settings->ops_listen);
	service_ops_begin(daemon->ops);
	/* alive; what it depends on shows in /readyz and must not make systemd wait */
	service_notify("READY=1");
	event_base_dispatch(daemon->process.base);
	service_notify("STOPPING=1");
}

/* In this order: the service first, while all it uses exists; what can still call back into it before what that needs; its memory last. */
static void stop_all(struct daemon *daemon)
{
	struct process *process = &daemon->process;
	struct redis *redis = process->redis;

	service_ops_destroy(&daemon->ops);
	if (process->service->stop)
		process->service->stop(daemon->self);
	follower_destroy(&process->follower);
	/* a callback that asks again finds it in its place, and is refused */
	redis_destroy(&redis);
	bell_destroy(&daemon->bell);
	bus_server_destroy(&daemon->server);
	bus_destroy(&process->bus);
	keyring_destroy(&process->keyring);
	for (size_t i = 0; i < ARRAY_LEN(daemon->signals); i++)
		event_free(daemon->signals[i]);
	event_base_free(process->base);
	metrics_destroy(&process->metrics);
}

static void wipe(struct daemon *daemon)
{
	settings_free(daemon->tables, ARRAY_LEN(daemon->tables));
	sodium_memzero(daemon->self, daemon->process.service->self_size);
	free(daemon->self);
	free(daemon->routes);
	sodium_memzero(daemon, sizeof(*daemon));
	free(daemon);
	libevent_global_shutdown();
}

static struct daemon *daemon_new(const struct service *service)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));

	bug_if(!daemon || service->self_size < sizeof(struct process *));
	daemon->began_us = clock_boot_us();
	daemon->started_at_ms = clock_unix_ms();
	daemon->process.service = service;
	daemon->process.sanitized = confine_is_sanitized();
	daemon->self = calloc(1, service->self_size);
	bug_if(!daemon->self);
	*(struct process **)daemon->self = &daemon->process;
	return daemon;
}

static int start(struct daemon *daemon, struct error *err)
{
	const struct suite_settings *settings = &daemon->process.settings;
	const struct service *service = daemon->process.service;

	if (enter_state_dir(settings, err) != 0 || limit_self(settings, err) != 0)
		return -1;
	if (open_all(daemon, err) != 0 || bind_all(daemon, err) != 0)
		return -1;
	if (confine(settings->user, service->may_exec, err) != 0 || start_all(daemon, err) != 0)
		return -1;
	catch_signals(daemon);
	return 0;
}

int service_main(int argc, char **argv, const struct service *service)
{
	heap_wipe_freed(); /* tokens and secrets pass through every one of them */

	struct daemon *daemon = daemon_new(service);
	struct service_options options = {0};
	struct error err = {0};

	log_open(service->name, NULL, LOG_INFO);
	if (sodium_init() < 0)
		fatal("cannot initialise the cryptographic library");
	int status = service_options_read(service, argc, argv, &options);
	if (status >= 0) {
		wipe(daemon);
		return status;
	}
	if (load_settings(daemon, &options, &err) != 0)
		fatal("%s", err.text);
	log_open(service->name, daemon->process.settings.replica,
	    suite_settings_log_level(&daemon->process.settings));
	signal(SIGPIPE, SIG_IGN);
	if (!options.check_only) {
		if (start(daemon, &err) != 0)
			fatal("%s", err.text);
		run(daemon);
		stop_all(daemon);
		log_info("stopped");
	}
	wipe(daemon);
	return 0;
}

void process_announce(
    struct process *process, const char *history, struct event_id id, const char *asset)
{
	char text[EVENT_ID_MAX + 1];

	follower_wrote(process->follower, history, id);
	if (process->bell)
		bell_ring(process->bell, history, event_id_text(id, text), asset);
}

struct addition {
	struct process *process;
	const char *kind; /* borrowed: a word of the program's */
	process_added done;
	void *arg;
	char asset[PUBKEY_TEXT_MAX + 1];
};

static void on_added(void *arg, const struct ledger_ended *out, const struct error *err)
{
	struct addition *addition = arg;

	if (err)
		log_warn("an event is told to nobody", "kind", addition->kind, "asset",
		    addition->asset, "why", err->text);
	else
		process_announce(addition->process, out->history, out->event, addition->asset);
	if (addition->done)
		addition->done(addition->arg, err);
	free(addition);
}

void process_add_event(
    struct process *process, const char *asset, const char *kind, process_added done, void *arg)
{
	struct addition *addition = calloc(1, sizeof(*addition));

	bug_if(!addition);
	*addition = (struct addition){process, kind, done, arg, ""};
	snprintf(addition->asset, sizeof(addition->asset), "%s", asset);
	ledger_announce_asset(process->redis, asset, kind, on_added, addition);
}

static const struct setting_list *addresses_of(
    const struct suite_settings *settings, enum role role)
{
	switch (role) {
	case ROLE_ROUTER:
		return &settings->routers;
	case ROLE_AUTH:
		return &settings->auths;
	case ROLE_SESSION:
		return &settings->sessions;
	case ROLE_ORACLE:
		return &settings->oracles;
	case ROLE_VAULT:
		return &settings->vaults;
	case ROLE_WALLET:
		return &settings->wallets;
	default:
		return NULL;
	}
}

static struct bus_client *new_client(struct process *process, enum role role, const char *name,
    const char *const *addresses, size_t naddresses)
{
	struct daemon *daemon = daemon_of(process);
	struct error err = {0};

	bug_if(daemon->nclients == CLIENTS_MAX);
	struct bus_client *client =
	    bus_client_new(process->bus, name, role, addresses, naddresses, &err);
	if (!client)
		fatal("%s", err.text);
	daemon->clients[daemon->nclients++] = client;
	return client;
}

struct bus_client *process_client(struct process *process, enum role role)
{
	const struct setting_list *addresses = addresses_of(&process->settings, role);
	char name[32];

	role_text(role, name, sizeof(name));
	bug_if(!addresses);
	if (addresses->len == 0)
		fatal("no address of any %s replica is set", name);
	return new_client(
	    process, role, name, (const char *const *)addresses->item, addresses->len);
}

struct bus_client *process_client_at(
    struct process *process, enum role role, const char *name, const char *address)
{
	return new_client(process, role, name, &address, 1);
}
