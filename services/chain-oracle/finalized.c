#include "services/chain-oracle/oracle.h"

void oracle_finalized(
    struct oracle *self, const struct oracle_finalized_req *req, struct bus_request *request)
{
	struct error err;
	(void)self;
	(void)req;
	error_refuse(&err, ERR_UNAVAILABLE, "chain_unavailable", "finalized is not read yet");
	bus_fail(request, &err);
}
