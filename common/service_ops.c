#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "common/service_internal.h"

#define SKEW_MAX_MS 500
/* how often readiness is looked at: often for the first seconds, so that the time to ready is told well */
#define LOOK_SOON_MS 25
#define LOOK_MS 250
#define SOON_MS 10000

struct service_ops {
	struct daemon *daemon;
	struct http_server *http;
	struct event *look;
	bool is_ready, was_ever_ready;
};

/* ---- the checks: the struct that travels serves /readyz as well ---- */

static struct checks_item *add_check(struct service_status_rsp *rsp, const char *name)
{
	bug_if(rsp->checks.len == ARRAY_LEN(rsp->checks.item));
	struct checks_item *check = &rsp->checks.item[rsp->checks.len++];

	snprintf(check->name, sizeof(check->name), "%s", name);
	return check;
}

static void check_redis(const struct daemon *daemon, struct service_status_rsp *rsp)
{
	struct checks_item *check = add_check(rsp, "redis");
	const char *address = redis_address(daemon->process.redis);

	check->ok = redis_is_ready(daemon->process.redis);
	snprintf(check->why, sizeof(check->why), "%s %s",
	    check->ok ? "connected to" : "not connected to",
	    address[0] ? address : "any: no majority of the Sentinels names one");
}

static void check_lease(const struct daemon *daemon, struct service_status_rsp *rsp)
{
	struct checks_item *check = add_check(rsp, "lease");

	check->ok = follower_has_lease(daemon->process.follower);
	snprintf(check->why, sizeof(check->why), "%" PRIu64 " ms left", rsp->lease_ms);
}

/* Deadlines are absolute, so clocks that differ make calls late or immortal. */
static void check_skew(const struct daemon *daemon, struct service_status_rsp *rsp)
{
	struct checks_item *check = add_check(rsp, "clock");
	uint64_t largest = 0;

	for (size_t i = 0; i < daemon->nclients; i++) {
		uint64_t skew = bus_client_skew_ms(daemon->clients[i]);
		largest = skew > largest ? skew : largest;
	}
	check->ok = largest <= SKEW_MAX_MS;
	snprintf(check->why, sizeof(check->why), "%" PRIu64 " ms apart at most", largest);
}

static void check_own(const struct daemon *daemon, struct service_status_rsp *rsp)
{
	const struct service *service = daemon->process.service;

	for (size_t i = 0; i < ARRAY_LEN(service->ready) && service->ready[i].name; i++) {
		struct checks_item *check = add_check(rsp, service->ready[i].name);
		check->ok = service->ready[i].check(daemon->self, check->why, sizeof(check->why));
		rsp->ready &= check->ok || service->ready[i].is_optional;
	}
}

static void read_status(const struct daemon *daemon, struct service_status_rsp *rsp)
{
	const struct process *process = &daemon->process;
	const struct ledger_chain *chain = follower_chain(process->follower);

	memset(rsp, 0, sizeof(*rsp));
	snprintf(rsp->service, sizeof(rsp->service), "%s", process->service->name);
	snprintf(rsp->replica, sizeof(rsp->replica), "%s", process->settings.replica);
	snprintf(rsp->version, sizeof(rsp->version), "%s", MULTICLAW_VERSION);
	snprintf(rsp->history, sizeof(rsp->history), "%s", follower_history(process->follower));
	event_id_text(follower_cursor(process->follower), rsp->cursor);
	rsp->started_at = daemon->started_at_ms;
	rsp->lease_ms = follower_lease_ms(process->follower);
	rsp->chain_slot = chain->known ? chain->slot : 0;
	rsp->chain_age_ms = follower_chain_age_ms(process->follower);
	check_redis(daemon, rsp);
	check_lease(daemon, rsp);
	check_skew(daemon, rsp);
	rsp->ready = true;
	for (size_t i = 0; i < rsp->checks.len; i++)
		rsp->ready &= rsp->checks.item[i].ok;
	check_own(daemon, rsp);
}

static void on_status(void *self, const void *req, struct bus_request *request)
{
	const struct process *process = *(struct process *const *)self;
	struct service_status_rsp rsp;

	(void)req;
	read_status(daemon_of(process), &rsp);
	bus_reply(request, &rsp);
}

const struct bus_route service_ops_route = {&service_status_call, on_status};

/* ---- the listener ---- */

static void reply_readyz(struct service_ops *ops, struct http_request *request)
{
	struct service_status_rsp rsp;
	json_t *checks = json_array();

	read_status(ops->daemon, &rsp);
	for (size_t i = 0; i < rsp.checks.len; i++) {
		const struct checks_item *check = &rsp.checks.item[i];
		json_array_append_new(checks, json_pack("{ss sb ss}", "name", check->name, "ok",
						  check->ok, "why", check->why));
	}
	if (!rsp.ready)
		http_reply_header(request, "Retry-After", "1");
	http_reply_json(request, rsp.ready ? 200 : 503,
	    json_pack("{sb ss ss so}", "ready", rsp.ready, "service", rsp.service, "replica",
		rsp.replica, "checks", checks));
}

static void reply_metrics(struct service_ops *ops, struct http_request *request)
{
	size_t len;
	scoped_free char *text = metrics_text(ops->daemon->process.metrics, &len);

	http_reply_text(request, 200, "text/plain; version=0.0.4; charset=utf-8", text, len);
}

static void on_request(void *arg, struct http_request *request)
{
	struct service_ops *ops = arg;
	const char *path = http_path(request), *method = http_method(request);
	bool is_read = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
	bool is_healthz = strcmp(path, "/healthz") == 0, is_readyz = strcmp(path, "/readyz") == 0;

	if (!is_healthz && !is_readyz && strcmp(path, "/metrics") != 0) {
		http_reply_problem(request, 404, "not_found", NULL, 0);
	} else if (!is_read) {
		http_reply_header(request, "Allow", "GET, HEAD");
		http_reply_problem(request, 405, "method_not_allowed", NULL, 0);
	} else if (is_healthz) {
		http_reply_text(request, 200, "text/plain", "ok\n", 3);
	} else if (is_readyz) {
		reply_readyz(ops, request);
	} else {
		reply_metrics(ops, request);
	}
}

/* ---- metrics of every process ---- */

/* The second number of statm is in pages (proc(5)). */
static double read_resident(void *arg)
{
	char text[128];
	scoped_fd int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	(void)arg;
	text[n > 0 ? n : 0] = '\0';
	const char *second = strchr(text, ' ');
	return second ? (double)strtoul(second, NULL, 10) * (double)sysconf(_SC_PAGESIZE) : 0;
}

static double read_start(void *arg)
{
	const struct daemon *daemon = arg;

	return (double)daemon->started_at_ms / 1000;
}

static double read_ready(void *arg)
{
	const struct service_ops *ops = arg;

	return ops->is_ready;
}

static void add_metrics(struct service_ops *ops)
{
	struct metrics *metrics = ops->daemon->process.metrics;
	char labels[128];

	snprintf(labels, sizeof(labels), "version=\"%s\",service=\"%s\"", MULTICLAW_VERSION,
	    ops->daemon->process.service->name);
	metric_set(
	    metrics_gauge(metrics, "multiclaw_build_info", "The program that runs.", labels), 1);
	metrics_gauge_fn(metrics, "process_start_time_seconds", "Unix time of the start.", NULL,
	    read_start, ops->daemon);
	metrics_gauge_fn(metrics, "process_resident_memory_bytes", "Resident memory.", NULL,
	    read_resident, NULL);
	metrics_gauge_fn(metrics, "multiclaw_ready", "1 if every check of /readyz is all right.",
	    NULL, read_ready, ops);
}

/* ---- readiness, told when it changes ---- */

static void tell_not_ready(const struct service_status_rsp *rsp)
{
	for (size_t i = 0; i < rsp->checks.len; i++) {
		const struct checks_item *check = &rsp->checks.item[i];
		if (!check->ok)
			log_warn("not ready", "check", check->name, "why", check->why);
	}
	service_notify("STATUS=not ready");
}

static void tell_ready(struct service_ops *ops)
{
	uint64_t ms = (clock_boot_us() - ops->daemon->began_us) / 1000;

	if (ops->was_ever_ready)
		log_info("ready again");
	else
		log_info("ready", "ms", log_u64(ms));
	ops->was_ever_ready = true;
	service_notify("STATUS=ready");
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct service_ops *ops = arg;
	struct service_status_rsp rsp;
	uint64_t age_ms = (clock_boot_us() - ops->daemon->began_us) / 1000;
	uint64_t next_ms = ops->was_ever_ready || age_ms > SOON_MS ? LOOK_MS : LOOK_SOON_MS;

	(void)fd, (void)what;
	read_status(ops->daemon, &rsp);
	if (rsp.ready && !ops->is_ready)
		tell_ready(ops);
	else if (!rsp.ready && ops->is_ready)
		tell_not_ready(&rsp);
	ops->is_ready = rsp.ready;
	event_add(ops->look, &(struct timeval){.tv_usec = (suseconds_t)next_ms * 1000});
}

struct service_ops *service_ops_new(struct daemon *daemon, struct error *err)
{
	const char *address = daemon->process.settings.ops_listen;
	struct service_ops *ops = calloc(1, sizeof(*ops));

	bug_if(!ops);
	ops->daemon = daemon;
	ops->look = evtimer_new(daemon->process.base, on_look, ops);
	bug_if(!ops->look);
	ops->http = http_server_new(daemon->process.base, address, on_request, ops, err);
	if (!ops->http)
		service_ops_destroy(&ops);
	else
		add_metrics(ops);
	return ops;
}

void service_ops_begin(struct service_ops *ops)
{
	on_look(-1, 0, ops);
}

void service_ops_destroy(struct service_ops **ops_p)
{
	struct service_ops *ops = *ops_p;

	if (!ops)
		return;
	*ops_p = NULL;
	http_server_destroy(&ops->http);
	event_free(ops->look);
	free(ops);
}
