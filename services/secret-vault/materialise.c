/* vault.materialise - the one call that lets secrets out: to the host that a grant names, for the start that it names. */
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/secret-vault/grant.h"
#include "services/secret-vault/page.h"

#define PAGES_MAX 65535

/* A grant of before a change of the master key is good for its 30 s after it, and the other way round with several vaults. */
static int open_grant(const struct vault *vault, const struct vault_materialise_req *req,
    const char *peer, struct grant *grant_r, struct error *err)
{
	const struct secret *keys[] = {vault->grant_key, vault->next_grant_key};
	bool ours = false;
	for (size_t i = 0; i < ARRAY_LEN(keys) && !ours; i++)
		ours = keys[i] && grant_open(keys[i], req->grant.data, req->grant.len, grant_r);
	if (!ours)
		return error_refuse(err, ERR_DENIED, "grant_refused", "no vault made this grant");
	return grant_judge(grant_r, req->boot_id, peer, clock_unix_ms(), err);
}

static int read_request(const struct vault *vault, const struct vault_materialise_req *req,
    const char *peer, struct grant *grant_r, struct page_cursor *cursor_r, struct error *err)
{
	*cursor_r = (struct page_cursor){0};
	if (vault_serves(vault, err) != 0 || open_grant(vault, req, peer, grant_r, err) != 0)
		return -1;
	if ((req->page > 0) != (req->after[0] != '\0') || req->page >= PAGES_MAX)
		return error_refuse(
		    err, ERR_INVALID, "page_invalid", "page 0 has no after, every other has one");
	return req->page > 0 ? page_cursor_parse(vault->providers, req->after, cursor_r, err) : 0;
}

void vault_materialise(
    struct vault *self, const struct vault_materialise_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {.call = &vault_materialise_call,
	    .kind = WORKER_WRITE,
	    .releases = true,
	    .work = page_work};
	struct grant grant;
	struct holding holding;
	struct error err;
	struct page_cursor *cursor = calloc(1, sizeof(*cursor));
	bug_if(!cursor);
	if (read_request(self, req, bus_request_peer(request), &grant, cursor, &err) != 0) {
		if (err.code == ERR_DENIED)
			log_audit("materialise", "outcome", err.reason, "sandbox",
			    bus_request_peer(request), "trace", bus_request_trace(request));
		free(cursor);
		bus_fail(request, &err);
		return;
	}
	grant_holding(&grant, &holding);
	asking_begin(self, &plan, NULL, &holding, req, request, cursor, sizeof(*cursor));
}
