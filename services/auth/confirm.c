/* auth.confirm - the way from a signed text that names an act to the word that its owner wants it now; opens no session. */
#include "services/auth/auth.h"

void auth_confirm(
    struct auth *self, const struct auth_confirm_req *req, struct bus_request *request)
{
	struct error err;
	(void)self;
	(void)req;
	error_set(&err, ERR_UNAVAILABLE, "not yet");
	bus_fail(request, &err);
}
