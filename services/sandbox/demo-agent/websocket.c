#include "services/sandbox/demo-agent/websocket.h"

#include <string.h>

#include "services/sandbox/demo-agent/sha1.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define KEY_LEN 24
#define CONTROL_MAX 125

static const char status_protocol[2] = {0x03, (char)0xea}; /* 1002 */
static const char status_not_utf8[2] = {0x03, (char)0xef}; /* 1007 */
static const char status_too_long[2] = {0x03, (char)0xf1}; /* 1009 */

static void base64(const uint8_t *bytes, size_t len, char *text)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		uint32_t group = (uint32_t)bytes[i] << 16;
		if (i + 1 < len)
			group |= (uint32_t)bytes[i + 1] << 8;
		if (i + 2 < len)
			group |= bytes[i + 2];
		*text++ = digits[group >> 18];
		*text++ = digits[group >> 12 & 63];
		*text++ = digits[group >> 6 & 63];
		*text++ = digits[group & 63];
	}
	if (len % 3 > 0)
		text[-1] = '=';
	if (len % 3 == 1)
		text[-2] = '=';
	*text = '\0';
}

void websocket_accept(const char *key, char accept_r[WEBSOCKET_ACCEPT_LEN + 1])
{
	char text[KEY_LEN + sizeof(GUID) - 1];
	uint8_t digest[SHA1_LEN];

	memcpy(text, key, KEY_LEN);
	memcpy(text + KEY_LEN, GUID, sizeof(GUID) - 1);
	sha1(text, sizeof(text), digest);
	base64(digest, sizeof(digest), accept_r);
}

struct frame {
	bool is_last;
	uint8_t opcode;
	size_t head_len, len;
	uint8_t mask[4];
};

/* 0: not whole yet; 1: read; -1: against the rules; -2: too long */
static int read_head(const uint8_t *bytes, size_t have, struct frame *frame)
{
	if (have < 2)
		return 0;
	frame->is_last = bytes[0] & 0x80;
	frame->opcode = bytes[0] & 0x0f;
	size_t len = bytes[1] & 0x7f, head = len == 126 ? 8 : 6;
	if ((bytes[0] & 0x70) || !(bytes[1] & 0x80))
		return -1;
	if (frame->opcode >= WEBSOCKET_CLOSE && (len > CONTROL_MAX || !frame->is_last))
		return -1;
	if (len == 127)
		return -2;
	if (have < head)
		return 0;
	if (len == 126)
		len = (size_t)bytes[2] << 8 | bytes[3];
	if (len > WEBSOCKET_MESSAGE_MAX)
		return -2;
	memcpy(frame->mask, bytes + head - 4, 4);
	frame->head_len = head;
	frame->len = len;
	return have < head + len ? 0 : 1;
}

static void close_with(struct websocket_event *event_r, const char status[2])
{
	*event_r = (struct websocket_event){WEBSOCKET_CLOSE, status, 2};
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool is_utf8(const char *text, size_t len)
{
	const uint8_t *at = (const uint8_t *)text, *end = at + len;

	while (at < end) {
		size_t more = *at < 0x80 ? 0 : *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : 3;
		if (more && (*at < 0xc2 || *at > 0xf4 || (size_t)(end - at) <= more))
			return false;
		if ((*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f) ||
		    (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f))
			return false;
		for (size_t i = 1; i <= more; i++)
			if ((at[i] & 0xc0) != 0x80)
				return false;
		at += more + 1;
	}
	return true;
}

/* A part of a message: kept until the last one comes. */
static void take_part(struct websocket *websocket, const struct frame *frame, const char *bytes,
    struct websocket_event *event_r)
{
	bool begins = frame->opcode != WEBSOCKET_MORE;

	if (begins == (websocket->opcode != 0)) {
		close_with(event_r, status_protocol);
		return;
	}
	if (begins) {
		websocket->opcode = frame->opcode;
		websocket->len = 0;
	}
	if (frame->len > sizeof(websocket->message) - websocket->len) {
		close_with(event_r, status_too_long);
		return;
	}
	memcpy(websocket->message + websocket->len, bytes, frame->len);
	websocket->len += frame->len;
	if (!frame->is_last)
		return;
	*event_r = (struct websocket_event){websocket->opcode, websocket->message, websocket->len};
	if (websocket->opcode == WEBSOCKET_TEXT && !is_utf8(websocket->message, websocket->len))
		close_with(event_r, status_not_utf8);
	websocket->opcode = 0;
}

size_t websocket_take(
    struct websocket *websocket, char *bytes, size_t len, struct websocket_event *event_r)
{
	struct frame frame;
	int whole = read_head((const uint8_t *)bytes, len, &frame);

	*event_r = (struct websocket_event){0};
	if (whole < 0) {
		close_with(event_r, whole == -1 ? status_protocol : status_too_long);
		return len;
	}
	if (whole == 0)
		return 0;
	char *data = bytes + frame.head_len;
	for (size_t i = 0; i < frame.len; i++)
		data[i] = (char)((uint8_t)data[i] ^ frame.mask[i % 4]);
	if (frame.opcode <= WEBSOCKET_BINARY)
		take_part(websocket, &frame, data, event_r);
	else if (frame.opcode >= WEBSOCKET_CLOSE && frame.opcode <= WEBSOCKET_PONG)
		*event_r = (struct websocket_event){frame.opcode, data, frame.len};
	else
		close_with(event_r, status_protocol);
	return frame.head_len + frame.len;
}

size_t websocket_frame(uint8_t opcode, size_t len, char head_r[4])
{
	head_r[0] = (char)(0x80 | opcode);
	if (len < 126) {
		head_r[1] = (char)len;
		return 2;
	}
	head_r[1] = 126;
	head_r[2] = (char)(len >> 8);
	head_r[3] = (char)len;
	return 4;
}
