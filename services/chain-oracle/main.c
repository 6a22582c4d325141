/* chain-oracle - the only one that talks to Solana; knows who owns what, says so when it changes. */
#include "services/chain-oracle/oracle.h"

ORACLE_CALLS(PROTO_THUNK)
#define CHAIN_THUNK(svc, name, callers, kind, doc) \
	static void svc##_##name##_thunk(void *self, const void *req, struct bus_request *request) \
	{ \
		svc##_##name(&((struct oracle *)self)->chain, req, request); \
	}
CHAIN_CALLS(CHAIN_THUNK)
static const struct bus_route routes[] = {ORACLE_CALLS(PROTO_ROUTE) CHAIN_CALLS(PROTO_ROUTE)};

int main(int argc, char **argv)
{
	const struct service service = {
	    .name = "chain-oracle",
	    .role = ROLE_ORACLE,
	    .about = "Talks to Solana; knows who owns what, says so when it changes.",
	    .self_size = sizeof(struct oracle),
	    .settings = oracle_settings,
	    .nsettings = oracle_nsettings,
	    .routes = routes,
	    .nroutes = ARRAY_LEN(routes),
	    .adds_events = true,
	    .open = oracle_open,
	    .start = oracle_start,
	    .stop = oracle_stop,
	    .follow = {.on_event = oracle_on_event, .on_restart = oracle_on_restart},
	    .ready = {{"chain", oracle_chain_is_ready}, {"push", oracle_push_is_ready}},
	};
	return service_main(argc, argv, &service);
}
