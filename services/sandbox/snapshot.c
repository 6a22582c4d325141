#include "services/sandbox/snapshot.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/sandbox/roots.h"
#include "services/sandbox/snapshot_internal.h"
#include "services/sandbox/text.h"
#include "services/sandbox/triggers.h"

#define ASKING_US UINT64_C(60000000) /* a vault that is away for longer is away */
#define ASK_AGAIN_MS 2000

const char *snapshot_trigger_name(enum snapshot_trigger trigger)
{
	static const char *const names[] = {
#define SNAPSHOT_NAME(name, text) text,
	    SNAPSHOT_TRIGGERS(SNAPSHOT_NAME)
#undef SNAPSHOT_NAME
	};
	return names[trigger];
}

/* ---- ends */

static void snapshot_free(struct snapshot *snapshot)
{
	fetch_cancel(&snapshot->fetch);
	files_destroy(&snapshot->files);
	secret_destroy(&snapshot->key);
	if (snapshot->out >= 0)
		close(snapshot->out);
	event_free(snapshot->timer);
	sodium_memzero(snapshot, sizeof(*snapshot));
	free(snapshot);
}

bool snapshot_is_given_up(struct snapshot *snapshot)
{
	snapshot->is_awaited = false;
	if (snapshot->agent)
		return false;
	snapshot_free(snapshot);
	return true;
}

static bool delete_name(struct snapshot *snapshot, bool is_there, const char *name)
{
	char key[STORE_KEY_MAX + 1];
	return !is_there || !snapshot_key_of(snapshot, name, key) ||
	       snapshot_delete_key(snapshot->sandbox, key);
}

/* What is stored for nothing; unless the vault may have heard of it. What the store cannot be asked for now is noted, for the next one. */
static void clean_up(struct snapshot *snapshot)
{
	struct saved *saved = &snapshot->agent->record.saved;
	char why[160];
	bool is_away = !store_link_is_ready(snapshot->sandbox->store, why, sizeof(why));
	/* before the pipe ends, or its end would look like the archive's */
	store_link_cancel(snapshot->sandbox->store, snapshot->ticket);
	snapshot->ticket = 0;
	if (snapshot->is_told)
		return;
	if (snapshot->manifest_len > 0 && memcmp(saved->pending.digest, snapshot->manifest_digest,
					      sizeof(saved->pending.digest)) == 0)
		saved->pending = (struct saved_pending){0};
	delete_name(snapshot, snapshot->has_manifest, snapshot->manifest_name);
	if (delete_name(snapshot, snapshot->has_archive, snapshot->version.object) && !is_away &&
	    strcmp(saved->trying, snapshot->version.object) == 0)
		saved->trying[0] = '\0';
}

static void leave(struct snapshot *snapshot)
{
	struct agent *agent = snapshot->agent;
	clean_up(snapshot);
	agent->saving = NULL;
	agent->sandbox->nsaving--;
	snapshot_resume(agent);
	fetch_cancel(&snapshot->fetch);
	if (snapshot->is_awaited) {
		snapshot->agent = NULL;
		event_del(snapshot->timer);
	} else {
		snapshot_free(snapshot);
	}
}

static void count(const struct snapshot *snapshot, const char *outcome)
{
	struct metrics *metrics = snapshot->sandbox->process->metrics;
	char labels[80];
	snprintf(labels, sizeof(labels), "outcome=\"%s\",trigger=\"%s\"", outcome,
	    snapshot_trigger_name(snapshot->trigger));
	metric_add(metrics_counter(metrics, "multiclaw_sandbox_snapshots_total",
		       "Snapshots tried, by what came of them and why they were made.", labels),
	    1);
	if (strcmp(outcome, "made") != 0)
		return;
	histogram_observe_us(
	    snapshot->sandbox->metrics.snapshot_time, clock_boot_us() - snapshot->begun_us);
	if (snapshot->trigger == SNAPSHOT_RESTORE)
		return;
	metric_add(snapshot->sandbox->metrics.snapshot_bytes, snapshot->version.bytes);
	metric_add(snapshot->sandbox->metrics.snapshot_stored, snapshot->version.stored_bytes);
}

void snapshot_note(struct agent *agent, const char *outcome, const char *why)
{
	struct saved *saved = &agent->record.saved;
	bool is_news = strcmp(saved->outcome, outcome) != 0 || strcmp(saved->why, why) != 0;
	snprintf(saved->outcome, sizeof(saved->outcome), "%s", outcome);
	text_copy(saved->why, sizeof(saved->why), why);
	if (strcmp(outcome, "secret_found") != 0)
		agent->refused_path[0] = agent->refused_kind[0] = '\0';
	if (strcmp(outcome, "made") == 0 || (is_news && strcmp(outcome, "unchanged") != 0))
		agent_announce(agent, "snapshot");
}

void snapshot_end(struct snapshot *snapshot, const char *outcome, const char *why)
{
	struct agent *agent = snapshot->agent;
	enum snapshot_trigger trigger = snapshot->trigger;
	char said[SAVED_WHY_MAX + 1];
	bool is_good = strcmp(outcome, "made") == 0 || strcmp(outcome, "unchanged") == 0 ||
		       strcmp(outcome, "handed_over") == 0 ||
		       strcmp(outcome, "nothing_to_save") == 0;
	snprintf(said, sizeof(said), "%s", why);
	log_info("snapshot", "agent", agent->id, "trigger", snapshot_trigger_name(trigger),
	    "outcome", outcome, "number", log_u64(agent->record.saved.number), "bytes",
	    log_u64(snapshot->version.bytes), "stored", log_u64(snapshot->version.stored_bytes),
	    "ms", log_u64((clock_boot_us() - snapshot->begun_us) / 1000), "why",
	    said[0] ? said : NULL);
	count(snapshot, outcome);
	leave(snapshot);
	if (agent->sandbox->is_stopping)
		return;
	snapshot_note(agent, outcome, said);
	triggers_ended(agent, trigger, is_good);
}

void snapshot_fail(struct snapshot *snapshot, const char *outcome, const struct error *err)
{
	snapshot_end(snapshot, outcome, err->text);
}

void snapshot_cancel(struct agent *agent, const char *why)
{
	if (agent->saving)
		snapshot_end(agent->saving, "failed", why);
}

void snapshot_cancel_reading(struct agent *agent, const char *why)
{
	const struct snapshot *snapshot = agent->saving;
	bool reads = snapshot && snapshot->trigger != SNAPSHOT_RESTORE &&
		     (snapshot->trigger != SNAPSHOT_HAND_OVER || snapshot->roots[0]);
	if (reads)
		snapshot_cancel(agent, why);
}

void snapshot_destroy(struct agent *agent)
{
	if (agent->saving)
		leave(agent->saving);
}

bool snapshot_is_brief(const struct error *err)
{
	return err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT || err->code == ERR_BUSY ||
	       err->code == ERR_INTERNAL;
}

/* ---- time */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct snapshot *snapshot = arg;
	(void)fd, (void)what;
	snapshot->on_timer(snapshot);
}

void snapshot_wait(
    struct snapshot *snapshot, uint64_t ms, void (*on_time)(struct snapshot *snapshot))
{
	const struct timeval wait = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
	snapshot->on_timer = on_time;
	evtimer_add(snapshot->timer, &wait);
}

/* ---- 1. secrets, key, and is this volume still the newest state? */

struct manifest_of snapshot_of(const struct snapshot *snapshot)
{
	const struct agent *agent = snapshot->agent;
	bool is_handed = snapshot->trigger == SNAPSHOT_HAND_OVER;
	return (struct manifest_of){secret_bytes(snapshot->key), agent->id, agent->record.wallet,
	    is_handed ? 0 : agent->record.period,
	    is_handed ? MANIFEST_HANDED_NUMBER : snapshot->version.number};
}

static int take_first_page(void *arg, const struct vault_materialise_rsp *rsp, struct error *err)
{
	struct snapshot *snapshot = arg;
	struct agent *agent = snapshot->agent;
	struct saved *saved = &agent->record.saved;
	static const uint8_t none[VAULT_DIGEST_LEN];
	const uint8_t *digest = rsp->snapshot ? rsp->snapshot_digest.data : none;
	if (rsp->period != agent->record.period)
		return error_refuse(err, ERR_DENIED, "holding_differs", "another period has begun");
	if (rsp->snapshot_key.len != VAULT_SNAPSHOT_KEY_LEN ||
	    (rsp->snapshot && rsp->snapshot_digest.len != VAULT_DIGEST_LEN))
		return error_refuse(
		    err, ERR_INTERNAL, "answer_malformed", "the vault gave no key for snapshots");
	if (snapshot->trigger != SNAPSHOT_HAND_OVER) {
		secret_destroy(&snapshot->key); /* of a try before */
		snapshot->key = secret_new(rsp->snapshot_key.data, rsp->snapshot_key.len);
		if (snapshot_settle(agent, rsp->snapshot, digest) == SAVED_FROM_STORE)
			saved->is_stale |= !saved->must_fill;
		if (saved->is_stale)
			return error_refuse(err, ERR_CONFLICT, "snapshot_overtaken",
			    "another host has saved it since: the next start is from that");
		if (saved->must_fill && snapshot->trigger != SNAPSHOT_RESTORE)
			return error_refuse(err, ERR_CONFLICT, "snapshot_overtaken",
			    "an older one was restored: the next start is from that");
	}
	return 0;
}

static void make_version(struct snapshot *snapshot)
{
	struct agent *agent = snapshot->agent;
	struct saved *saved = &agent->record.saved;
	struct version *version = &snapshot->version;
	bool is_handed = snapshot->trigger == SNAPSHOT_HAND_OVER;
	if (snapshot->trigger != SNAPSHOT_RESTORE) {
		uint64_t number = is_handed ? MANIFEST_HANDED_NUMBER : saved->number + 1;
		*version = (struct version){.number = number};
		memcpy(version->boot, agent->record.boot, sizeof(version->boot));
		version_object_make(number, version->object);
	}
	version->number = is_handed ? MANIFEST_HANDED_NUMBER : saved->number + 1;
	version->created_ms = clock_unix_ms();
	memset(version->manifest, 0, sizeof(version->manifest));
	snprintf(version->trigger, sizeof(version->trigger), "%s",
	    snapshot_trigger_name(snapshot->trigger));
}

/* What the vault said may have settled one that was pending, and this one is not kept any more. */
static int check_version(const struct snapshot *snapshot, struct error *err)
{
	struct versions *versions = &snapshot->agent->record.saved.versions;
	const struct version *version = versions_find(versions, snapshot->version.number);
	if (snapshot->trigger != SNAPSHOT_RESTORE ||
	    (version && strcmp(version->object, snapshot->version.object) == 0))
		return 0;
	return error_refuse(err, ERR_NOT_FOUND, "snapshot_unknown", "it is not kept any more");
}

static int exclude(struct snapshot *snapshot, struct error *err)
{
	const char *always = snapshot->sandbox->excluded;
	if (files_excluded(snapshot->files, snapshot->excluded, err) != 0)
		return -1;
	for (; *always; always += strlen(always) + 1)
		if (!roots_add(snapshot->excluded, always))
			return error_refuse(err, ERR_INVALID, "exclude_invalid",
			    "custom/snapshot-exclude: too many paths");
	return 0;
}

static int finish_files(struct snapshot *snapshot, struct error *err)
{
	struct agent *agent = snapshot->agent;
	int fd;
	int rc = agent_finish_files(agent, snapshot->files, agent->record.kind, true, &fd, err);
	return rc == 0 ? exclude(snapshot, err) : -1;
}

static void ask_vault(struct snapshot *snapshot);

/* Of one that ended there is no next time: what is held open for it is worth waiting for. */
static void not_fetched(struct snapshot *snapshot, const struct error *failed)
{
	bool is_asked_again = snapshot->agent->machine.is_held && snapshot_is_brief(failed) &&
			      clock_boot_us() - snapshot->begun_us < ASKING_US;
	bool is_about_files = failed->code == ERR_CONFLICT || failed->code == ERR_INVALID;
	struct error err;
	if (is_asked_again) {
		snapshot_wait(snapshot, ASK_AGAIN_MS, ask_vault);
		return;
	}
	error_refuse(&err, failed->code, failed->reason,
	    "the vault does not say which secrets to look for: %s", failed->text);
	snapshot_fail(snapshot, "failed", is_about_files ? failed : &err);
}

static void on_fetched(void *arg, struct files *files, const struct error *failed)
{
	struct snapshot *snapshot = arg;
	snapshot->fetch = NULL;
	if (failed) {
		not_fetched(snapshot, failed);
		return;
	}
	snapshot->files = files;
	if (snapshot->agent->record.saved.pending.until_ms &&
	    snapshot->trigger != SNAPSHOT_HAND_OVER)
		snapshot_keep_pending(snapshot);
	else
		snapshot_go_on(snapshot);
}

/* ---- 2. what is to be saved */

void snapshot_go_on(struct snapshot *snapshot)
{
	struct error err;
	if (check_version(snapshot, &err) != 0) {
		snapshot_fail(snapshot, "failed", &err);
		return;
	}
	make_version(snapshot);
	if (finish_files(snapshot, &err) != 0)
		snapshot_fail(snapshot, "failed", &err);
	else if (snapshot->trigger == SNAPSHOT_RESTORE)
		snapshot_commit(snapshot);
	else if (snapshot->trigger == SNAPSHOT_HAND_OVER)
		snapshot_clear_handed(snapshot);
	else
		snapshot_archive(snapshot);
}

/* ---- begin */

/* Nothing of the agent may be under way that a snapshot would be in the way of, or would save half of. */
static int may_begin(const struct agent *agent, bool needs_volume, struct error *err)
{
	const struct saved *saved = &agent->record.saved;
	char why[160];
	if (sandbox_serves(agent->sandbox, err) != 0)
		return -1;
	if (!store_link_is_ready(agent->sandbox->store, why, sizeof(why)))
		return error_refuse(err, ERR_UNAVAILABLE, "service_unavailable", "%s", why);
	if (agent->saving || agent->is_driver_saving || agent->start || agent->restore ||
	    agent->machine.phase == MACHINE_STARTING ||
	    agent->sandbox->nsaving >= TRIGGERS_AT_ONCE) {
		error_refuse(err, ERR_BUSY, "snapshot_busy",
		    agent->saving ? "another one is under way" : "not at this moment");
		err->retry_after_s = 1;
		return -1;
	}
	if (!agent->record.wallet[0] || agent->record.placement_len == 0 ||
	    (needs_volume && agent->machine.phase != MACHINE_RUNNING && !agent->machine.is_held))
		return error_refuse(err, ERR_CONFLICT, "agent_not_running",
		    "it does not run now: what there is of it was saved when it was stopped");
	if (needs_volume && (saved->is_stale || saved->must_fill))
		return error_refuse(err, ERR_CONFLICT, "snapshot_overtaken",
		    "its files are not the newest: restart it");
	return 0;
}

static struct snapshot *snapshot_new(struct agent *agent, enum snapshot_trigger trigger)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	bug_if(!snapshot);
	snapshot->agent = agent;
	snapshot->sandbox = agent->sandbox;
	snapshot->trigger = trigger;
	snapshot->begun_us = clock_boot_us();
	snapshot->out = -1;
	snapshot->timer = evtimer_new(agent->sandbox->process->base, on_timer, snapshot);
	bug_if(!snapshot->timer);
	memcpy(snapshot->roots, agent->sandbox->roots, sizeof(snapshot->roots));
	agent->saving = snapshot;
	agent->sandbox->nsaving++;
	return snapshot;
}

static void ask_vault(struct snapshot *snapshot)
{
	struct agent *agent = snapshot->agent;
	uint8_t random[VAULT_BOOT_ID_LEN / 2];
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(snapshot->grant_boot, sizeof(snapshot->grant_boot), random, sizeof(random));
	const struct fetch_ask ask = {.sandbox = agent->sandbox,
	    .record = &agent->record,
	    .boot = snapshot->grant_boot,
	    .first = take_first_page,
	    .done = on_fetched,
	    .arg = snapshot};
	snapshot->fetch = fetch_new(&ask);
}

static void go(struct snapshot *snapshot)
{
	ask_vault(snapshot);
	triggers_changed(snapshot->agent);
}

int snapshot_begin(struct agent *agent, enum snapshot_trigger trigger, struct error *err)
{
	if (may_begin(agent, true, err) != 0)
		return -1;
	go(snapshot_new(agent, trigger));
	return 0;
}

int snapshot_begin_restore(struct agent *agent, uint64_t number, struct error *err)
{
	const struct version *version = versions_find(&agent->record.saved.versions, number);
	if (!version)
		return error_refuse(
		    err, ERR_NOT_FOUND, "snapshot_unknown", "no such snapshot is kept");
	if (version->is_damaged)
		return error_refuse(err, ERR_CONFLICT, "snapshot_damaged",
		    "its files were found damaged when they were to be restored");
	if (may_begin(agent, false, err) != 0)
		return -1;
	struct snapshot *snapshot = snapshot_new(agent, SNAPSHOT_RESTORE);
	snapshot->version = *version;
	go(snapshot);
	return 0;
}

int snapshot_begin_hand_over(struct agent *agent, const char *roots, struct error *err)
{
	if (may_begin(agent, roots[0], err) != 0)
		return -1;
	struct snapshot *snapshot = snapshot_new(agent, SNAPSHOT_HAND_OVER);
	uint8_t key[VAULT_SNAPSHOT_KEY_LEN];
	memset(snapshot->roots, 0, sizeof(snapshot->roots));
	for (; *roots; roots += strlen(roots) + 1)
		bug_if(!roots_add(snapshot->roots, roots));
	randombytes_buf(key, sizeof(key));
	snapshot->key = secret_new(key, sizeof(key));
	sodium_memzero(key, sizeof(key));
	go(snapshot);
	return 0;
}

const char *snapshot_doing(const struct agent *agent)
{
	if (agent->restore)
		return "restore";
	if (!agent->saving)
		return "";
	return agent->saving->trigger == SNAPSHOT_RESTORE     ? "restore"
	       : agent->saving->trigger == SNAPSHOT_HAND_OVER ? "hand_over"
							      : "snapshot";
}

void snapshot_progress(const struct agent *agent, uint64_t *done_r, uint64_t *total_r)
{
	*done_r = agent->saving ? agent->saving->bytes : agent->restored_bytes;
	*total_r = agent->saving ? agent->saving->total_bytes : agent->restore_bytes;
}
