/* vault.materialise - the one call that lets secrets out: to the host that a grant names, for the start that it names. */
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/secret-vault/granting.h"
#include "services/secret-vault/page.h"

#define PAGES_MAX 65535

static int read_request(const struct vault *vault, const struct vault_materialise_req *req,
    const char *peer, struct grant *grant_r, struct file_name *after_r, struct error *err)
{
	*after_r = (struct file_name){0};
	if (vault_serves(vault, err) != 0 ||
	    granting_open(vault, req->grant.data, req->grant.len, grant_r, err) != 0 ||
	    grant_judge(grant_r, req->boot_id, peer, clock_unix_ms(), err) != 0)
		return -1;
	if ((req->page > 0) != (req->after[0] != '\0') || req->page >= PAGES_MAX)
		return error_refuse(
		    err, ERR_INVALID, "page_invalid", "page 0 has no after, every other has one");
	return req->page > 0 ? file_name_parse(vault->providers, req->after, after_r, err) : 0;
}

void vault_materialise(
    struct vault *self, const struct vault_materialise_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {.call = &vault_materialise_call,
	    .kind = WORKER_WRITE,
	    .releases = true,
	    .limit_kind = "vault-release", /* each page is many entries that are kept for good */
	    .work = page_work};
	struct grant grant;
	struct holding holding;
	struct error err;
	struct file_name *after = calloc(1, sizeof(*after));
	bug_if(!after);
	if (read_request(self, req, bus_request_peer(request), &grant, after, &err) != 0) {
		if (err.code == ERR_DENIED)
			log_audit("materialise", "outcome", err.reason, "sandbox",
			    bus_request_peer(request), "trace", bus_request_trace(request));
		free(after);
		bus_fail(request, &err);
		return;
	}
	grant_holding(&grant, &holding);
	asking_begin(self, &plan, NULL, &holding, req, request, after, sizeof(*after));
}
