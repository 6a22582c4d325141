/* snapshot_follow - GET /v1/agent/snapshots?follow=1: how far a snapshot or a restore is, as server-sent events (stream.h).
 *
 *	event: progress		data: {"under_way"} as the list has it, at each change
 *	event: done		data: the whole list; nothing is under way, and the stream ends
 */
#ifndef ROUTER_SNAPSHOT_FOLLOW_H
#define ROUTER_SNAPSHOT_FOLLOW_H

#include "services/router/api.h"

void snapshot_follow(struct api_call *call);

#endif
