/* body - where a request's body ends, as its bytes come: a length, or chunks (RFC 9112, section 7.1). Keeps nothing of them. */
#ifndef DEMO_AGENT_BODY_H
#define DEMO_AGENT_BODY_H

#include "services/sandbox/demo-agent/request.h"

enum body_state {
	BODY_DATA,
	BODY_SIZE,    /* in a line of hex digits */
	BODY_ENDING,  /* the CRLF after a chunk */
	BODY_TRAILER, /* after the last chunk */
	BODY_DONE,
	BODY_BAD,
};

struct body {
	enum body_state state;
	bool is_chunked;
	uint64_t left;   /* of the length, or of this chunk */
	size_t line_len; /* of the line that is being read; of the whole trailer */
	size_t digits;
	bool in_extension, after_cr, line_is_empty;
};

void body_open(struct body *body_r, const struct request *request);
/* Takes bytes from *at to end up to a stretch of data, which it gives, or to the end: then *len_r is 0. Call again until *at is end, or body->state is
 * BODY_DONE or BODY_BAD. */
const char *body_take(struct body *body, const char **at, const char *end, size_t *len_r);

#endif
