#include <msgpack/pack.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bus_internal.h"
#include "common/codec.h"

#define RETRY_AFTER_MAX_S 86400

BUS_CALLS(PROTO_DEFINE)

static const struct bus_route *find(const struct bus_routes *routes, const char *call)
{
	for (size_t i = 0; i < routes->nroutes; i++)
		if (strcmp(routes->routes[i].call->name, call) == 0)
			return &routes->routes[i];
	return strcmp(bus_ping_route.call->name, call) == 0 ? &bus_ping_route : NULL;
}

/* Everything but the body: an answer may tell why, a caller who may not call learns nothing of the call's shape. */
static int admit(const struct bus_routes *routes, const struct bus_peer *peer,
    struct bus_frame *frame, struct error *err)
{
	if (peer->roles == 0)
		return error_set(err, ERR_DENIED, "key is not listed");
	if (frame->envelope.version != PROTO_VERSION)
		return error_set(err, ERR_INVALID, "unknown protocol version");
	frame->route = find(routes, frame->envelope.call);
	if (!frame->route)
		return error_set(err, ERR_INVALID, "unknown call");
	if (!(frame->route->call->callers & peer->roles))
		return error_set(err, ERR_DENIED, "not on the call's list");
	return 0;
}

static int read_body(struct wire *wire, struct bus_frame *frame, struct error *err)
{
	const struct proto_message *message = frame->route->call->req;

	/* a call without fields has a struct of no size */
	frame->req = malloc(message->size + 1);
	bug_if(!frame->req);
	if (codec_decode(message, wire, frame->req, err) == 0 && wire_at_end(wire))
		return 0;
	if (!wire->bad)
		error_set(err, ERR_INVALID, "%s: bytes after the body", message->name);
	bus_frame_clear(frame);
	return -1;
}

enum bus_fate bus_frame_judge(const struct bus_routes *routes, const struct bus_peer *peer,
    const void *bytes, size_t len, struct bus_frame *frame_r, struct error *err)
{
	struct wire wire;
	struct bus_frame *frame = frame_r;

	*frame = (struct bus_frame){0};
	wire_init(&wire, bytes, len);
	if (codec_decode(&envelope_request_message, &wire, &frame->envelope, err) < 0 ||
	    admit(routes, peer, frame, err) < 0)
		return BUS_REFUSE;
	if (frame->envelope.deadline <= peer->now_ms)
		return BUS_DROP;
	if (frame->envelope.deadline - peer->now_ms > BUS_LEFT_MAX_MS)
		frame->envelope.deadline = peer->now_ms + BUS_LEFT_MAX_MS;
	return read_body(&wire, frame, err) < 0 ? BUS_REFUSE : BUS_SERVE;
}

void bus_frame_clear(struct bus_frame *frame)
{
	if (!frame->req)
		return;
	codec_wipe(frame->route->call->req, frame->req);
	free(frame->req);
	frame->req = NULL;
}

int bus_frame_encode_request(msgpack_sbuffer *buf, const struct envelope_request *envelope,
    const struct proto_message *message, const void *req, struct error *err)
{
	if (codec_encode(&envelope_request_message, envelope, buf, err) < 0 ||
	    codec_encode(message, req, buf, err) < 0)
		return -1;
	if (buf->size > BUS_FRAME_MAX)
		return error_set(err, ERR_INTERNAL, "%s: too large for a frame", message->name);
	return 0;
}

int bus_frame_encode_reply(msgpack_sbuffer *buf, const struct envelope_reply *envelope,
    const struct proto_message *message, const void *rsp, struct error *err)
{
	if (codec_encode(&envelope_reply_message, envelope, buf, err) < 0)
		return -1;
	if (message && codec_encode(message, rsp, buf, err) < 0)
		return -1;
	if (buf->size > BUS_FRAME_MAX)
		return error_set(err, ERR_INTERNAL, "%s: too large for a frame",
		    message ? message->name : "reply");
	return 0;
}

/* Cut to size bytes with its NUL and to whole characters; text that is not UTF-8 is left out. */
static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
	for (int half = 0; half < 3 && !utf8_is_valid(to, strlen(to)); half++)
		to[strlen(to) - 1] = '\0';
	if (!utf8_is_valid(to, strlen(to)))
		to[0] = '\0';
}

struct envelope_reply bus_frame_error(uint64_t id, uint64_t clock_ms, const struct error *err)
{
	struct envelope_reply reply = {.version = PROTO_VERSION, .id = id, .clock = clock_ms};
	enum error_code code = err->code == ERR_NONE ? ERR_INTERNAL : err->code;

	copy_text(reply.status, sizeof(reply.status), error_name(code));
	copy_text(reply.reason, sizeof(reply.reason), err->reason);
	if (code == ERR_INVALID)
		copy_text(reply.text, sizeof(reply.text), err->text);
	if (code == ERR_BUSY || code == ERR_UNAVAILABLE)
		reply.retry_after_s =
		    err->retry_after_s < RETRY_AFTER_MAX_S ? err->retry_after_s : RETRY_AFTER_MAX_S;
	return reply;
}

int bus_frame_read_reply(const void *bytes, size_t len, struct envelope_reply *envelope_r,
    struct wire *body_r, struct error *err)
{
	wire_init(body_r, bytes, len);
	if (codec_decode(&envelope_reply_message, body_r, envelope_r, err) < 0)
		return -1;
	if (envelope_r->version != PROTO_VERSION)
		return error_set(err, ERR_INVALID, "reply: unknown protocol version");
	return 0;
}

/* What a server that refuses says of itself, for our log and our caller. */
static void take_error(
    const struct proto_call *call, const struct envelope_reply *envelope, struct error *err)
{
	enum error_code code = error_from_name(envelope->status);

	error_refuse(err, code, envelope->reason, "%s: %s%s%s", call->name, envelope->status,
	    envelope->text[0] ? ": " : "", envelope->text);
	if (err)
		err->retry_after_s = (unsigned)envelope->retry_after_s;
}

void *bus_frame_outcome(const struct proto_call *call, const struct envelope_reply *envelope,
    struct wire *body, struct error *err)
{
	if (strcmp(envelope->status, error_name(ERR_NONE)) != 0) {
		take_error(call, envelope, err);
		return NULL;
	}
	void *rsp = malloc(call->rsp->size + 1);
	bug_if(!rsp);
	if (codec_decode(call->rsp, body, rsp, err) == 0 && wire_at_end(body))
		return rsp;
	codec_wipe(call->rsp, rsp);
	free(rsp);
	error_set(err, ERR_INTERNAL, "%s: reply breaks its declaration", call->name);
	return NULL;
}

void bus_buffer_wipe(msgpack_sbuffer *buf)
{
	if (buf->data)
		sodium_memzero(buf->data, buf->size);
	buf->size = 0;
}
