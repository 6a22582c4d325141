/* vault.note - what an operator did in a container, said in its owner's audit trail by the host that did it. */
#include <ctype.h>
#include <stdlib.h>

#include "services/secret-vault/granting.h"

static int work(struct asking *asking, struct desk *desk, struct error *err)
{
	const struct vault_note_req *req = asking->req;
	scoped_open_period struct open_period period = {0};
	if (granting_open_period(asking, desk, &period, err) != 0)
		return -1;
	const struct audit_note entry = {.act = "exec", .by = asking->by, .detail = req->detail};
	return records_audit(desk, &period.row.period, &entry, err);
}

/* A host says no other act: all others are what the vault itself has done. What it says goes to a terminal. */
static int check(const struct vault_note_req *req, struct error *err)
{
	if (strcmp(req->act, "exec") != 0)
		return error_refuse(err, ERR_INVALID, "note_invalid", "no act that a host may say");
	for (const char *at = req->detail; *at; at++)
		if (iscntrl((unsigned char)*at))
			return error_refuse(
			    err, ERR_INVALID, "note_invalid", "control characters in the detail");
	return 0;
}

void vault_note(struct vault *self, const struct vault_note_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {.call = &vault_note_call,
	    .kind = WORKER_WRITE,
	    .limit_kind = "vault-note",
	    .work = work};
	struct error err;
	if (check(req, &err) != 0)
		bus_fail(request, &err);
	else
		granting_begin(self, &plan, PLACEMENT_HOST, req->placement.data, req->placement.len,
		    req, request);
}
