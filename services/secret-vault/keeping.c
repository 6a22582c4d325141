/* vault.keep, hand_over - which snapshot is the newest, and what the next owner may take over. */
#include "services/secret-vault/vault.h"

static void not_yet(struct bus_request *request)
{
	struct error err;

	error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "not built yet");
	bus_fail(request, &err);
}
void vault_keep(struct vault *self, const struct vault_keep_req *req, struct bus_request *request)
{
	(void)self, (void)req;
	not_yet(request);
}
void vault_hand_over(struct vault *self, const struct vault_hand_over_req *req, struct bus_request *request)
{
	(void)self, (void)req;
	not_yet(request);
}
