/* session - mints, checks, lists and ends 7-day JWT sessions. Alone holds the JWT secret; keeps no cache. */
#include "services/session/session.h"

SESSION_CALLS(PROTO_THUNK)
static const struct bus_route routes[] = {SESSION_CALLS(PROTO_ROUTE)};

int main(int argc, char **argv)
{
	const struct service service = {
	    .name = "session",
	    .role = ROLE_SESSION,
	    .about =
		"Mints, checks, lists and ends 7-day JWT sessions; alone holds the JWT secret.",
	    .self_size = sizeof(struct session),
	    .settings = session_settings,
	    .nsettings = session_nsettings,
	    .routes = routes,
	    .nroutes = ARRAY_LEN(routes),
	    .adds_events = true,
	    .open = session_open,
	    .start = session_start,
	    .stop = session_stop,
	    .reload = session_reload,
	    .ready = {{"keys", session_keys_are_ready}},
	};
	return service_main(argc, argv, &service);
}
