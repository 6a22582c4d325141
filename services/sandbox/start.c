#include "services/sandbox/start.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/sandbox/files.h"
#include "services/sandbox/holder.h"

#define VAULT_MS 10000
#define LOOKS 8 /* until it gives up against events that come faster */
#define PAGES_MAX 1024

struct start {
	struct agent *agent; /* NULL: given up */
	struct sandbox *sandbox;
	struct driver_image image;
	char boot[VAULT_BOOT_ID_LEN + 1];
	struct secret *owner_token, *gateway_token, *volume_key;
	struct files *files;
	size_t grant_len, npages;
	uint8_t grant[256];
	uint64_t other_slot;
	bool is_complete; /* only the last look is missing */
	unsigned looks;
	char history[HISTORY_MAX + 1];
	struct event_id position;
};

static void start_free(struct start *start)
{
	secret_destroy(&start->owner_token);
	secret_destroy(&start->gateway_token);
	secret_destroy(&start->volume_key);
	files_destroy(&start->files);
	sodium_memzero(start, sizeof(*start));
	free(start);
}

/* Each callback begins with this: is it still wanted? */
static bool is_given_up(struct start *start)
{
	if (start->agent)
		return false;
	start_free(start);
	return true;
}

void start_cancel(struct start **start)
{
	struct start *s = *start;
	*start = NULL;
	s->agent = NULL;
	secret_destroy(&s->owner_token);
	secret_destroy(&s->gateway_token);
	secret_destroy(&s->volume_key);
	files_destroy(&s->files);
	sodium_memzero(s->grant, sizeof(s->grant));
}

static void fail(struct start *start, enum machine_fault fault, const struct error *err)
{
	struct agent *agent = start->agent;
	const struct error why = *err;
	if (fault == MACHINE_LATER && agent->record.placement_len == 0)
		fault = MACHINE_REFUSED;
	agent->start = NULL;
	start_free(start);
	agent_start_failed(agent, fault, &why);
	agent_step(agent);
}

/* What others answer: not now, or no. */
static void fail_by_code(struct start *start, const struct error *err)
{
	bool is_brief = err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT ||
			err->code == ERR_BUSY || err->code == ERR_INTERNAL;
	fail(start, is_brief ? MACHINE_LATER : MACHINE_REFUSED, err);
}

/* ---- 6. the driver */

static void hand_over(struct start *start)
{
	struct sandbox *sandbox = start->sandbox;
	struct agent *agent = start->agent;
	char origin[512], token[GATEWAY_TOKEN_LEN + 1];
	struct driver_start ask = {.of = {agent->id, start->boot},
	    .image = &start->image,
	    .wallet = agent->record.wallet,
	    .period = agent->record.period,
	    .volume_key = secret_bytes(start->volume_key),
	    .limits = &sandbox->limits,
	    .ready_ms = sandbox->ready_ms,
	    .is_narrowed = agent->record.egress.is_narrowed};
	struct cidr ranges[EGRESS_HOSTS_MAX];
	struct error err;
	ask.range = ranges;
	ask.nranges = egress_ranges(&agent->record.egress, ranges);
	memcpy(token, secret_bytes(start->gateway_token), GATEWAY_TOKEN_LEN);
	token[GATEWAY_TOKEN_LEN] = '\0';
	bool is_openclaw = strcmp(start->image.kind, "openclaw") == 0;
	int rc = files_finish(start->files, token, agent_origin(agent, origin, sizeof(origin)),
	    is_openclaw, &ask.files, &err);
	sodium_memzero(token, sizeof(token));
	if (rc != 0 || sandbox->driver->start(sandbox->driven, &ask, &err) != 0) {
		fail(start, MACHINE_LATER, &err);
		return;
	}
	metric_add(sandbox->metrics.starts, 1);
	secret_destroy(&agent->gateway_token);
	agent->gateway_token = start->gateway_token;
	start->gateway_token = NULL;
	agent->start = NULL;
	start_free(start);
}

/* ---- 5. is it still so? */

static void look(struct start *start);

static void judge(struct start *start)
{
	struct sandbox *sandbox = start->sandbox;
	struct error err;
	if (sandbox_serves(sandbox, &err) != 0) {
		fail(start, MACHINE_LATER, &err);
	} else if (!holder_is_current(sandbox->holder, start->agent->record.asset, start->history,
		       start->position)) {
		look(start);
	} else {
		hand_over(start);
	}
}

static void on_complete(void *arg, const struct error *err)
{
	struct start *start = arg;
	if (is_given_up(start))
		return;
	start->is_complete = true;
	if (err)
		fail(start, MACHINE_LATER, err);
	else
		judge(start);
}

/* ---- 4. the files */

static void ask_page(struct start *start, uint64_t page);

static int take_first_page(
    struct start *start, const struct vault_materialise_rsp *rsp, struct error *err)
{
	struct record *record = &start->agent->record;
	if (rsp->volume_key.len != VAULT_VOLUME_KEY_LEN || rsp->placement.len == 0)
		return error_refuse(
		    err, ERR_INTERNAL, "answer_malformed", "the vault gave no key for the volume");
	start->volume_key = secret_new(rsp->volume_key.data, rsp->volume_key.len);
	record_set_period(record, rsp->period, clock_unix_ms());
	record->placement_len = rsp->placement.len;
	memcpy(record->placement, rsp->placement.data, rsp->placement.len);
	start->gateway_token = gateway_token(record->placement, record->placement_len, start->boot);
	return 0;
}

static int take_page(
    struct start *start, const struct vault_materialise_rsp *rsp, struct error *err)
{
	const struct record *record = &start->agent->record;
	if (strcmp(rsp->asset, record->asset) != 0 || strcmp(rsp->wallet, record->wallet) != 0 ||
	    rsp->slot <= start->other_slot)
		return error_refuse(
		    err, ERR_DENIED, "holding_differs", "the vault gave another owner's files");
	if (++start->npages > PAGES_MAX)
		return error_refuse(
		    err, ERR_INTERNAL, "answer_malformed", "the vault's pages do not end");
	if (start->npages == 1 && take_first_page(start, rsp, err) != 0)
		return -1;
	return files_add_page(start->files, rsp, err);
}

static void on_page(void *arg, const void *message, const struct error *failed)
{
	struct start *start = arg;
	const struct vault_materialise_rsp *rsp = message;
	struct error err;
	if (is_given_up(start))
		return;
	if (failed) {
		fail_by_code(start, failed);
	} else if (take_page(start, rsp, &err) != 0) {
		fail_by_code(start, &err);
	} else if (rsp->next) {
		ask_page(start, rsp->next);
	} else {
		start->agent->record.egress = *files_egress(start->files);
		start->agent->record.allows_workers = files_allows_workers(start->files);
		agent_save(start->agent, on_complete, start);
	}
}

static void ask_page(struct start *start, uint64_t page)
{
	struct vault_materialise_req req = {.page = page};
	req.grant.len = start->grant_len;
	memcpy(req.grant.data, start->grant, start->grant_len);
	memcpy(req.boot_id, start->boot, sizeof(req.boot_id));
	if (page > 0)
		snprintf(req.after, sizeof(req.after), "%s", files_last(start->files));
	bus_send(start->sandbox->vaults, &vault_materialise_call, &req, clock_unix_ms() + VAULT_MS,
	    "", on_page, start);
	sodium_memzero(&req, sizeof(req));
}

/* ---- 3. the grant */

static void on_grant(void *arg, const void *message, const struct error *err)
{
	struct start *start = arg;
	const struct vault_grant_rsp *rsp = message;
	if (is_given_up(start))
		return;
	if (err) {
		fail_by_code(start, err);
		return;
	}
	start->grant_len = rsp->grant.len;
	memcpy(start->grant, rsp->grant.data, rsp->grant.len);
	start->files = files_new();
	ask_page(start, 0);
}

/* vault.regrant answers with the message of vault.grant, under another name. */
_Static_assert(sizeof(struct vault_regrant_rsp) == sizeof(struct vault_grant_rsp),
    "vault.regrant answers as vault.grant");

static void ask_regrant(struct start *start)
{
	const struct record *record = &start->agent->record;
	struct vault_regrant_req req = {.placement.len = record->placement_len};
	memcpy(req.placement.data, record->placement, record->placement_len);
	memcpy(req.boot_id, start->boot, sizeof(req.boot_id));
	bus_send(start->sandbox->vaults, &vault_regrant_call, &req, clock_unix_ms() + VAULT_MS, "",
	    on_grant, start);
	sodium_memzero(&req, sizeof(req));
}

static void ask_grant(struct start *start)
{
	struct vault_grant_req req = {0};
	struct error err;
	if (!start->owner_token && start->agent->record.placement_len == 0) {
		error_refuse(&err, ERR_UNAVAILABLE, "owner_needed",
		    "the owner has to start it: it never ran here");
		fail(start, MACHINE_REFUSED, &err);
		return;
	}
	if (!start->owner_token) {
		ask_regrant(start);
		return;
	}
	memcpy(req.token, secret_bytes(start->owner_token), secret_len(start->owner_token));
	memcpy(req.boot_id, start->boot, sizeof(req.boot_id));
	snprintf(req.host_key, sizeof(req.host_key), "%s", start->sandbox->host_key);
	bus_send(start->sandbox->vaults, &vault_grant_call, &req, clock_unix_ms() + VAULT_MS, "",
	    on_grant, start);
	sodium_memzero(&req, sizeof(req));
}

/* ---- 2. the holding */

/* With the owner's session, which the vault looks at after this, it is of the present epoch; without, and later on, it must still be. */
static int check_epoch(struct start *start, const struct ledger_owner *owner, struct error *err)
{
	struct record *record = &start->agent->record;
	if (start->owner_token && !start->is_complete)
		memcpy(record->epoch, owner->epoch, sizeof(record->epoch));
	if (owner->epoch[0] && strcmp(record->epoch, owner->epoch) == 0)
		return 0;
	return error_refuse(err, ERR_UNAUTHENTICATED, "session_revoked",
	    "all sessions were ended since: the owner has to start it");
}

static void on_held(void *arg, const struct ledger_owner *owner, const struct error *err)
{
	struct start *start = arg;
	struct error failed;
	if (is_given_up(start))
		return;
	if (err) {
		failed = sandbox_no_ledger(err);
		fail(start, MACHINE_LATER, &failed);
		return;
	}
	const struct record *record = &start->agent->record;
	struct error refused;
	if (!ledger_owner_vouches(owner, record->wallet, record->slot)) {
		error_refuse(&refused, ERR_UNAUTHENTICATED, "session_revoked",
		    "somebody else was seen to own the asset since");
		fail(start, MACHINE_REFUSED, &refused);
		return;
	}
	if (check_epoch(start, owner, &refused) != 0) {
		fail(start, MACHINE_REFUSED, &refused);
		return;
	}
	start->other_slot = owner->other_slot;
	start->position = owner->position;
	memcpy(start->history, owner->history, sizeof(start->history));
	if (start->is_complete)
		judge(start);
	else
		ask_grant(start);
}

static void look(struct start *start)
{
	struct error err;
	if (start->looks++ < LOOKS) {
		ledger_hold(start->sandbox->process->redis, start->agent->record.asset,
		    start->sandbox->holder_name, on_held, start);
		return;
	}
	error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "overtaken by events");
	fail(start, MACHINE_LATER, &err);
}

/* ---- 1. the record */

static void on_written(void *arg, const struct error *err)
{
	struct start *start = arg;
	if (is_given_up(start))
		return;
	if (err)
		fail(start, MACHINE_LATER, err);
	else
		look(start);
}

static void make_boot_id(struct start *start)
{
	uint8_t random[VAULT_BOOT_ID_LEN / 2];
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(start->boot, sizeof(start->boot), random, sizeof(random));
}

static void write_record(struct start *start)
{
	struct agent *agent = start->agent;
	struct record *record = &agent->record;
	memcpy(agent->boot, start->boot, sizeof(agent->boot));
	memcpy(record->boot, start->boot, sizeof(record->boot));
	snprintf(record->image, sizeof(record->image), "%s@sha256:%s", start->image.name,
	    start->image.digest);
	agent_save(agent, on_written, start);
}

void start_new(struct agent *agent)
{
	struct sandbox *sandbox = agent->sandbox;
	struct start *start = calloc(1, sizeof(*start));
	struct error err;
	bug_if(!start || agent->start);
	start->agent = agent;
	start->sandbox = sandbox;
	start->owner_token = agent->owner_token;
	agent->owner_token = NULL;
	agent->start = start;
	make_boot_id(start);
	if (sandbox->driver->prepare(sandbox->driven, sandbox->image, &start->image, &err) != 0) {
		agent->start = NULL;
		start_free(start);
		agent_start_failed(
		    agent, agent->record.placement_len ? MACHINE_LATER : MACHINE_REFUSED, &err);
		return;
	}
	write_record(start);
}
