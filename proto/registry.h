/* registry - every call there is, for the documents, the tests and the access matrix. */
#ifndef PROTO_REGISTRY_H
#define PROTO_REGISTRY_H

#include "common/status.h"
#include "proto/auth.h"
#include "proto/chain.h"
#include "proto/gateway.h"
#include "proto/oracle.h"
#include "proto/sandbox.h"
#include "proto/session.h"
#include "proto/vault.h"
#include "proto/wallet.h"

extern const struct proto_call *const proto_calls[];
extern const size_t proto_ncalls;

#endif
