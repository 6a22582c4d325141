/* envelope - what travels around every message on the bus. A frame is two msgpack maps in a row: the envelope, then the body
 * (a reply that is not "ok" has no body). Request id 0 is not used. */
#ifndef COMMON_ENVELOPE_H
#define COMMON_ENVELOPE_H

#include "common/error.h"
#include "common/schema.h"

#define BUS_FRAME_MAX (256 * 1024)
#define TRACE_LEN 16 /* hex characters */

#define envelope_request_FIELDS(F, M) \
	F(M, UINT, version, 1, 1000, MUST, "PROTO_VERSION of the sender") \
	F(M, STR, call, 3, 64, MUST, "name of the call") \
	F(M, UINT, id, 1, UINT64_MAX, MUST, "chosen by the caller, repeated in the reply") \
	F(M, UINT, deadline, 1, UINT64_MAX, MUST, "Unix milliseconds; work is dropped after it") \
	F(M, STR, trace, 0, TRACE_LEN, MAY, "request id of the edge, for the logs")
#define envelope_reply_FIELDS(F, M) \
	F(M, UINT, version, 1, 1000, MUST, "PROTO_VERSION of the sender") \
	F(M, UINT, id, 0, UINT64_MAX, MUST, "of the request; 0 if it could not be read") \
	F(M, STR, status, 2, 24, MUST, "ok, or a code of error.h") \
	F(M, UINT, clock, 1, UINT64_MAX, MUST, "server's Unix milliseconds, to measure skew") \
	F(M, STR, reason, 0, ERROR_REASON_MAX, MAY, "stable name of a refusal") \
	F(M, STR, text, 0, 160, MAY, "for people; only with status invalid") \
	F(M, UINT, retry_after_s, 0, 86400, MAY, "advice with busy and unavailable")

PROTO_DECLARE_MESSAGE(envelope_request, envelope_request_FIELDS)
PROTO_DECLARE_MESSAGE(envelope_reply, envelope_reply_FIELDS)

#endif
