/* sessions - GET /v1/session, GET and DELETE /v1/sessions, DELETE /v1/sessions/{jti}. */
#ifndef ROUTER_SESSIONS_H
#define ROUTER_SESSIONS_H

#include "services/router/api.h"

void sessions_show(struct api_call *call, const struct session_check_rsp *session);
void sessions_list(struct api_call *call, const struct session_check_rsp *session);
void sessions_end_one(struct api_call *call, const struct session_check_rsp *session);
void sessions_end_all(struct api_call *call, const struct session_check_rsp *session);

#endif
