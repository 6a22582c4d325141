/* sandbox.snapshots, snapshot, restore, discard, hand_over, accept, move */
#include "services/sandbox/sandbox.h"

static void not_yet(struct bus_request *request)
{
	struct error err;

	error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "not built yet");
	bus_fail(request, &err);
}
void sandbox_snapshots(struct sandbox *self, const struct sandbox_snapshots_req *req, struct bus_request *request)
{
	(void)self, (void)req;
	not_yet(request);
}
void sandbox_snapshot(struct sandbox *self, const struct sandbox_snapshot_req *req, struct bus_request *request)
{
	(void)self, (void)req;
	not_yet(request);
}
void sandbox_restore(struct sandbox *self, const struct sandbox_restore_req *req, struct bus_request *request)
{
	(void)self, (void)req;
	not_yet(request);
}
void sandbox_discard(struct sandbox *self, const struct sandbox_discard_req *req, struct bus_request *request)
{
	(void)self, (void)req;
	not_yet(request);
}
void sandbox_hand_over(struct sandbox *self, const struct sandbox_hand_over_req *req, struct bus_request *request)
{
	(void)self, (void)req;
	not_yet(request);
}
void sandbox_accept(struct sandbox *self, const struct sandbox_accept_req *req, struct bus_request *request)
{
	(void)self, (void)req;
	not_yet(request);
}
void sandbox_move(struct sandbox *self, const struct sandbox_move_req *req, struct bus_request *request)
{
	(void)self, (void)req;
	not_yet(request);
}
