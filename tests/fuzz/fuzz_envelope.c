/* Whole frames, as a peer with a valid key may send them. The first byte says which way: a request to a server of every call there is, from
 * the roles in the second byte, or a reply to the call that the second byte numbers. Whatever it holds: a handler is reached only by a caller
 * on its call's list, before its deadline, with a body that goes back into the same message; and a refusal can be told. */
#include <stdlib.h>
#include <string.h>

#include "common/bus_internal.h"
#include "common/codec.h"
#include "proto/registry.h"

#define NOW_MS UINT64_C(1700000000000)
#define CALLS_MAX 64

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct bus_route routes[CALLS_MAX];
static struct bus_routes table = {.routes = routes};

static void must(bool fact)
{
	if (!fact)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(proto_ncalls <= CALLS_MAX);
	for (size_t i = 0; i < proto_ncalls; i++)
		routes[i].call = proto_calls[i];
	table.nroutes = proto_ncalls;
	return 0;
}

/* What was served encodes, and is served again as the same. */
static void check_served(const struct bus_peer *peer, const struct bus_frame *frame)
{
	const struct proto_message *message = frame->route->call->req;
	struct bus_frame again;
	struct error err = {0};
	msgpack_sbuffer buf;

	must(frame->route->call->callers & peer->roles);
	must(frame->envelope.id != 0 && frame->envelope.version == PROTO_VERSION);
	must(frame->envelope.deadline > NOW_MS &&
	     frame->envelope.deadline <= NOW_MS + BUS_LEFT_MAX_MS);
	msgpack_sbuffer_init(&buf);
	must(bus_frame_encode_request(&buf, &frame->envelope, message, frame->req, &err) == 0);
	must(bus_frame_judge(&table, peer, buf.data, buf.size, &again, &err) == BUS_SERVE);
	must(memcmp(again.req, frame->req, message->size) == 0);
	bus_frame_clear(&again);
	msgpack_sbuffer_destroy(&buf);
}

static void check_refused(const struct bus_frame *frame, const struct error *err)
{
	struct envelope_reply reply = bus_frame_error(frame->envelope.id, NOW_MS, err), read;
	struct error bug = {0};
	struct wire body;
	msgpack_sbuffer buf;

	must(err->code == ERR_INVALID || err->code == ERR_DENIED);
	msgpack_sbuffer_init(&buf);
	must(bus_frame_encode_reply(&buf, &reply, NULL, NULL, &bug) == 0);
	must(bus_frame_read_reply(buf.data, buf.size, &read, &body, &bug) == 0);
	must(wire_at_end(&body) && read.id == frame->envelope.id);
	msgpack_sbuffer_destroy(&buf);
}

static void try_request(unsigned roles, const uint8_t *bytes, size_t len)
{
	struct bus_peer peer = {.roles = roles, .now_ms = NOW_MS};
	struct bus_frame frame;
	struct error err = {0};
	enum bus_fate fate = bus_frame_judge(&table, &peer, bytes, len, &frame, &err);

	if (fate == BUS_SERVE)
		check_served(&peer, &frame);
	else
		must(!frame.req);
	if (fate == BUS_REFUSE)
		check_refused(&frame, &err);
	bus_frame_clear(&frame);
}

static void try_reply(const struct proto_call *call, const uint8_t *bytes, size_t len)
{
	struct envelope_reply envelope;
	struct error err = {0};
	struct wire body;

	if (bus_frame_read_reply(bytes, len, &envelope, &body, &err) < 0)
		return;
	void *rsp = bus_frame_outcome(call, &envelope, &body, &err);
	must(rsp || err.code != ERR_NONE);
	must(!rsp || strcmp(envelope.status, "ok") == 0);
	free(rsp);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size < 2)
		return 0;
	/* a copy of just that size, so that reading past it is seen */
	size_t len = size - 2;
	uint8_t *frame = calloc(1, len + !len);
	must(frame);
	memcpy(frame, bytes + 2, len);
	if (bytes[0] & 1)
		try_reply(proto_calls[bytes[1] % proto_ncalls], frame, len);
	else
		try_request(bytes[1], frame, len);
	free(frame);
	return 0;
}
