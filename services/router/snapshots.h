/* snapshots - /v1/agent/snapshots and /v1/agent/hand-over: what is saved of the owner's agent, as its sandbox says, and the word to save, restore, discard,
 * leave to the next owner, take from the one before. Each call carries the session's token: the sandbox judges it itself. */
#ifndef ROUTER_SNAPSHOTS_H
#define ROUTER_SNAPSHOTS_H

#include "services/router/api.h"

/* With follow=1: snapshot_follow. */
void snapshots_list(struct api_call *call, const struct session_check_rsp *session);
void snapshots_make(struct api_call *call, const struct session_check_rsp *session);
void snapshots_restore(struct api_call *call, const struct session_check_rsp *session);
void snapshots_discard(struct api_call *call, const struct session_check_rsp *session);
void snapshots_hand_over(struct api_call *call, const struct session_check_rsp *session);
void snapshots_accept(struct api_call *call, const struct session_check_rsp *session);
void snapshots_refuse(struct api_call *call, const struct session_check_rsp *session);

#endif
