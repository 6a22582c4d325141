/* granting.h, vault.grant and vault.regrant. */
#include "services/secret-vault/granting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "services/secret-vault/seal.h"

const struct secret *granting_key(const struct vault *vault, struct error *err)
{
	const struct secret *key = vault->next_key_id[0] ? vault->next_grant_key : vault->grant_key;
	if (!key)
		error_refuse(err, ERR_UNAVAILABLE, "vault_sealed", "the vault is not open");
	return key;
}

/* While the master key is being changed: one made before, or by a vault that is further with it. */
int granting_open(const struct vault *vault, const void *bytes, size_t len, struct grant *grant_r,
    struct error *err)
{
	const struct secret *keys[] = {vault->grant_key, vault->next_grant_key};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (keys[i] && grant_open(keys[i], bytes, len, grant_r))
			return 0;
	return error_refuse(err, ERR_DENIED, "grant_refused", "no vault made this grant");
}

/* ---- placements */

struct shown {
	enum placement_kind kind;
	uint8_t bytes[PLACEMENT_LEN];
};

static int read_placement(const struct vault *vault, enum placement_kind kind, const void *bytes,
    size_t len, const char *peer, struct placement *placement_r, struct error *err)
{
	if (vault_serves(vault, err) != 0)
		return -1;
	if (!placement_read(bytes, len, kind, placement_r))
		return error_refuse(err, ERR_DENIED, "grant_refused", "this is no placement");
	return placement_judge(placement_r, peer, err);
}

void granting_begin(struct vault *vault, const struct asking_plan *plan, enum placement_kind kind,
    const void *bytes, size_t len, const void *req, struct bus_request *request)
{
	const char *peer = bus_request_peer(request);
	struct placement placement;
	struct holding holding;
	struct error err;
	if (read_placement(vault, kind, bytes, len, peer, &placement, &err) != 0) {
		log_audit("placement", "outcome", err.reason, "peer", peer, "trace",
		    bus_request_trace(request));
		bus_fail(request, &err);
		return;
	}
	struct shown *shown = calloc(1, sizeof(*shown));
	bug_if(!shown);
	shown->kind = kind;
	memcpy(shown->bytes, bytes, PLACEMENT_LEN);
	placement_holding(&placement, &holding);
	asking_begin(vault, plan, NULL, &holding, req, request, shown, sizeof(*shown));
}

int granting_open_period(
    struct asking *asking, struct desk *desk, struct open_period *period_r, struct error *err)
{
	const struct shown *shown = asking->extra;
	struct placement placement;
	int found = records_open_period(desk, &asking->holding, period_r, err);
	if (found < 0)
		return -1;
	if (found == 0)
		return error_refuse(err, ERR_DENIED, "grant_refused",
		    "the ownership period of this placement is over");
	scoped_secret struct secret *key =
	    data_key_placements(period_r->data_key, &period_r->row.period);
	if (!placement_open(key, shown->bytes, sizeof(shown->bytes), shown->kind, &placement))
		return error_refuse(err, ERR_DENIED, "grant_refused",
		    "no vault made this placement in the present ownership period");
	return 0;
}

/* ---- what both give */

struct start {
	const char *boot_id, *host_key;
};

static int note(struct desk *desk, const struct asking *asking, const struct period *period,
    const char *act, const struct start *start, struct error *err)
{
	char detail[160 + 1];
	snprintf(detail, sizeof(detail), "boot %s host %s", start->boot_id, start->host_key);
	const struct audit_note entry = {.act = act, .by = asking->by, .detail = detail};
	return records_audit(desk, period, &entry, err);
}

static int sign(const struct asking *asking, const struct start *start, uint8_t bytes_r[GRANT_LEN],
    uint64_t *expires_ms_r, struct error *err)
{
	const struct secret *key = granting_key(asking->vault, err);
	struct grant grant;
	*expires_ms_r = clock_unix_ms() + VAULT_GRANT_MS;
	if (!key || grant_fill(&grant, &asking->holding, start->boot_id, start->host_key,
			*expires_ms_r, err) != 0)
		return -1;
	grant_sign(key, &grant, bytes_r);
	return 0;
}

/* ---- vault.grant */

/* A start always has a period, also of who has stored nothing: its data key is the volume's. */
static int grant_work(struct asking *asking, struct desk *desk, struct error *err)
{
	const struct vault_grant_req *req = asking->req;
	const struct start start = {req->boot_id, req->host_key};
	scoped_open_period struct open_period period = {0};
	if (records_make_period(desk, &asking->holding, &period, &asking->has_made, err) < 0)
		return -1;
	return note(desk, asking, &period.row.period, "grant", &start, err);
}

static int grant_finish(struct asking *asking, struct error *err)
{
	const struct vault_grant_req *req = asking->req;
	const struct start start = {req->boot_id, req->host_key};
	struct vault_grant_rsp *rsp = asking->rsp;
	rsp->grant.len = GRANT_LEN;
	return sign(asking, &start, rsp->grant.data, &rsp->expires_ms, err);
}

/* A sandbox starts what runs on its own host; which host that is, is router's to say only for hosts that do not speak for themselves. */
static int check_host(
    const struct vault_grant_req *req, const struct bus_request *request, struct error *err)
{
	if (grant_check(req->boot_id, req->host_key, err) != 0)
		return -1;
	if (!(bus_request_caller(request) & ROLE_SANDBOX) ||
	    strcmp(req->host_key, bus_request_peer(request)) == 0)
		return 0;
	log_audit("grant", "outcome", "grant_refused", "sandbox", bus_request_peer(request),
	    "trace", bus_request_trace(request));
	return error_refuse(
	    err, ERR_DENIED, "grant_refused", "a sandbox may ask for its own host alone");
}

void vault_grant(struct vault *self, const struct vault_grant_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {.call = &vault_grant_call,
	    .kind = WORKER_WRITE,
	    .releases = true,
	    .takes_agents = true,
	    .limit_kind = "vault-grant",
	    .work = grant_work,
	    .finish = grant_finish};
	struct error err;
	if (check_host(req, request, &err) != 0)
		bus_fail(request, &err);
	else
		asking_begin(self, &plan, req->token, NULL, req, request, NULL, 0);
}

/* ---- vault.regrant */

static int regrant_work(struct asking *asking, struct desk *desk, struct error *err)
{
	const struct vault_regrant_req *req = asking->req;
	const struct start start = {req->boot_id, bus_request_peer(asking->request)};
	scoped_open_period struct open_period period = {0};
	if (granting_open_period(asking, desk, &period, err) != 0)
		return -1;
	return note(desk, asking, &period.row.period, "regrant", &start, err);
}

static int regrant_finish(struct asking *asking, struct error *err)
{
	const struct vault_regrant_req *req = asking->req;
	const struct start start = {req->boot_id, bus_request_peer(asking->request)};
	struct vault_regrant_rsp *rsp = asking->rsp;
	rsp->grant.len = GRANT_LEN;
	return sign(asking, &start, rsp->grant.data, &rsp->expires_ms, err);
}

void vault_regrant(
    struct vault *self, const struct vault_regrant_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {.call = &vault_regrant_call,
	    .kind = WORKER_WRITE,
	    .releases = true,
	    .limit_kind = "vault-grant",
	    .work = regrant_work,
	    .finish = regrant_finish};
	struct error err;
	if (grant_check(req->boot_id, bus_request_peer(request), &err) != 0)
		bus_fail(request, &err);
	else
		granting_begin(self, &plan, PLACEMENT_HOST, req->placement.data, req->placement.len,
		    req, request);
}
