/* status - the one call that every daemon answers, by its skeleton: how am I? Asked by `multiclaw status`. */
#ifndef COMMON_STATUS_H
#define COMMON_STATUS_H

#include "common/schema.h"

#define checks_ITEM(F, M) \
	F(M, STR, name, 1, 32, MUST, "lease, redis, bus, chain ...") \
	F(M, BOOL, ok, 0, 1, MUST, "is it all right") \
	F(M, STR, why, 0, 120, MAY, "a few words")
PROTO_ITEM(checks)

#define service_status_REQ(F, M) PROTO_EMPTY(F, M)
#define service_status_RSP(F, M) \
	F(M, STR, service, 1, 32, MUST, "name of the service") \
	F(M, STR, replica, 1, 64, MUST, "unique name of the process") \
	F(M, STR, version, 1, 32, MUST, "of the program") \
	F(M, BOOL, ready, 0, 1, MUST, "every check is all right") \
	F(M, UINT, started_at, 1, UINT64_MAX, MUST, "Unix milliseconds") \
	F(M, UINT, lease_ms, 0, 60000, MUST, "left of the lease; 0: none") \
	F(M, STR, history, 0, 40, MAY, "of Redis, as last read") \
	F(M, STR, cursor, 0, 42, MAY, "last event handled") \
	F(M, UINT, chain_slot, 0, UINT64_MAX, MUST, "of the last sweep that counted; 0: none") \
	F(M, UINT, chain_age_ms, 0, UINT64_MAX, MUST, \
	    "since that sweep began; the largest number: unknown") \
	F(M, LIST, checks, 0, 16, MUST, "what /readyz shows")
#define SERVICE_CALLS(C) C(service, status, ROLE_OPERATOR_READ, READ, "How is this process?")
SERVICE_CALLS(PROTO_DECLARE)

#endif
