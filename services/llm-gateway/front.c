#include "services/llm-gateway/front.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/loop_priority.h"
#include "services/llm-gateway/exchange.h"
#include "services/llm-gateway/gateway.h"

/* of each connection: a request's head, and an answer's beside it */
#define CONNECTION_MEMORY 65536
#define BACKLOG 1024

struct front {
	struct gateway *gateway;
	struct MHD_Daemon *daemon;
	struct event *work, *timer;
	bool runs;
	size_t exchanges;
};

static void arm(struct front *front)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(front->daemon, &ms) != MHD_YES) {
		evtimer_del(front->timer);
		return;
	}
	struct timeval tv = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};
	evtimer_add(front->timer, &tv);
}

void front_run(struct front *front)
{
	if (!front || front->runs)
		return;
	front->runs = true;
	MHD_run(front->daemon);
	front->runs = false;
	arm(front);
}

static void on_work(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	front_run(arg);
}

void front_wake(struct front *front)
{
	if (front)
		event_active(front->timer, EV_TIMEOUT, 0);
}

/* ---- libmicrohttpd's callbacks */

/* Who is not known is not read from. (A gateway that was started anew knows nobody for a moment: to a client that is a connection to try again.) */
static enum MHD_Result accepts(void *arg, const struct sockaddr *peer, socklen_t len)
{
	const struct front *front = arg;
	const struct sockaddr_in *address = (const struct sockaddr_in *)(const void *)peer;

	if (len < sizeof(*address) || peer->sa_family != AF_INET || front->gateway->is_stopping)
		return MHD_NO;
	if (agents_at(front->gateway->agents, address->sin_addr))
		return MHD_YES;
	gateway_count_refusal(front->gateway, "address_unknown");
	return MHD_NO;
}

static void *on_target(void *arg, const char *text, struct MHD_Connection *connection)
{
	struct front *front = arg;

	front->exchanges++;
	return exchange_new(front->gateway, connection, text);
}

/* The target is judged, and sent on, as it came. */
static size_t leave_escaped(void *arg, struct MHD_Connection *connection, char *text)
{
	(void)arg, (void)connection;
	return strlen(text);
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *bytes, size_t *len, void **exchange)
{
	(void)arg, (void)connection, (void)url;
	return *exchange ? exchange_access(*exchange, method, version, bytes, len) : MHD_NO;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **exchange,
    enum MHD_RequestTerminationCode code)
{
	struct front *front = arg;

	(void)connection, (void)code;
	if (!*exchange)
		return;
	exchange_end(*exchange);
	*exchange = NULL;
	front->exchanges--;
}

/* ---- the daemon */

static struct MHD_Daemon *start_daemon(struct front *front, int listener)
{
	const struct gateway *gateway = front->gateway;

	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, accepts, front,
	    on_access, front, MHD_OPTION_LISTEN_SOCKET, listener, MHD_OPTION_CONNECTION_LIMIT,
	    (unsigned)gateway->connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
	    (unsigned)gateway->connections_per_agent, MHD_OPTION_CONNECTION_TIMEOUT,
	    (unsigned)gateway->client_idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	    (size_t)CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1,
	    MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_URI_LOG_CALLBACK,
	    on_target, front, MHD_OPTION_NOTIFY_COMPLETED, on_completed, front,
	    MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

struct front *front_new(struct gateway *gateway, int listener, struct error *err)
{
	struct event_base *base = gateway->process->base;
	struct front *front = calloc(1, sizeof(*front));

	bug_if(!front);
	front->gateway = gateway;
	if (listen(listener, BACKLOG) == 0)
		front->daemon = start_daemon(front, listener);
	if (!front->daemon) {
		error_set(err, ERR_UNAVAILABLE, "%s: cannot listen", gateway->listen);
		close(listener);
		free(front);
		return NULL;
	}
	const union MHD_DaemonInfo *info =
	    MHD_get_daemon_info(front->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	front->work = event_new(base, info->epoll_fd, EV_READ | EV_PERSIST, on_work, front);
	front->timer = evtimer_new(base, on_work, front);
	bug_if(!front->work || !front->timer || event_priority_set(front->work, LOOP_BULK) != 0 ||
	       event_priority_set(front->timer, LOOP_BULK) != 0 ||
	       event_add(front->work, NULL) != 0);
	return front;
}

void front_destroy(struct front **front)
{
	struct front *f = *front;

	if (!f)
		return;
	/* what was cut is resumed, and found ended: it must not be suspended when the daemon stops */
	front_run(f);
	*front = NULL;
	event_free(f->work);
	event_free(f->timer);
	MHD_stop_daemon(f->daemon);
	free(f);
}

size_t front_exchanges(const struct front *front)
{
	return front->exchanges;
}
