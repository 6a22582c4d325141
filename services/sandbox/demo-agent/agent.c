#include "services/sandbox/demo-agent/agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "services/sandbox/demo-agent/connection.h"
#include "services/sandbox/demo-agent/memory.h"

#define TOKEN_MIN 16
#define SPARE_FDS 16
#define EVENTS 64
#define TICK_MS 1000

uint64_t agent_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

char *agent_time(char text[32])
{
	struct tm parts;
	time_t now = time(NULL);

	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
	return text;
}

static int failed(const char *what, const char *of)
{
	fprintf(stderr, "demo-agent: cannot %s %s: %s\n", what, of, strerror(errno));
	return -1;
}

static int read_token(struct agent *agent)
{
	char path[512];
	int len = snprintf(path, sizeof(path), "%s/gateway-token", agent->secrets);
	int fd = len < (int)sizeof(path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return failed("read", path);
	ssize_t n = read(fd, agent->token, sizeof(agent->token));
	close(fd);
	if (n > 0 && agent->token[n - 1] == '\n')
		n--;
	if (n < TOKEN_MIN || n > AGENT_TOKEN_MAX) {
		fprintf(stderr, "demo-agent: %s holds no token of %d to %d bytes\n", path,
		    TOKEN_MIN, AGENT_TOKEN_MAX);
		return -1;
	}
	agent->token[n] = '\0';
	return 0;
}

static int listen_at(const struct agent_options *options)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	const int on = 1;
	uint64_t port;

	if (inet_pton(AF_INET, options->address, &address.sin_addr) != 1 ||
	    !request_number(options->port, UINT16_MAX, &port)) {
		errno = EINVAL;
		return failed("listen at", options->address);
	}
	address.sin_port = htons((uint16_t)port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(fd, SOMAXCONN) != 0)
		return failed("listen at", options->address);
	return fd;
}

/* Blocked signals reach the first process of a container too, which ignores what it does not handle. */
static int watch_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static size_t connections_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return AGENT_CONNECTIONS_MAX;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max <= 2 * SPARE_FDS)
		return SPARE_FDS;
	return limit.rlim_max - SPARE_FDS < AGENT_CONNECTIONS_MAX ? limit.rlim_max - SPARE_FDS
								  : AGENT_CONNECTIONS_MAX;
}

static int watch(const struct agent *agent, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)fd};

	return epoll_ctl(agent->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void name_boot(struct agent *agent)
{
	uint8_t random[AGENT_BOOT_LEN / 2] = {0};

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		failed("read", "randomness");
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(agent->boot + 2 * i, 3, "%02x", random[i]);
	agent_time(agent->started_at);
}

/* The notes' own folder: what is saved of /data is named by folders. */
static int open_notes(const char *folder)
{
	int data = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (data < 0)
		return -1;
	int notes = -1;
	if (mkdirat(data, NOTES_FOLDER, 0700) == 0 || errno == EEXIST)
		notes = openat(data, NOTES_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int why = errno;
	close(data);
	errno = why;
	return notes;
}

int agent_open(struct agent *agent_r, const struct agent_options *options)
{
	*agent_r = (struct agent){.secrets = options->secrets,
	    .connections_max = connections_max(),
	    .epoll = epoll_create1(EPOLL_CLOEXEC)};
	name_boot(agent_r);
	agent_r->data = open_notes(options->data);
	if (agent_r->data < 0)
		failed("open", options->data);
	if (read_token(agent_r) != 0)
		return -1;
	agent_r->signals = watch_signals();
	agent_r->listener = listen_at(options);
	if (agent_r->listener < 0)
		return -1;
	if (watch(agent_r, agent_r->listener) != 0 || watch(agent_r, agent_r->signals) != 0)
		return failed("watch", "the sockets");
	return 0;
}

void agent_close(struct agent *agent)
{
	while (agent->connections)
		connection_destroy(agent, agent->connections);
	explicit_bzero(agent->token, sizeof(agent->token));
	close(agent->listener);
	close(agent->signals);
	close(agent->epoll);
	if (agent->data >= 0)
		close(agent->data);
}

/* With no place for one more, the others wait in the kernel's queue until the next tick. */
static void accept_all(struct agent *agent)
{
	while (agent->nconnections < agent->connections_max) {
		int fd = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0 || !connection_new(agent, fd))
			break;
	}
	agent->is_full = epoll_ctl(agent->epoll, EPOLL_CTL_DEL, agent->listener, NULL) == 0;
}

static void tick(struct agent *agent, uint64_t now_ms)
{
	struct connection *next;

	for (struct connection *connection = agent->connections; connection; connection = next) {
		next = connection_next(connection);
		connection_tick(agent, connection, now_ms);
	}
	if (agent->is_full && watch(agent, agent->listener) == 0)
		agent->is_full = false;
}

static bool serve(struct agent *agent, const struct epoll_event *events, int nevents)
{
	for (int i = 0; i < nevents; i++) {
		if (events[i].data.u64 == (uint64_t)agent->signals)
			return false;
		if (events[i].data.u64 == (uint64_t)agent->listener)
			accept_all(agent);
		else
			connection_ready(agent, events[i].data.ptr, events[i].events);
	}
	return true;
}

void agent_run(struct agent *agent)
{
	struct epoll_event events[EVENTS];
	uint64_t tick_at = agent_now_ms() + TICK_MS;

	for (;;) {
		uint64_t now_ms = agent_now_ms();
		if (now_ms >= tick_at) {
			tick(agent, now_ms);
			tick_at = now_ms + TICK_MS;
		}
		bool is_idle = agent->nconnections == 0 && !agent->is_full;
		int wait_ms = is_idle ? -1 : (int)(tick_at - now_ms);
		int nevents = epoll_wait(agent->epoll, events, EVENTS, wait_ms);
		if (nevents < 0 && errno != EINTR)
			return (void)failed("wait for", "the sockets");
		if (nevents > 0 && !serve(agent, events, nevents))
			return;
	}
}
