/* vault.regrant and note - what a host may do for an agent that was placed on it, without the owner. */
#include "services/secret-vault/vault.h"

void vault_regrant(
    struct vault *self, const struct vault_regrant_req *req, struct bus_request *request)
{
	struct error err;
	(void)self, (void)req;
	error_set(&err, ERR_UNAVAILABLE, "not yet");
	bus_fail(request, &err);
}

void vault_note(struct vault *self, const struct vault_note_req *req, struct bus_request *request)
{
	struct error err;
	(void)self, (void)req;
	error_set(&err, ERR_UNAVAILABLE, "not yet");
	bus_fail(request, &err);
}
