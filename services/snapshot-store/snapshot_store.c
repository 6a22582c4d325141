#include "services/snapshot-store/snapshot_store.h"

#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/scoped.h"
#include "proto/store_key.h"

#define STOP_MS 3000 /* of systemd's five seconds */

static const char *name_of(uint32_t what)
{
	static const char *const names[] = {NULL, "put", "get", "delete", "sweep", "cancel"};

	return names[what];
}

static const char *failure_name(enum store_failure failure)
{
	static const char *const names[] = {[STORE_UNAVAILABLE] = "unavailable",
	    [STORE_NOT_FOUND] = "not_found",
	    [STORE_DENIED] = "denied",
	    [STORE_FULL] = "full",
	    [STORE_DAMAGED] = "damaged",
	    [STORE_TOO_LARGE] = "too_large",
	    [STORE_CANCELLED] = "cancelled",
	    [STORE_BUSY] = "busy",
	    [STORE_INVALID] = "invalid"};

	return names[failure];
}

/* ---- what is said to sandbox ---- */

static void put_text(char *to, size_t size, const char *text)
{
	memset(to, 0, size);
	memcpy(to, text, strnlen(text, size - 1));
}

static void say_failed(struct snapshot_store *store, uint64_t ticket, const char *key,
    enum store_failure failure, const char *text)
{
	struct store_packet packet = {.what = STORE_FAILED, .ticket = ticket};

	put_text(packet.key, sizeof(packet.key), key);
	packet.u.failed.failure = failure;
	put_text(packet.u.failed.text, sizeof(packet.u.failed.text), text);
	sandbox_link_send(store->link, &packet, true);
}

static void say_moved(
    struct snapshot_store *store, const struct transfer *transfer, enum store_what what)
{
	struct store_packet packet = {.what = what, .ticket = transfer->ticket};
	const struct transfer *const done = what == STORE_DONE ? transfer : NULL;

	put_text(packet.key, sizeof(packet.key), transfer->key);
	packet.u.done.bytes = atomic_load(&transfer->bytes);
	if (done)
		memcpy(packet.u.done.digest, done->digest, sizeof(packet.u.done.digest));
	sandbox_link_send(store->link, &packet, what == STORE_DONE);
}

static void count(
    struct snapshot_store *store, const struct transfer *transfer, int status, uint64_t us)
{
	const char *what = name_of(transfer->what);
	char labels[80];

	snprintf(labels, sizeof(labels), "what=\"%s\",result=\"%s\"", what,
	    status == 0 ? "done" : failure_name(transfer->failure));
	metric_add(metrics_counter(store->metrics, "multiclaw_store_requests_total",
		       "Requests of sandbox.", labels),
	    1);
	snprintf(labels, sizeof(labels), "what=\"%s\"", what);
	histogram_observe_us(metrics_histogram(store->metrics, "multiclaw_store_request_seconds",
				 "How long they took.", labels),
	    us);
	metric_add(metrics_counter(store->metrics, "multiclaw_store_retries_total",
		       "Tries after a first one, while the storage had trouble.", labels),
	    atomic_load(&transfer->retries));
	if (transfer->what == STORE_PUT || transfer->what == STORE_GET)
		metric_add(metrics_counter(store->metrics, "multiclaw_store_bytes_total",
			       "What was moved.", labels),
		    atomic_load(&transfer->bytes));
}

static void on_end(void *arg, const struct transfer *transfer, int status, uint64_t us)
{
	struct snapshot_store *store = arg;

	count(store, transfer, status, us);
	if (status == 0) {
		log_info("done", "what", name_of(transfer->what), "key", transfer->key, "bytes",
		    log_u64(atomic_load(&transfer->bytes)), "ms", log_u64(us / 1000), "retries",
		    log_u64(atomic_load(&transfer->retries)));
		say_moved(store, transfer, STORE_DONE);
		return;
	}
	if (transfer->failure == STORE_NOT_FOUND || transfer->failure == STORE_CANCELLED)
		log_info("not done", "what", name_of(transfer->what), "key", transfer->key, "why",
		    transfer->text);
	else
		log_warn("not done", "what", name_of(transfer->what), "key", transfer->key, "why",
		    transfer->text, "failure", failure_name(transfer->failure), "retries",
		    log_u64(atomic_load(&transfer->retries)));
	say_failed(store, transfer->ticket, transfer->key, transfer->failure, transfer->text);
}

static void on_progress(void *arg, const struct transfer *transfer)
{
	say_moved(arg, transfer, STORE_PROGRESS);
}

/* ---- what sandbox asks ---- */

static void on_connect(void *arg)
{
	struct snapshot_store *store = arg;
	struct store_packet packet = {.what = STORE_READY};

	put_text(packet.u.text, sizeof(packet.u.text), store->storage->name);
	sandbox_link_send(store->link, &packet, true);
}

static void on_leave(void *arg)
{
	const struct snapshot_store *store = arg;

	transfers_forget(store->transfers);
}

/* What else it could be may keep a thread for ever, or is not ours to write to. */
static bool is_pipe(int fd)
{
	struct stat about;

	return fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode);
}

static const char *wrong_with(const struct store_packet *packet, int fd)
{
	size_t len = strnlen(packet->key, sizeof(packet->key));

	if (len == sizeof(packet->key) ||
	    !store_key_is_good(packet->key, len, packet->what == STORE_SWEEP))
		return "that is not the name of a snapshot";
	if (fd >= 0 && !is_pipe(fd))
		return "that is not a pipe";
	return NULL;
}

static void refuse(struct snapshot_store *store, const struct store_packet *packet, int fd,
    enum store_failure failure, const char *why)
{
	log_warn("refused", "what", name_of(packet->what), "why", why);
	if (fd >= 0)
		close(fd);
	say_failed(store, packet->ticket, "", failure, why);
}

static void on_request(void *arg, const struct store_packet *packet, int fd)
{
	struct snapshot_store *store = arg;

	if (packet->what == STORE_CANCEL) {
		transfers_cancel(store->transfers, packet->ticket);
		return;
	}
	const char *wrong = wrong_with(packet, fd);
	if (transfers_have(store->transfers, packet->ticket)) {
		if (fd >= 0)
			close(fd);
		sandbox_link_cut(store->link, "a ticket that is taken");
	} else if (wrong) {
		refuse(store, packet, fd, STORE_INVALID, wrong);
	} else if (transfers_start(store->transfers, transfer_new(packet, fd)) != 0) {
		refuse(store, packet, -1, STORE_BUSY, "too many requests at one time");
	}
}

/* ---- /metrics ---- */

static void on_http(void *arg, struct http_request *request)
{
	const struct snapshot_store *store = arg;
	const char *path = http_path(request);
	size_t len;

	if (strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0) {
		http_reply_text(request, 200, "text/plain", "ok\n", 3);
	} else if (strcmp(path, "/metrics") == 0) {
		scoped_free char *text = metrics_text(store->metrics, &len);
		http_reply_text(
		    request, 200, "text/plain; version=0.0.4; charset=utf-8", text, len);
	} else {
		http_reply_problem(request, 404, "not_found", NULL, 0);
	}
}

static double read_running(void *arg)
{
	const struct snapshot_store *store = arg;

	return (double)transfers_running(store->transfers);
}

/* ---- opened and closed ---- */

static void on_stop_signal(evutil_socket_t signo, short what, void *arg)
{
	struct snapshot_store *store = arg;

	(void)what;
	log_info("stopping", "signal", signo == SIGTERM ? "TERM" : "INT", "running",
	    log_u64(transfers_running(store->transfers)));
	event_base_loopbreak(store->base);
}

static void watch_signals(struct snapshot_store *store)
{
	static const int numbers[] = {SIGTERM, SIGINT};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		store->signals[i] = evsignal_new(store->base, numbers[i], on_stop_signal, store);
		bug_if(!store->signals[i] || event_add(store->signals[i], NULL) != 0);
	}
}

static int open_sockets(
    struct snapshot_store *store, const struct suite_settings *suite, struct error *err)
{
	const struct sandbox_link_hooks hooks = {on_connect, on_leave, on_request, store};
	const struct passwd *own = suite->user[0] ? getpwnam(suite->user) : NULL;
	const struct sandbox_link_who who = {store->settings->sandbox_uid,
	    own && geteuid() == 0 ? own->pw_uid : 0, store->settings->sandbox_gid};

	store->link = sandbox_link_new(store->base, store->settings->socket, &who, &hooks, err);
	if (!store->link)
		return -1;
	store->http = http_server_new(store->base, suite->ops_listen, on_http, store, err);
	return store->http ? 0 : -1;
}

int snapshot_store_open(struct snapshot_store *store, const struct suite_settings *suite,
    const struct store_settings *settings, struct error *err)
{
	const struct transfers_hooks hooks = {on_end, on_progress, store};

	*store = (struct snapshot_store){.settings = settings};
	store->base = event_base_new();
	store->metrics = metrics_new();
	bug_if(!store->base || !store->metrics);
	store->storage = storage_new(settings, err);
	if (!store->storage)
		return -1;
	store->transfers = transfers_new(store->base, store->storage, &hooks);
	metrics_gauge_fn(store->metrics, "multiclaw_store_running", "Requests being carried out.",
	    NULL, read_running, store);
	watch_signals(store);
	return open_sockets(store, suite, err);
}

int snapshot_store_ready(struct snapshot_store *store, struct error *err)
{
	if (storage_ready(store->storage, err) != 0)
		return -1;
	sandbox_link_listen(store->link);
	return 0;
}

void snapshot_store_run(struct snapshot_store *store)
{
	event_base_dispatch(store->base);
}

void snapshot_store_close(struct snapshot_store *store)
{
	sandbox_link_destroy(&store->link);
	if (transfers_destroy(&store->transfers, STOP_MS) != 0) {
		/* a disk that does not answer; what it was writing has no name yet */
		log_warn("stopped while requests were running");
		_exit(0);
	}
	storage_destroy(&store->storage);
	http_server_destroy(&store->http);
	metrics_destroy(&store->metrics);
	for (size_t i = 0; i < ARRAY_LEN(store->signals); i++)
		event_free(store->signals[i]);
	event_base_free(store->base);
}
