/* secret-vault - keeps credentials sealed; hands them to a starting container and to nobody else. Alone holds the master key. */
#include "services/secret-vault/vault.h"

VAULT_CALLS(PROTO_THUNK)
static const struct bus_route routes[] = {VAULT_CALLS(PROTO_ROUTE)};

int main(int argc, char **argv)
{
	const struct service service = {
	    .name = "secret-vault",
	    .role = ROLE_VAULT,
	    .about =
		"Keeps credentials sealed; hands them to a starting container, to nobody else.",
	    .self_size = sizeof(struct vault),
	    .settings = vault_settings,
	    .nsettings = vault_nsettings,
	    .routes = routes,
	    .nroutes = ARRAY_LEN(routes),
	    .adds_events = true,
	    .open = vault_open,
	    .start = vault_start,
	    .stop = vault_stop,
	    .follow = {vault_on_event, vault_on_restart, vault_on_heard},
	    .ready = {{"vault", vault_is_open}, {"storage", vault_stores},
		{"erasing", vault_erases, .is_optional = true}, {"peers", vault_reaches_peers}},
	};
	return service_main(argc, argv, &service);
}
