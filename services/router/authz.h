/* authz - the decision endpoint on a listener of its own, for a proxy's sub-request: may this request go to this agent? (http-api, "Decision
 * endpoint".) One dialect per listener, one host header per dialect.
 *
 *	nginx    auth_request: X-Original-Host, X-Original-Method. Only 200, 401, 403 survive nginx's sub-request, so any other status is
 *	         403 with X-Multiclaw-Status. Bodies are empty: nginx writes them.
 *	traefik  ForwardAuth: X-Forwarded-Host, X-Forwarded-Method.
 *	envoy    ext_authz over HTTP with path prefix /authz: the request's own Host and method.
 *
 * Every refusal names its X-Multiclaw-Reason.
 */
#ifndef ROUTER_AUTHZ_H
#define ROUTER_AUTHZ_H

#include "common/error.h"

struct router;
struct authz;
/* Reads listener, dialect and upstream from the router's settings; keeps router. Caller owns the result. */
struct authz *authz_new(struct router *router, struct error *err);
void authz_destroy(struct authz **authz);

#endif
