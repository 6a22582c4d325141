#include "services/warden/warden.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/warden/erase.h"
#include "services/warden/packet.h"
#include "services/warden/reaper.h"

#define TICK_S 1

/* ---- what sandbox asks ---- */

static void on_connect(void *arg)
{
	struct warden *warden = arg;
	struct warden_packet packet = {.what = WARDEN_READY};
	struct agent *agent;

	warden->alive_at_ms = clock_boot_ms();
	agents_release(warden, "another sandbox is here");
	LIST_FOREACH(agent, &warden->agents, next)
	{
		/* who asked for it is gone, and would not know it as its own */
		if (agent->state == AGENT_STARTING)
			agent_kill(agent);
		agent_say_found(agent);
	}
	packet.u.ready.slots = warden->settings->slots;
	packet.u.ready.slots_used = warden->nagents;
	packet.u.ready.resolver = network_resolver(warden->host.network);
	packet_put(
	    packet.u.ready.runtime, sizeof(packet.u.ready.runtime), warden->host.runtime.name);
	packet_put(
	    packet.u.ready.warning, sizeof(packet.u.ready.warning), warden->host.runtime.warning);
	peer_send(warden->peer, &packet, warden->resolver);
}

static void count(struct warden *warden, const struct agent *agent)
{
	struct warden_packet packet = {.what = WARDEN_COUNTED};
	struct error err = {0};

	packet_put(packet.agent, sizeof(packet.agent), agent->record.agent);
	packet_put(packet.boot, sizeof(packet.boot), agent->record.boot);
	if (network_count(
		warden->host.network, agent->record.slot, &packet.u.counted.connections, &err) != 0)
		log_warn(
		    "connections are not counted", "agent", agent->record.agent, "why", err.text);
	peer_send(warden->peer, &packet, -1);
}

static void reset(struct warden *warden, const struct agent *agent)
{
	struct warden_packet packet = {.what = WARDEN_RESETTED};
	struct error err = {0};

	if (network_reset(warden->host.network, agent->record.slot, &err) != 0)
		log_warn(
		    "connections are not reset", "agent", agent->record.agent, "why", err.text);
	packet_put(packet.agent, sizeof(packet.agent), agent->record.agent);
	packet_put(packet.boot, sizeof(packet.boot), agent->record.boot);
	packet_put(packet.u.text, sizeof(packet.u.text), err.text);
	peer_send(warden->peer, &packet, -1);
}

/* A word about a boot that is over, or never was, is late, not wrong. */
static struct agent *meant(const struct warden *warden, const struct warden_packet *packet)
{
	struct agent *agent = agent_find(warden, packet->agent);

	return agent && strcmp(agent->record.boot, packet->boot) == 0 ? agent : NULL;
}

static void say_not_there(struct warden *warden, const struct warden_packet *request)
{
	struct warden_packet packet = {.what = WARDEN_GONE};

	packet_put(packet.agent, sizeof(packet.agent), request->agent);
	packet_put(packet.boot, sizeof(packet.boot), request->boot);
	if (request->what == WARDEN_EXEC) {
		packet.what = WARDEN_EXECED;
		packet.u.execed.status = -1;
		packet_put(packet.u.execed.why, sizeof(packet.u.execed.why), "it does not run");
	} else if (request->what == WARDEN_COUNT) {
		packet.what = WARDEN_COUNTED;
	} else if (request->what == WARDEN_RESET) {
		packet.what = WARDEN_RESETTED;
	} else if (request->what == WARDEN_SNAPSHOT) {
		packet.what = WARDEN_SNAPSHOTTED;
		packet.u.snapshotted.outcome = WARDEN_NOT_SAVED;
		packet_put(packet.u.snapshotted.text, sizeof(packet.u.snapshotted.text),
		    "it does not run, and is not held");
	} else if (request->what != WARDEN_STOP && request->what != WARDEN_KILL &&
		   request->what != WARDEN_RELEASE) {
		return;
	}
	peer_send(warden->peer, &packet, -1);
}

static void on_agent_request(struct warden *warden, struct warden_packet *packet, const int *fds)
{
	struct agent *agent = meant(warden, packet);

	if (!agent) {
		say_not_there(warden, packet);
		return;
	}
	switch (packet->what) {
	case WARDEN_STOP:
		agent_stop(agent, packet->u.stop.grace_ms, packet->u.stop.hold_ms);
		break;
	case WARDEN_KILL:
		agent_kill(agent);
		break;
	case WARDEN_RESET:
		reset(warden, agent);
		break;
	case WARDEN_COUNT:
		count(warden, agent);
		break;
	case WARDEN_EXEC:
		agent_exec(agent, packet);
		break;
	case WARDEN_SNAPSHOT:
		agent_snapshot(agent, packet, fds);
		break;
	case WARDEN_RELEASE:
		agent_release(agent, "it is released");
		break;
	case WARDEN_ALLOW:
		agent_allow(agent, packet);
		break;
	default:
		break;
	}
}

static void on_gone(void *arg)
{
	agents_release(arg, "sandbox is gone");
}

static void on_request(void *arg, struct warden_packet *packet, const int *fds, size_t nfds)
{
	struct warden *warden = arg;

	warden->alive_at_ms = clock_boot_ms();
	if (packet->what == WARDEN_START)
		agent_start(warden, packet, fds, nfds);
	else if (packet->what == WARDEN_ERASE)
		erase_volume(warden, packet);
	else if (packet->what != WARDEN_ALIVE)
		on_agent_request(warden, packet, fds);
	if (packet->what == WARDEN_START || packet->what == WARDEN_SNAPSHOT)
		sodium_memzero(packet, sizeof(*packet));
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
}

/* ---- what it looks after by itself ---- */

/* Rules that somebody took away may have let anything through since: nothing that runs is trusted to be alone any more (rule 25). */
static void look_at_network(struct warden *warden)
{
	const struct agent *agent;
	struct error err = {0};

	if (!warden->is_network_broken) {
		if (network_check(warden->host.network, &err) == 0)
			return;
		log_error("the host's rules for containers are gone", "why", err.text);
		warden->is_network_broken = true;
		agents_kill(warden, "the host's rules for containers are gone");
	}
	LIST_FOREACH(agent, &warden->agents, next)
	if (agent->state != AGENT_CLEANING)
		return;
	network_close(&warden->host.network);
	if (host_network_open(&warden->host, &err) != 0)
		fatal("the host's rules for containers cannot be loaded again: %s", err.text);
	warden->is_network_broken = false;
	log_warn("the host's rules for containers are loaded again");
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct warden *warden = arg;
	uint64_t silent_ms = clock_boot_ms() - warden->alive_at_ms;
	static const char why[] = "nothing was heard of sandbox";

	(void)fd, (void)what;
	if (silent_ms >= warden->settings->orphan_s * 1000) {
		warden->alive_at_ms = clock_boot_ms();
		agents_kill(warden, why);
	}
	agents_look_at_starts(warden);
	agents_look_at_volumes(warden);
	look_at_network(warden);
}

static void on_rules_changed(evutil_socket_t fd, short what, void *arg)
{
	char drop[8192];

	(void)what;
	while (recv(fd, drop, sizeof(drop), MSG_DONTWAIT) > 0 || errno == ENOBUFS)
		errno = 0;
	look_at_network(arg);
}

/* ---- stopping ---- */

void warden_look_at_exit(struct warden *warden)
{
	const struct agent *agent;

	if (!warden->is_stopping)
		return;
	LIST_FOREACH(agent, &warden->agents, next)
	if (agent->state != AGENT_RUNNING)
		return;
	event_base_loopbreak(warden->base);
}

static void on_stop_signal(evutil_socket_t signo, short what, void *arg)
{
	struct warden *warden = arg;
	struct agent *agent, *following;

	(void)what;
	if (warden->is_stopping) { /* once more: now */
		event_base_loopbreak(warden->base);
		return;
	}
	log_info("stopping", "signal", signo == SIGTERM ? "TERM" : "INT", "agents",
	    log_u64(warden->nagents), "they",
	    warden->settings->stops_on_exit ? "are ended" : "run on");
	warden->is_stopping = true;
	agents_release(warden, "warden stops");
	for (agent = LIST_FIRST(&warden->agents); agent; agent = following) {
		following = LIST_NEXT(agent, next);
		if (warden->settings->stops_on_exit || agent->state == AGENT_STARTING)
			agent_kill(agent);
	}
	warden_look_at_exit(warden);
}

/* ---- opened and closed ---- */

/* Before there is an agent: a stop that came while it starts would leave them all to nobody. */
static void watch_signals(struct warden *warden)
{
	static const int numbers[] = {SIGTERM, SIGINT};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		warden->signals[i] = evsignal_new(warden->base, numbers[i], on_stop_signal, warden);
		bug_if(!warden->signals[i] || event_add(warden->signals[i], NULL) != 0);
	}
}

static void watch_all(struct warden *warden)
{
	const struct timeval tick = {TICK_S, 0};

	warden->tick = event_new(warden->base, -1, EV_PERSIST, on_tick, warden);
	bug_if(!warden->tick || event_add(warden->tick, &tick) != 0);
	if (warden->watch < 0)
		return;
	warden->watches =
	    event_new(warden->base, warden->watch, EV_READ | EV_PERSIST, on_rules_changed, warden);
	bug_if(!warden->watches || event_add(warden->watches, NULL) != 0);
}

static int open_network(struct warden *warden, struct error *err)
{
	struct error why = {0};

	if (host_network_open(&warden->host, err) != 0)
		return -1;
	warden->resolver = network_resolver_socket(warden->host.network, &why);
	if (warden->resolver < 0)
		log_warn("containers will find no names", "why", why.text);
	warden->watch = network_watch_socket(&why);
	if (warden->watch < 0)
		log_warn("changes of nftables are noticed late", "why", why.text);
	return 0;
}

int warden_open(struct warden *warden, const struct warden_settings *settings, struct error *err)
{
	struct peer_hooks hooks = {on_connect, on_request, on_gone, warden};

	*warden =
	    (struct warden){.settings = settings, .jobs_cgroup = -1, .watch = -1, .resolver = -1};
	LIST_INIT(&warden->agents);
	warden->base = event_base_new();
	bug_if(!warden->base);
	watch_signals(warden);
	warden->reaper = reaper_new(warden->base);
	warden->alive_at_ms = clock_boot_ms();
	if (host_open(&warden->host, settings, err) != 0 || open_network(warden, err) != 0)
		return -1;
	warden->slots =
	    slots_new(warden->host.run, host_slots(&warden->host), settings->quarantine_s, err);
	if (!warden->slots)
		return -1;
	if (warden_adopt(warden, err) != 0)
		return -1;
	warden->peer = peer_new(
	    warden->base, settings->listen, settings->user_uid, settings->user_gid, &hooks, err);
	if (!warden->peer)
		return -1;
	watch_all(warden);
	return 0;
}

void warden_run(struct warden *warden)
{
	event_base_dispatch(warden->base);
}

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

void warden_close(struct warden *warden)
{
	bool is_for_good = warden->settings->stops_on_exit && warden->nagents == 0;
	warden->is_stopping = false;
	agents_forget(warden);
	peer_destroy(&warden->peer);
	for (size_t i = 0; i < ARRAY_LEN(warden->signals); i++)
		free_event(warden->signals[i]);
	free_event(warden->tick);
	free_event(warden->watches);
	const int fds[] = {warden->jobs_cgroup, warden->watch, warden->resolver};
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	slots_destroy(&warden->slots);
	reaper_destroy(&warden->reaper);
	if (is_for_good && warden->host.network)
		network_leave(warden->host.network);
	host_close(&warden->host);
	event_base_free(warden->base);
}
