/* websocket - the server's side of RFC 6455: the handshake's answer, and whole messages out of frames. No extensions. */
#ifndef DEMO_AGENT_WEBSOCKET_H
#define DEMO_AGENT_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEBSOCKET_MESSAGE_MAX 4096
#define WEBSOCKET_FRAME_MAX (WEBSOCKET_MESSAGE_MAX + 14)
#define WEBSOCKET_ACCEPT_LEN 28

enum websocket_opcode {
	WEBSOCKET_MORE = 0,
	WEBSOCKET_TEXT = 1,
	WEBSOCKET_BINARY = 2,
	WEBSOCKET_CLOSE = 8,
	WEBSOCKET_PING = 9,
	WEBSOCKET_PONG = 10,
};

struct websocket {
	uint8_t opcode; /* of the message in parts; 0: none has begun */
	size_t len;     /* of it, so far */
	char message[WEBSOCKET_MESSAGE_MAX];
};

struct websocket_event {
	uint8_t opcode;    /* 0: nothing to do yet, more bytes are needed or were only kept */
	const char *bytes; /* borrowed from the websocket or from the bytes it was given */
	size_t len;
};

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key of 24 characters. */
void websocket_accept(const char *key, char accept_r[WEBSOCKET_ACCEPT_LEN + 1]);
/* Takes one frame from the beginning of bytes, unmasking it where it stands. Returns how many bytes it was, 0 if it is not whole yet. Breaking the rules,
 * or a message too long, gives an event of WEBSOCKET_CLOSE whose len is 2: the status to close with. */
size_t websocket_take(
    struct websocket *websocket, char *bytes, size_t len, struct websocket_event *event_r);
/* Writes a frame's head for len bytes (at most WEBSOCKET_MESSAGE_MAX). Returns its length, at most 4. */
size_t websocket_frame(uint8_t opcode, size_t len, char head_r[4]);

#endif
