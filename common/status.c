#include "common/status.h"

PROTO_ITEM_DEFINE(checks)
SERVICE_CALLS(PROTO_DEFINE)
