/* snapshot_json - what sandbox says of snapshots, as the API writes it, and what the API is told, as sandbox takes it. Pure. */
#ifndef ROUTER_SNAPSHOT_JSON_H
#define ROUTER_SNAPSHOT_JSON_H

#include <jansson.h>

#include "common/error.h"
#include "proto/sandbox.h"

/* Each answer is the caller's, and NULL if JSON cannot say it. */

/* Of GET /v1/agent: the newest one and why the last try made none; null if there was never a try. */
json_t *snapshot_json_newest(const struct sandbox_state_rsp *agent);
/* Of GET /v1/agent/snapshots. */
json_t *snapshot_json_list(const struct sandbox_snapshots_rsp *found);
/* {"under_way": …} alone, of any reply that begins with SANDBOX_PROGRESS. */
json_t *snapshot_json_progress(const struct sandbox_hand_over_rsp *progress);
/* The one of this number, or the newest if it is not there; NULL if there is none. */
json_t *snapshot_json_one(const struct sandbox_snapshots_rsp *found, uint64_t id);

/* An outcome that is a refusal: the problem's code, and the members that belong to it (NULL: none), the caller's. NULL: it is none. An outcome that
 * nobody told us about is "internal". */
const char *snapshot_json_problem(
    const struct sandbox_hand_over_rsp *progress, const char **detail_r, json_t **more_r);

/* The body of POST /v1/agent/hand-over: {"roots": [text, …]} and nothing else. ERR_INVALID body_invalid. */
int snapshot_json_roots(const json_t *body, struct sandbox_hand_over_req *req, struct error *err);

#endif
