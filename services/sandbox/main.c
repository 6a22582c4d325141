/* sandbox - one per host: starts, stops and isolates the agents' containers. Has no privilege; warden has. */
#include "services/sandbox/sandbox.h"

SANDBOX_CALLS(PROTO_THUNK)
static const struct bus_route routes[] = {SANDBOX_CALLS(PROTO_ROUTE)};

int main(int argc, char **argv)
{
	const struct service service = {
	    .name = "sandbox",
	    .role = ROLE_SANDBOX,
	    .about = "Starts, stops and isolates the agents' containers of one host.",
	    .self_size = sizeof(struct sandbox),
	    .settings = sandbox_settings,
	    .nsettings = sandbox_nsettings,
	    .routes = routes,
	    .nroutes = ARRAY_LEN(routes),
	    .adds_events = true,
	    .start = sandbox_service_start,
	    .stop = sandbox_service_stop,
	    .follow = {sandbox_on_event, sandbox_on_restart, sandbox_on_heard},
	    .ready = {{"warden", sandbox_has_driver}, {"holdings", sandbox_has_looked},
		{"peers", sandbox_reaches_peers}, {"image", sandbox_has_image, .is_optional = true},
		{"store", sandbox_has_store, .is_optional = true},
		{"gateway", sandbox_has_gateway, .is_optional = true}},
	};
	return service_main(argc, argv, &service);
}
