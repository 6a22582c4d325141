#include "services/sandbox/start.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "services/sandbox/fetch.h"
#include "services/sandbox/holder.h"
#include "services/sandbox/offer.h"
#include "services/sandbox/restore.h"
#include "services/sandbox/snapshot.h"

#define LOOKS 8 /* until it gives up against events that come faster */

struct start {
	struct agent *agent; /* NULL: given up */
	struct sandbox *sandbox;
	struct driver_image image;
	char boot[VAULT_BOOT_ID_LEN + 1];
	struct secret *owner_token, *gateway_token, *volume_key, *snapshot_key, *handed_key;
	struct fetch *fetch;
	struct files *files;
	uint64_t newest; /* snapshot, as the vault says; 0: none */
	uint8_t newest_digest[VAULT_DIGEST_LEN], handed_digest[VAULT_DIGEST_LEN];
	char handed_wallet[PUBKEY_TEXT_MAX + 1];
	enum warden_volume volume;
	bool is_restoring; /* the manifest is asked for */
	bool was_unsaved;  /* before this start */
	uint64_t other_slot;
	bool is_chosen;   /* the volume */
	bool is_complete; /* only the last look is missing */
	unsigned looks;
	char history[HISTORY_MAX + 1];
	struct event_id position;
};

static void wipe(struct start *start)
{
	secret_destroy(&start->owner_token);
	secret_destroy(&start->gateway_token);
	secret_destroy(&start->volume_key);
	secret_destroy(&start->snapshot_key);
	secret_destroy(&start->handed_key);
	fetch_cancel(&start->fetch);
	files_destroy(&start->files);
}

static void start_free(struct start *start)
{
	wipe(start);
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
	restore_destroy(&s->agent->restore);
	s->agent = NULL;
	if (s->fetch || s->is_restoring) {
		start_free(s); /* nobody calls it any more */
		return;
	}
	wipe(s);
}

static void fail(struct start *start, enum machine_fault fault, const struct error *err)
{
	struct agent *agent = start->agent;
	const struct error why = *err;
	if (fault == MACHINE_LATER && agent->record.placement_len == 0)
		fault = MACHINE_REFUSED;
	agent->start = NULL;
	restore_destroy(&agent->restore);
	if (start->is_chosen) /* nothing of it ran */
		agent->record.saved.is_unsaved = start->was_unsaved;
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
	struct driver_start ask = {.of = {agent->id, start->boot},
	    .image = &start->image,
	    .wallet = agent->record.wallet,
	    .period = agent->record.period,
	    .volume_key = secret_bytes(start->volume_key),
	    .limits = &sandbox->limits,
	    .ready_ms = sandbox->ready_ms,
	    .is_narrowed = agent->record.egress.is_narrowed};
	struct cidr ranges[EGRESS_HOSTS_MAX];
	struct warden_archive archive = {0};
	scoped_fd int archive_fd = -1;
	struct error err;
	ask.volume = start->volume;
	ask.archive = &archive;
	ask.range = ranges;
	ask.nranges = egress_ranges(&agent->record.egress, ranges);
	int rc =
	    agent_finish_files(agent, start->files, start->image.kind, false, &ask.files, &err);
	if (rc == 0 && agent->restore)
		rc = restore_open(agent->restore, &archive_fd, &archive, &err);
	ask.archive_fd = archive_fd;
	if (rc == 0)
		rc = sandbox->driver->start(sandbox->driven, &ask, &err);
	sodium_memzero(&archive, sizeof(archive));
	if (rc != 0) {
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

/* ---- 4. which files are current */

static void save(struct start *start)
{
	agent_save(start->agent, on_complete, start);
}

static void on_restore(void *arg, const struct error *err)
{
	struct start *start = arg;
	struct saved *saved = &start->agent->record.saved;
	start->is_restoring = false;
	if (err && strcmp(err->reason, "snapshot_refused") == 0) {
		snapshot_note(start->agent, "failed", err->text);
		fail(start, MACHINE_REFUSED, err);
		return;
	}
	if (err) {
		fail_by_code(start, err);
		return;
	}
	if (!restore_is_handed(start->agent->restore)) {
		saved->number = start->newest;
		memcpy(saved->digest, start->newest_digest, sizeof(saved->digest));
		saved->versions = restore_manifest(start->agent->restore)->versions;
		saved->is_stale = false;
	}
	memset(saved->fingerprint, 0, sizeof(saved->fingerprint));
	/* whatever happens to this process, what it began is noticed */
	saved->must_fill = !restore_is_handed(start->agent->restore);
	memcpy(saved->filling, start->boot, sizeof(saved->filling));
	save(start);
}

/* The agent's volume here is not its newest state, or there is none. */
static void find_archive(struct start *start, bool is_handed)
{
	const struct record *record = &start->agent->record;
	const struct secret *key = is_handed ? start->handed_key : start->snapshot_key;
	const struct restore_ask ask = {.agent = start->agent,
	    .of = {secret_bytes(key), start->agent->id,
		is_handed ? start->handed_wallet : record->wallet, is_handed ? 0 : record->period,
		is_handed ? MANIFEST_HANDED_NUMBER : start->newest},
	    .digest = is_handed ? start->handed_digest : start->newest_digest,
	    .is_handed = is_handed,
	    .done = on_restore,
	    .arg = start};
	struct error err;
	start->volume = WARDEN_VOLUME_FILLED;
	start->agent->restore = restore_new(&ask, &err);
	start->is_restoring = start->agent->restore;
	if (!start->agent->restore)
		fail(start, MACHINE_LATER, &err);
}

static void choose_volume(struct start *start)
{
	struct agent *agent = start->agent;
	enum saved_source source = snapshot_settle(agent, start->newest, start->newest_digest);
	agent->is_accepting &= start->handed_key != NULL;
	start->was_unsaved = agent->record.saved.is_unsaved;
	start->is_chosen = true;
	agent->record.saved.is_unsaved = true;
	if (source == SAVED_FROM_STORE) { /* what was handed over has to wait for the next start */
		find_archive(start, false);
	} else if (agent->is_accepting) {
		find_archive(start, true);
	} else {
		start->volume = source == SAVED_LOCAL ? WARDEN_VOLUME_PRESENT : WARDEN_VOLUME_ANY;
		save(start);
	}
}

/* ---- 3. grant and files */

static struct secret *key_of(const uint8_t *bytes, size_t len)
{
	return len == VAULT_SNAPSHOT_KEY_LEN ? secret_new(bytes, len) : NULL;
}

static int take_first_page(void *arg, const struct vault_materialise_rsp *rsp, struct error *err)
{
	struct start *start = arg;
	struct record *record = &start->agent->record;
	if (rsp->volume_key.len != VAULT_VOLUME_KEY_LEN || rsp->placement.len == 0 ||
	    (rsp->snapshot && (rsp->snapshot_key.len != VAULT_SNAPSHOT_KEY_LEN ||
				  rsp->snapshot_digest.len != VAULT_DIGEST_LEN)))
		return error_refuse(
		    err, ERR_INTERNAL, "answer_malformed", "the vault gave no key for the volume");
	start->volume_key = secret_new(rsp->volume_key.data, rsp->volume_key.len);
	start->snapshot_key = key_of(rsp->snapshot_key.data, rsp->snapshot_key.len);
	start->newest = rsp->snapshot;
	memcpy(start->newest_digest, rsp->snapshot_digest.data, rsp->snapshot_digest.len);
	if (rsp->handed_digest.len == VAULT_DIGEST_LEN)
		start->handed_key = key_of(rsp->handed_key.data, rsp->handed_key.len);
	memcpy(start->handed_digest, rsp->handed_digest.data, rsp->handed_digest.len);
	snprintf(start->handed_wallet, sizeof(start->handed_wallet), "%s", rsp->handed_wallet);
	record_set_period(record, rsp->period, clock_unix_ms());
	record->placement_len = rsp->placement.len;
	memcpy(record->placement, rsp->placement.data, rsp->placement.len);
	record->gateway_grant_len = rsp->gateway_grant.len;
	memcpy(record->gateway_grant, rsp->gateway_grant.data, rsp->gateway_grant.len);
	start->gateway_token =
	    boot_token(BOOT_TOKEN_GATEWAY, record->placement, record->placement_len, start->boot);
	return 0;
}

static void on_fetched(void *arg, struct files *files, const struct error *err)
{
	struct start *start = arg;
	start->fetch = NULL;
	if (err) {
		fail_by_code(start, err);
		return;
	}
	start->files = files;
	start->agent->record.egress = *files_egress(files);
	start->agent->record.allows_workers = files_allows_workers(files);
	offer_learn(start->agent, start->agent->record.wallet, start->handed_key,
	    start->handed_digest, start->handed_wallet);
	choose_volume(start);
}

static void ask_grant(struct start *start)
{
	const struct fetch_ask ask = {.sandbox = start->sandbox,
	    .record = &start->agent->record,
	    .owner_token = start->owner_token,
	    .boot = start->boot,
	    .other_slot = start->other_slot,
	    .first = take_first_page,
	    .done = on_fetched,
	    .arg = start};
	struct error err;
	if (!start->owner_token && start->agent->record.placement_len == 0) {
		error_refuse(&err, ERR_UNAVAILABLE, "owner_needed",
		    "the owner has to start it: it never ran here");
		fail(start, MACHINE_REFUSED, &err);
		return;
	}
	start->fetch = fetch_new(&ask);
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
	if (holder_is_elsewhere(start->sandbox, owner)) {
		error_refuse(&refused, ERR_UNAVAILABLE, "service_unavailable",
		    "the agent was given to another host");
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
	memcpy(record->kind, start->image.kind, sizeof(record->kind));
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
