#include "common/envelope.h"

PROTO_DEFINE_MESSAGE(envelope_request, "request", envelope_request_FIELDS)
PROTO_DEFINE_MESSAGE(envelope_reply, "reply", envelope_reply_FIELDS)
