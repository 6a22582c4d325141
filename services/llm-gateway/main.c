/* llm-gateway - one per host: puts the right LLM key on an agent's request as it leaves the host. */
#include "services/llm-gateway/gateway.h"

GATEWAY_CALLS(PROTO_THUNK)
static const struct bus_route routes[] = {GATEWAY_CALLS(PROTO_ROUTE)};

int main(int argc, char **argv)
{
	const struct service service = {
	    .name = "llm-gateway",
	    .role = ROLE_GATEWAY,
	    .about = "Puts the right LLM key on an agent's request as it leaves the host.",
	    .self_size = sizeof(struct gateway),
	    .settings = gateway_settings,
	    .nsettings = gateway_nsettings,
	    .routes = routes,
	    .nroutes = ARRAY_LEN(routes),
	    .open = gateway_open,
	    .start = gateway_service_start,
	    .stop = gateway_service_stop,
	    .follow = {gateway_on_event, gateway_on_restart, gateway_on_heard},
	    .ready = {{"vault", gateway_reaches_vault}, {"front", gateway_listens}},
	};
	return service_main(argc, argv, &service);
}
