/* problem - how a refusal becomes HTTP (RFC 9457): one table from reason, else from error code, to status, code and sentence. */
#ifndef ROUTER_PROBLEM_H
#define ROUTER_PROBLEM_H

#include <jansson.h>

#include "common/error.h"
#include "common/http_server.h"

struct problem {
	const char *code; /* the reason; stable, snake_case */
	int status;
	unsigned retry_after_s; /* if the error brings no advice of its own; 0: none */
	const char *detail;
};

/* The row for an error; an unknown reason falls back to the error's code. */
const struct problem *problem_of(const struct error *err);
/* By its code, which must be in the table. */
const struct problem *problem_named(const char *code);

/* A text for people is passed on only with ERR_INVALID, where it speaks of the request itself: without the name of the call that bus puts before it. */
const char *problem_detail(const struct error *err);

/* Answers the request. */
void problem_reply(struct http_request *request, const struct error *err);
void problem_reply_named(struct http_request *request, const char *code);
/* With members of its own, which it consumes; detail NULL: the table's. */
void problem_reply_more(
    struct http_request *request, const char *code, const char *detail, json_t *more);

#endif
