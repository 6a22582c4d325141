/* usage - /v1/llm/usage: what the agent used of LLM providers, and by what it is limited, as the gateways have counted it in Redis. Of the session's own wallet
 * alone: what an owner before used is not told. */
#ifndef ROUTER_USAGE_H
#define ROUTER_USAGE_H

#include "common/llm_usage.h"
#include "services/router/api.h"

/* The query: none (7), or days=<1 to 31>. ERR_INVALID query_invalid. */
int usage_days(const char *query, uint64_t *days_r, struct error *err);
/* What is answered. Caller owns the result. Pure. */
json_t *usage_json(const struct llm_usage *usage, uint64_t days);
void usage_show(struct api_call *call, const struct session_check_rsp *session);
/* Those that wait for Redis are answered: nobody else will. */
void usage_stop(struct router *router);

#endif
