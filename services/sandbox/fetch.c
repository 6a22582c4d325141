#include "services/sandbox/fetch.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "services/sandbox/gateway_link.h"

#define VAULT_MS 10000
#define PAGES_MAX 1024

struct fetch {
	struct fetch_ask ask;
	bool is_given_up;
	struct files *files;
	size_t grant_len, npages;
	uint8_t grant[256];
	char boot[VAULT_BOOT_ID_LEN + 1];
};

static void fetch_free(struct fetch *fetch)
{
	files_destroy(&fetch->files);
	sodium_memzero(fetch, sizeof(*fetch));
	free(fetch);
}

/* Each callback begins with this: is it still wanted? */
static bool is_given_up(struct fetch *fetch)
{
	if (!fetch->is_given_up)
		return false;
	fetch_free(fetch);
	return true;
}

void fetch_cancel(struct fetch **fetch)
{
	struct fetch *f = *fetch;
	if (!f)
		return;
	*fetch = NULL;
	f->is_given_up = true;
	files_destroy(&f->files);
	sodium_memzero(f->grant, sizeof(f->grant));
}

static void finish(struct fetch *fetch, const struct error *err)
{
	const struct fetch_ask ask = fetch->ask;
	struct files *files = err ? NULL : fetch->files;
	if (!err)
		fetch->files = NULL;
	fetch_free(fetch);
	ask.done(ask.arg, files, err);
}

/* ---- the files */

static void ask_page(struct fetch *fetch, uint64_t page);

static int take_page(
    struct fetch *fetch, const struct vault_materialise_rsp *rsp, struct error *err)
{
	const struct record *record = fetch->ask.record;
	if (strcmp(rsp->asset, record->asset) != 0 || strcmp(rsp->wallet, record->wallet) != 0 ||
	    rsp->slot <= fetch->ask.other_slot)
		return error_refuse(
		    err, ERR_DENIED, "holding_differs", "the vault gave another owner's files");
	if (++fetch->npages > PAGES_MAX)
		return error_refuse(
		    err, ERR_INTERNAL, "answer_malformed", "the vault's pages do not end");
	if (fetch->npages == 1 && fetch->ask.first(fetch->ask.arg, rsp, err) != 0)
		return -1;
	return files_add_page(fetch->files, rsp, err);
}

static void on_page(void *arg, const void *message, const struct error *failed)
{
	struct fetch *fetch = arg;
	const struct vault_materialise_rsp *rsp = message;
	struct error err;
	if (is_given_up(fetch))
		return;
	if (failed)
		finish(fetch, failed);
	else if (take_page(fetch, rsp, &err) != 0)
		finish(fetch, &err);
	else if (rsp->next)
		ask_page(fetch, rsp->next);
	else
		finish(fetch, NULL);
}

static void ask_page(struct fetch *fetch, uint64_t page)
{
	struct vault_materialise_req req = {.page = page};
	req.grant.len = fetch->grant_len;
	memcpy(req.grant.data, fetch->grant, fetch->grant_len);
	memcpy(req.boot_id, fetch->boot, sizeof(req.boot_id));
	if (page == 0)
		snprintf(req.gateway_key, sizeof(req.gateway_key), "%s",
		    gateway_link_key(fetch->ask.sandbox));
	if (page > 0)
		snprintf(req.after, sizeof(req.after), "%s", files_last(fetch->files));
	bus_send(fetch->ask.sandbox->vaults, &vault_materialise_call, &req,
	    clock_unix_ms() + VAULT_MS, "", on_page, fetch);
	sodium_memzero(&req, sizeof(req));
}

/* ---- the grant */

static void on_grant(void *arg, const void *message, const struct error *err)
{
	struct fetch *fetch = arg;
	const struct vault_grant_rsp *rsp = message;
	if (is_given_up(fetch))
		return;
	if (err) {
		finish(fetch, err);
		return;
	}
	fetch->grant_len = rsp->grant.len;
	memcpy(fetch->grant, rsp->grant.data, rsp->grant.len);
	fetch->files = files_new();
	ask_page(fetch, 0);
}

/* vault.regrant answers with the message of vault.grant, under another name. */
_Static_assert(sizeof(struct vault_regrant_rsp) == sizeof(struct vault_grant_rsp),
    "vault.regrant answers as vault.grant");

static void ask_regrant(struct fetch *fetch)
{
	const struct record *record = fetch->ask.record;
	struct vault_regrant_req req = {.placement.len = record->placement_len};
	memcpy(req.placement.data, record->placement, record->placement_len);
	memcpy(req.boot_id, fetch->boot, sizeof(req.boot_id));
	bus_send(fetch->ask.sandbox->vaults, &vault_regrant_call, &req, clock_unix_ms() + VAULT_MS,
	    "", on_grant, fetch);
	sodium_memzero(&req, sizeof(req));
}

static void ask_grant(struct fetch *fetch, const struct secret *token)
{
	struct vault_grant_req req = {0};
	memcpy(req.token, secret_bytes(token), secret_len(token));
	memcpy(req.boot_id, fetch->boot, sizeof(req.boot_id));
	snprintf(req.host_key, sizeof(req.host_key), "%s", fetch->ask.sandbox->host_key);
	bus_send(fetch->ask.sandbox->vaults, &vault_grant_call, &req, clock_unix_ms() + VAULT_MS,
	    "", on_grant, fetch);
	sodium_memzero(&req, sizeof(req));
}

struct fetch *fetch_new(const struct fetch_ask *ask)
{
	struct fetch *fetch = calloc(1, sizeof(*fetch));
	bug_if(!fetch);
	fetch->ask = *ask;
	fetch->ask.owner_token = NULL;
	snprintf(fetch->boot, sizeof(fetch->boot), "%s", ask->boot);
	if (ask->owner_token)
		ask_grant(fetch, ask->owner_token);
	else
		ask_regrant(fetch);
	return fetch;
}
