/* auth - proves that a caller controls a wallet and that the wallet owns the asset. Holds no long-lived secret. */
#include "services/auth/auth.h"

AUTH_CALLS(PROTO_THUNK)
static const struct bus_route routes[] = {AUTH_CALLS(PROTO_ROUTE)};

int main(int argc, char **argv)
{
	const struct service service = {
	    .name = "auth",
	    .role = ROLE_AUTH,
	    .about = "Proves that a caller controls a wallet and that the wallet owns the asset.",
	    .self_size = sizeof(struct auth),
	    .settings = auth_settings,
	    .nsettings = auth_nsettings,
	    .routes = routes,
	    .nroutes = ARRAY_LEN(routes),
	    .open = auth_open,
	    .start = auth_start,
	    .stop = auth_stop,
	    .ready = {{"oracle", auth_oracle_is_ready}, {"session", auth_session_is_ready}},
	};
	return service_main(argc, argv, &service);
}
