/* host - which agent a request is for, and whose page sent it. Text is compared byte by byte: no case folding, no escapes, no trailing dot, the
 * port as configured. */
#ifndef ROUTER_HOST_H
#define ROUTER_HOST_H

#include <stdbool.h>

#include "common/origin.h"
#include "common/pubkey.h"

struct host_names {
	char domain[ORIGIN_HOST_MAX + 16];  /* agents' domain with its port: "localhost:8080" */
	char scheme[9];                     /* "http://" or "https://", of agents and console */
	char console[ORIGIN_HOST_MAX + 16]; /* the console's origin */
};

/* From the settings. ERR_INVALID. */
int host_names_init(
    struct host_names *names, const char *public_url, const char *agents_domain, struct error *err);

/* "<32 of a-z2-7>.<agents domain>" and nothing else. */
bool host_parse(const struct host_names *names, const char *host, char agent_r[AGENT_ID_LEN + 1]);
/* Is this Origin the agent's own? */
bool host_is_origin_of(const struct host_names *names, const char *origin, const char *agent);

#endif
