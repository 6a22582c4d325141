#include "services/sandbox/demo-agent/chat.h"

#include <stdlib.h>
#include <string.h>

#define SILENCE_MS 90000 /* after which it is taken for dead */
#define PING_MS 30000

bool chat_open(struct connection *connection)
{
	connection->websocket = calloc(1, sizeof(*connection->websocket));
	if (!connection->websocket)
		return false;
	connection->stage = STAGE_WEBSOCKET;
	chat_heard(connection);
	return true;
}

void chat_heard(struct connection *connection)
{
	connection->deadline_ms = agent_now_ms() + SILENCE_MS;
}

bool chat_has_room(const struct connection *connection)
{
	return connection->out_len - connection->out_at <=
	       sizeof(connection->out) - 2 * WEBSOCKET_FRAME_MAX;
}

static void say(struct connection *connection, uint8_t opcode, const char *bytes, size_t len)
{
	char head[4];
	size_t head_len = websocket_frame(opcode, len, head);

	if (connection_write(connection, head, head_len))
		connection_write(connection, bytes, len);
}

static void answer_event(struct connection *connection, const struct websocket_event *event)
{
	switch (event->opcode) {
	case WEBSOCKET_TEXT:
	case WEBSOCKET_BINARY:
		say(connection, event->opcode, event->bytes, event->len);
		break;
	case WEBSOCKET_PING:
		say(connection, WEBSOCKET_PONG, event->bytes, event->len);
		break;
	case WEBSOCKET_CLOSE:
		say(connection, WEBSOCKET_CLOSE, event->bytes, event->len >= 2 ? 2 : 0);
		connection->stage = STAGE_ANSWER;
		break;
	default:
		break;
	}
}

bool chat_answer(struct connection *connection)
{
	size_t at = 0, taken = 1;

	while (taken > 0 && connection->stage == STAGE_WEBSOCKET && chat_has_room(connection)) {
		struct websocket_event event;
		taken = websocket_take(
		    connection->websocket, connection->in + at, connection->in_len - at, &event);
		answer_event(connection, &event);
		at += taken;
	}
	connection->in_len -= at;
	memmove(connection->in, connection->in + at, connection->in_len);
	return at > 0;
}

void chat_tick(struct connection *connection, uint64_t now_ms)
{
	uint64_t silent_ms = SILENCE_MS - (connection->deadline_ms - now_ms);

	if (silent_ms >= PING_MS && chat_has_room(connection))
		say(connection, WEBSOCKET_PING, "", 0);
}
