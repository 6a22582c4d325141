/* signin - /v1/auth/challenge, /v1/auth/verify, /v1/assets, /v1/auth/logout. */
#ifndef ROUTER_SIGNIN_H
#define ROUTER_SIGNIN_H

#include "proto/auth.h"
#include "services/router/api.h"

/* Asks for the text that req describes, whose ip is filled in, and answers with it. */
void signin_ask(struct api_call *call, struct auth_challenge_req *req);
void signin_challenge(struct api_call *call, const struct session_check_rsp *session);
void signin_verify(struct api_call *call, const struct session_check_rsp *session);
void signin_assets(struct api_call *call, const struct session_check_rsp *session);
void signin_logout(struct api_call *call, const struct session_check_rsp *session);

#endif
