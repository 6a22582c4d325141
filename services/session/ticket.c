/* session.opening, ticket and enter - from the console to the agent's own origin. */
#include "services/session/session.h"

static void refuse(struct bus_request *request)
{
	struct error err;
	error_set(&err, ERR_UNAVAILABLE, "not yet");
	bus_fail(request, &err);
}

void session_opening(
    struct session *self, const struct session_opening_req *req, struct bus_request *request)
{
	(void)self, (void)req;
	refuse(request);
}

void session_ticket(
    struct session *self, const struct session_ticket_req *req, struct bus_request *request)
{
	(void)self, (void)req;
	refuse(request);
}

void session_enter(
    struct session *self, const struct session_enter_req *req, struct bus_request *request)
{
	(void)self, (void)req;
	refuse(request);
}
