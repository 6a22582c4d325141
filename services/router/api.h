/* api - the JSON API behind nginx: one table of routes, and everything that is the same for each (http-api.md): 404, 405, Content-Type,
 * Origin, session, security headers, problems.
 *
 * Text from the chain (names) leaves as JSON strings: JSON's escaping is all the API owes it, showing it safely is the client's part.
 */
#ifndef ROUTER_API_H
#define ROUTER_API_H

#include <jansson.h>

#include "common/clock.h"
#include "common/http_server.h"
#include "proto/session.h"
#include "services/router/cookie.h"
#include "services/router/route.h"
#include "services/router/router.h"

enum api_flag {
	API_SESSION = 1, /* a good session of the console is needed */
	API_TO_END =
	    2, /* with API_SESSION: the request ends sessions, which needs no fresh knowledge */
	API_LOOK = 4,    /* with API_SESSION: wants session's own answer, not one from the table */
	API_CHANGES = 8, /* Origin is checked */
	API_BODY =
	    16, /* a JSON object is needed; without it only {} may be sent; Content-Type is checked */
};

/* One request on its way; ended by exactly one of api_reply, api_reply_empty, api_refuse, api_done. */
struct api_call {
	struct router *router;
	struct http_request *request;
	const struct api_route *route;
	char ip[46];                      /* the client's, by nginx: API_IP_SIZE */
	char token[COOKIE_TOKEN_MAX + 1]; /* "" if none was presented */
	struct route_arguments arguments; /* of the path */
	uint8_t asset[PUBKEY_LEN];        /* with API_SESSION: the session's */
	uint64_t exp_ms; /* with API_SESSION and API_LOOK or a miss: 0 if unknown */
	json_t *body;    /* with API_BODY */
	/* a handler's own, between its questions */
	uint64_t wanted;
	char text[PUBKEY_TEXT_MAX + 1];
};

struct api_route {
	const char *method, *path; /* route.h says what a pattern is */
	unsigned flags;
	/* session: borrowed for the call; always there with API_LOOK, else perhaps NULL. */
	void (*handler)(struct api_call *call, const struct session_check_rsp *session);
};

struct http_server *api_new(struct router *router, struct error *err); /* caller owns the result */

void api_reply(struct api_call *call, int status, json_t *body); /* consumes body */
void api_reply_empty(struct api_call *call, int status);
void api_refuse(struct api_call *call, const struct error *err);
void api_refuse_named(struct api_call *call, const char *code);
void api_done(struct api_call *call); /* the request itself was answered or taken over */

/* The body's members, all strings. A member that no field names, a missing or overlong one: body_invalid. */
struct api_field {
	const char *name;
	char *text; /* stays as it is if an optional member is absent */
	size_t size;
	bool is_optional;
};
int api_fields(
    const struct api_call *call, const struct api_field *fields, size_t nfields, struct error *err);
/* The body held a secret: it is gone now, not only when the answer comes. */
void api_forget_body(struct api_call *call);

/* Time as the API writes it. */
json_t *api_time(uint64_t unix_ms);
/* The client's address, by nginx. ERR_INVALID. */
#define API_IP_SIZE 46
int api_client(const struct http_request *request, char ip_r[API_IP_SIZE], struct error *err);
/* The client's User-Agent in printable ASCII, cut to size - 1. */
void api_user_agent(const struct http_request *request, char *text, size_t size);

#endif
