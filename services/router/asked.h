/* asked - what a proxy's sub-request says of the client's request, and every refusal that needs no session. Pure: no I/O. */
#ifndef ROUTER_ASKED_H
#define ROUTER_ASKED_H

#include "services/router/cookie.h"
#include "services/router/host.h"

/* The headers that decide; any other is ignored. From ORIGINAL_HOST to HOST_OVERRIDE: those that name a host to some proxy. */
#define ASKED_HEADERS(X) \
	X(HOST, "Host") \
	X(ORIGINAL_HOST, "X-Original-Host") \
	X(FORWARDED_HOST, "X-Forwarded-Host") \
	X(FORWARDED, "Forwarded") \
	X(XHOST, "X-Host") \
	X(HOST_OVERRIDE, "X-HTTP-Host-Override") \
	X(ORIGINAL_METHOD, "X-Original-Method") \
	X(FORWARDED_METHOD, "X-Forwarded-Method") \
	X(COOKIE, "Cookie") \
	X(ORIGIN, "Origin") \
	X(UPGRADE, "Upgrade") \
	X(WEBSOCKET_KEY, "Sec-WebSocket-Key") \
	X(SERVICE_WORKER, "Service-Worker") \
	X(FETCH_SITE, "Sec-Fetch-Site")
enum asked_header {
#define ASKED_ENUM(name, text) ASKED_##name,
	ASKED_HEADERS(ASKED_ENUM)
#undef ASKED_ENUM
	    ASKED_NHEADERS
};

struct asked_dialect {
	const char *name;
	enum asked_header host;   /* the only header that says which host was asked for */
	enum asked_header method; /* ASKED_HOST: the sub-request's own method */
	bool only_200_401_403;    /* other statuses do not survive the proxy */
	bool path_is_prefix;      /* the original path follows the endpoint's */
};
/* NULL if there is none of that name. */
const struct asked_dialect *asked_dialect(const char *name);

struct asked {
	const char *header[ASKED_NHEADERS]; /* borrowed */
	bool repeated;                      /* one that must be single, Cookie aside, is not */
	struct cookies cookies;
};
void asked_init(struct asked *asked);
void asked_add(struct asked *asked, const char *name, const char *value); /* keeps value */
/* The session presented: the agent's cookie; text NULL if there is none. The console's is not for here. */
struct cookie_value asked_session(const struct asked *asked);

/* It is for a service worker's script. Whether the agent's owner allows one is known with its place. */
bool asked_is_worker(const struct asked *asked);

enum asked_verdict {
	ASKED_GO_ON,           /* a session is presented: judge it */
	ASKED_UNAUTHENTICATED, /* none, one of ours twice, or nothing that could be a token */
	ASKED_HOST_REFUSED,
	ASKED_ORIGIN_REFUSED,
};
/* own_method is the sub-request's. Fills agent_r unless ASKED_HOST_REFUSED. Says the same for every agent, existing or not. */
enum asked_verdict asked_judge(const struct asked *asked, const struct asked_dialect *dialect,
    const struct host_names *names, const char *own_method, char agent_r[AGENT_ID_LEN + 1]);

#endif
