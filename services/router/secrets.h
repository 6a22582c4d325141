/* secrets - /v1/secrets, /v1/llm/keys: values go in and never come out. */
#ifndef ROUTER_SECRETS_H
#define ROUTER_SECRETS_H

#include "services/router/api.h"

void secrets_list(struct api_call *call, const struct session_check_rsp *session);
void secrets_put(struct api_call *call, const struct session_check_rsp *session);
void secrets_delete(struct api_call *call, const struct session_check_rsp *session);
void secrets_keys(struct api_call *call, const struct session_check_rsp *session);

#endif
