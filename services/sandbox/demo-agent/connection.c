#include "services/sandbox/demo-agent/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "services/sandbox/demo-agent/answer.h"
#include "services/sandbox/demo-agent/chat.h"

#define HEAD_MS 15000 /* for the whole head */
#define STALL_MS 60000
#define LINGER_MS 2000
#define SCRATCH 65536

bool connection_new(struct agent *agent, int fd)
{
	struct connection *connection = malloc(sizeof(*connection));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

	if (!connection || epoll_ctl(agent->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
		free(connection);
		close(fd);
		return false;
	}
	/* the buffers behind are written before they are read, and cost nothing until then */
	memset(connection, 0, offsetof(struct connection, in));
	connection->fd = fd;
	connection->watched = EPOLLIN;
	connection->deadline_ms = agent_now_ms() + HEAD_MS;
	connection->next = agent->connections;
	if (connection->next)
		connection->next->previous = connection;
	agent->connections = connection;
	agent->nconnections++;
	return true;
}

void connection_destroy(struct agent *agent, struct connection *connection)
{
	if (connection->next)
		connection->next->previous = connection->previous;
	if (connection->previous)
		connection->previous->next = connection->next;
	else
		agent->connections = connection->next;
	agent->nconnections--;
	close(connection->fd);
	free(connection->memory);
	free(connection->websocket);
	free(connection->owned);
	free(connection);
}

struct connection *connection_next(const struct connection *connection)
{
	return connection->next;
}

bool connection_write(struct connection *connection, const void *bytes, size_t len)
{
	if (connection->out_at > 0) {
		connection->out_len -= connection->out_at;
		memmove(connection->out, connection->out + connection->out_at, connection->out_len);
		connection->out_at = 0;
	}
	if (len > sizeof(connection->out) - connection->out_len)
		return false;
	memcpy(connection->out + connection->out_len, bytes, len);
	connection->out_len += len;
	return true;
}

/* ---- sending ---- */

static void sent(struct connection *connection, size_t len)
{
	size_t of_out = connection->out_len - connection->out_at;

	of_out = len < of_out ? len : of_out;
	connection->out_at += of_out;
	connection->tail += len - of_out;
	connection->tail_len -= len - of_out;
	if (connection->out_at == connection->out_len)
		connection->out_at = connection->out_len = 0;
	if (connection->stage == STAGE_ANSWER || connection->stage == STAGE_CLOCK)
		connection->deadline_ms = agent_now_ms() + STALL_MS;
}

/* Sends what there is. false: the connection is dead. */
static bool flush(struct connection *connection)
{
	for (int rounds = 0; rounds < 4; rounds++) {
		if (connection->tail_len == 0 && connection->source_left > 0)
			answer_more(connection);
		struct iovec parts[] = {{connection->out + connection->out_at,
					    connection->out_len - connection->out_at},
		    {(void *)(uintptr_t)connection->tail, connection->tail_len}};
		if (parts[0].iov_len + parts[1].iov_len == 0)
			return true;
		ssize_t n = writev(connection->fd, parts, 2);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		sent(connection, (size_t)n);
	}
	return true;
}

static bool has_output(const struct connection *connection)
{
	return connection->out_len > 0 || connection->tail_len > 0 || connection->source_left > 0;
}

/* ---- receiving ---- */

static bool take_body(
    struct agent *agent, struct connection *connection, const char *bytes, size_t len)
{
	const char *at = bytes, *end = bytes + len;

	do {
		size_t data_len;
		const char *data = body_take(&connection->body, &at, end, &data_len);
		if (!answer_data(connection, data, data_len))
			return true;
	} while (
	    at < end && connection->body.state != BODY_DONE && connection->body.state != BODY_BAD);
	if (connection->body.state == BODY_DONE || connection->body.state == BODY_BAD)
		answer_body(agent, connection);
	return true;
}

static void take_head(struct agent *agent, struct connection *connection)
{
	size_t head_len = request_head_len(connection->in, connection->in_len);
	struct request request;

	if (head_len == 0) {
		if (connection->in_len == sizeof(connection->in))
			answer_refuse(connection, 431);
		return;
	}
	connection->deadline_ms = agent_now_ms() + STALL_MS;
	int status = request_parse(connection->in, head_len, &request);
	if (status)
		answer_refuse(connection, status);
	else
		answer_request(agent, connection, &request);
	connection->in_len -= head_len;
	memmove(connection->in, connection->in + head_len, connection->in_len);
	if (connection->stage != STAGE_BODY)
		return;
	size_t len = connection->in_len;
	connection->in_len = 0;
	take_body(agent, connection, connection->in, len);
}

/* To the buffer that belongs to the stage. 0: the client ended. */
static ssize_t receive(struct connection *connection, char *scratch, char **bytes_r)
{
	bool is_kept = connection->stage == STAGE_HEAD || connection->stage == STAGE_WEBSOCKET;

	*bytes_r = is_kept ? connection->in + connection->in_len : scratch;
	return recv(connection->fd, *bytes_r,
	    is_kept ? sizeof(connection->in) - connection->in_len : SCRATCH, 0);
}

static bool take_input(struct agent *agent, struct connection *connection)
{
	static char scratch[SCRATCH];
	char *bytes;
	ssize_t n = receive(connection, scratch, &bytes);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	if (connection->stage == STAGE_BODY) {
		connection->deadline_ms = agent_now_ms() + STALL_MS;
		return take_body(agent, connection, bytes, (size_t)n);
	}
	if (connection->stage == STAGE_HEAD) {
		connection->in_len += (size_t)n;
		take_head(agent, connection);
	} else if (connection->stage == STAGE_WEBSOCKET) {
		connection->in_len += (size_t)n;
		chat_heard(connection);
	}
	return true;
}

/* ---- events ---- */

static bool wants_input(const struct connection *connection)
{
	switch (connection->stage) {
	case STAGE_WEBSOCKET:
		return connection->in_len < sizeof(connection->in) && chat_has_room(connection);
	case STAGE_CLOCK:
	case STAGE_ANSWER:
		return false;
	default:
		return true;
	}
}

static bool settle(struct agent *agent, struct connection *connection)
{
	bool is_alive = flush(connection);

	/* what is flushed makes room to answer more */
	while (is_alive && connection->stage == STAGE_WEBSOCKET && chat_answer(connection))
		is_alive = flush(connection);
	if (!is_alive)
		return false;
	if (connection->stage == STAGE_ANSWER && !has_output(connection)) {
		if (shutdown(connection->fd, SHUT_WR) != 0)
			return false;
		connection->stage = STAGE_LINGER;
		connection->deadline_ms = agent_now_ms() + LINGER_MS;
	}
	/* a clock has nothing to say for most of the time: an end is seen by its own event */
	uint32_t wanted = (has_output(connection) ? EPOLLOUT : 0u) |
			  (wants_input(connection) ? EPOLLIN : 0u) |
			  (connection->stage == STAGE_CLOCK ? EPOLLRDHUP : 0u);
	struct epoll_event event = {.events = wanted, .data.ptr = connection};
	if (wanted == connection->watched)
		return true;
	connection->watched = wanted;
	return epoll_ctl(agent->epoll, EPOLL_CTL_MOD, connection->fd, &event) == 0;
}

void connection_ready(struct agent *agent, struct connection *connection, uint32_t events)
{
	bool is_alive = !(events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP));

	if (is_alive && (events & EPOLLIN))
		is_alive = take_input(agent, connection);
	if (!is_alive || !settle(agent, connection))
		connection_destroy(agent, connection);
}

void connection_tick(struct agent *agent, struct connection *connection, uint64_t now_ms)
{
	bool is_alive = now_ms < connection->deadline_ms;

	if (is_alive && connection->stage == STAGE_CLOCK)
		answer_tick(connection);
	if (is_alive && connection->stage == STAGE_WEBSOCKET)
		chat_tick(connection, now_ms);
	if (!is_alive || !settle(agent, connection))
		connection_destroy(agent, connection);
}
