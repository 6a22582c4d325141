/* agent-wallet - composes, explains, checks and sends transactions of agents' on-chain wallets. Holds no key and signs nothing. */
#include "services/agent-wallet/wallet.h"

WALLET_CALLS(PROTO_THUNK)
static const struct bus_route routes[] = {WALLET_CALLS(PROTO_ROUTE)};

int main(int argc, char **argv)
{
	const struct service service = {
	    .name = "agent-wallet",
	    .role = ROLE_WALLET,
	    .about = "Composes, explains, checks and sends transactions of agents' wallets; never "
		     "signs.",
	    .self_size = sizeof(struct wallet),
	    .settings = wallet_settings,
	    .nsettings = wallet_nsettings,
	    .routes = routes,
	    .nroutes = ARRAY_LEN(routes),
	    .open = wallet_open,
	    .start = wallet_start,
	    .stop = wallet_stop,
	    .follow = {.on_event = wallet_on_event, .on_restart = wallet_on_restart},
	    .ready = {{"peers", wallet_reaches_peers}},
	};
	return service_main(argc, argv, &service);
}
