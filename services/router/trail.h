/* trail - /v1/audit: the owner's audit chain, each entry in the form that `multiclaw audit verify` reads (common/audit.h). */
#ifndef ROUTER_TRAIL_H
#define ROUTER_TRAIL_H

#include "services/router/api.h"

/* The query of GET /v1/audit: none, or after=<seq>. ERR_INVALID query_invalid. */
int trail_after(const char *query, uint64_t *after_r, struct error *err);
void trail_list(struct api_call *call, const struct session_check_rsp *session);

#endif
