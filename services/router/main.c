/* router - the HTTP edge. Trusts: session's word, the events. Holds: no long-lived secret; tokens pass through it. */
#include "common/service.h"
#include "services/router/router.h"

int main(int argc, char **argv)
{
	const struct service service = {
	    .name = "router",
	    .role = ROLE_ROUTER,
	    .about = "HTTP edge: JSON API, sign-in cookie, the allow or deny of every request.",
	    .self_size = sizeof(struct router),
	    .settings = router_settings,
	    .nsettings = router_nsettings,
	    .open = router_open,
	    .start = router_start,
	    .stop = router_stop,
	    .follow = {router_on_event, router_on_restart, router_on_heard},
	    .ready = {{"auth", router_reaches_auth}, {"session", router_reaches_session},
		{"chain", router_knows_chain}, {"vault", router_reaches_vault, true},
		{"sandbox", router_reaches_sandbox, true},
		{"agent-wallet", router_reaches_wallet, true}},
	};
	return service_main(argc, argv, &service);
}
