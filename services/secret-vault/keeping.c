/* vault.keep, hand_over - which snapshot is the newest, and what the next owner may take over. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "services/secret-vault/granting.h"
#include "services/secret-vault/handover.h"
#include "services/secret-vault/snapshot.h"

#define START_LEN 8 /* bytes of a digest that the audit trail shows */

static char *digest_start(const uint8_t *digest, char text[2 * START_LEN + 1])
{
	return sodium_bin2hex(text, 2 * START_LEN + 1, digest, START_LEN);
}

/* ---- vault.keep */

static int keep_work(struct asking *asking, struct desk *desk, struct error *err)
{
	const struct vault_keep_req *req = asking->req;
	struct vault_keep_rsp *rsp = asking->rsp;
	scoped_open_period struct open_period period = {0};
	char start[2 * START_LEN + 1], detail[160 + 1];

	if (granting_open_period(asking, desk, &period, err) != 0)
		return -1;
	int is_new = snapshot_keep(desk, &period, req->base, req->digest.data, err);
	if (is_new < 0)
		return -1;
	rsp->snapshot = req->base + 1;
	if (!is_new)
		return 0;
	snprintf(detail, sizeof(detail), "number %llu digest %s", (unsigned long long)rsp->snapshot,
	    digest_start(req->digest.data, start));
	const struct audit_note note = {.act = "snapshot", .by = asking->by, .detail = detail};
	return records_audit(desk, &period.row.period, &note, err);
}

void vault_keep(struct vault *self, const struct vault_keep_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {.call = &vault_keep_call,
	    .kind = WORKER_WRITE,
	    .releases = true, /* nobody is told yes who is known to have sold meanwhile */
	    .limit_kind = "vault-keep",
	    .work = keep_work};

	_Static_assert(VAULT_DIGEST_LEN == SNAPSHOT_DIGEST_LEN, "a digest");
	granting_begin(
	    self, &plan, PLACEMENT_HOST, req->placement.data, req->placement.len, req, request);
}

/* ---- vault.hand_over */

static int note_hand_over(struct asking *asking, struct desk *desk, const struct period *period,
    const char *detail, struct error *err)
{
	const struct audit_note note = {.act = "hand_over", .by = asking->by, .detail = detail};

	return records_audit(desk, period, &note, err);
}

static int put(
    struct asking *asking, struct desk *desk, const struct open_period *period, struct error *err)
{
	const struct vault_hand_over_req *req = asking->req;
	char start[2 * START_LEN + 1], detail[160 + 1];

	if (handover_put(desk, period, req->key.data, req->digest.data, err) != 0)
		return -1;
	snprintf(detail, sizeof(detail), "digest %s", digest_start(req->digest.data, start));
	return note_hand_over(asking, desk, &period->row.period, detail, err);
}

/* Of what is not there, or another's, nothing is noted. */
static int drop(
    struct asking *asking, struct desk *desk, const struct open_period *period, struct error *err)
{
	const struct period *of = &period->row.period;
	enum handover_part part;

	if (handover_drop(desk, of, &part, err) != 0)
		return -1;
	return part == HANDOVER_NONE ? 0
				     : note_hand_over(asking, desk, of,
					   part == HANDOVER_GIVER ? "withdrawn" : "done with", err);
}

static int hand_over_work(struct asking *asking, struct desk *desk, struct error *err)
{
	const struct vault_hand_over_req *req = asking->req;
	scoped_open_period struct open_period period = {0};

	if (granting_open_period(asking, desk, &period, err) != 0)
		return -1;
	return (req->key.len > 0 ? put : drop)(asking, desk, &period, err);
}

static int check(const struct vault_hand_over_req *req, struct error *err)
{
	bool is_put = req->key.len == HANDOVER_KEY_LEN && req->digest.len == HANDOVER_DIGEST_LEN;
	bool is_drop = req->key.len == 0 && req->digest.len == 0;

	return is_put || is_drop ? 0
				 : error_refuse(err, ERR_INVALID, "hand_over_invalid",
				       "key and digest of 32 bytes each, or neither");
}

void vault_hand_over(
    struct vault *self, const struct vault_hand_over_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {.call = &vault_hand_over_call,
	    .kind = WORKER_WRITE,
	    .releases = true,
	    .limit_kind = "vault-hand-over",
	    .work = hand_over_work};
	struct error err;

	if (check(req, &err) != 0)
		bus_fail(request, &err);
	else
		granting_begin(self, &plan, PLACEMENT_HOST, req->placement.data, req->placement.len,
		    req, request);
}
