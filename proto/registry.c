#include "proto/registry.h"

PROTO_ITEM_DEFINE(assets)
PROTO_ITEM_DEFINE(sessions)
PROTO_ITEM_DEFINE(secrets)
PROTO_ITEM_DEFINE(providers)
PROTO_ITEM_DEFINE(entries)
PROTO_ITEM_DEFINE(files)
PROTO_ITEM_DEFINE(agents)
PROTO_ITEM_DEFINE(argv)
PROTO_ITEM_DEFINE(snapshots)
PROTO_ITEM_DEFINE(roots)
AUTH_CALLS(PROTO_DEFINE)
SESSION_CALLS(PROTO_DEFINE)
ORACLE_CALLS(PROTO_DEFINE)
VAULT_CALLS(PROTO_DEFINE)
SANDBOX_CALLS(PROTO_DEFINE)

#define ENTRY(svc, name, callers, kind, doc) &svc##_##name##_call,
const struct proto_call *const proto_calls[] = {AUTH_CALLS(ENTRY) SESSION_CALLS(ENTRY)
	ORACLE_CALLS(ENTRY) VAULT_CALLS(ENTRY) SANDBOX_CALLS(ENTRY) SERVICE_CALLS(ENTRY)};
const size_t proto_ncalls = sizeof(proto_calls) / sizeof(proto_calls[0]);
