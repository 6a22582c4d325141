/* snapshot_archive - the archive: from the driver, through a pipe, into the store. This process holds the pipe's write end, too, and lets it go when the driver has said that all of it was written,
 * so that no archive that broke off looks to the store like one that ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "services/sandbox/snapshot_internal.h"
#include "services/sandbox/text.h"
#include "services/sandbox/triggers.h"

#define PIPE_BYTES (1 << 20)
#define STALLED_MS 300000 /* without a byte more */
#define HOOK_MS 15000     /* beyond what the driver lets it run */
#define HOOK_RUN_MS 10000
#define FREEZE_BELOW (64u << 20)
#define MIB (1024 * 1024)

/* ---- both have ended */

static void compare(struct snapshot *snapshot)
{
	struct error err;
	if (!snapshot->is_made || !snapshot->is_stored)
		return;
	if (snapshot->stored_bytes == snapshot->version.stored_bytes &&
	    memcmp(snapshot->stored_digest, snapshot->version.digest,
		sizeof(snapshot->stored_digest)) == 0) {
		snapshot_commit(snapshot);
		return;
	}
	error_refuse(
	    &err, ERR_UNAVAILABLE, "snapshot_failed", "what was stored is not what was written");
	snapshot_fail(snapshot, "failed", &err);
}

static void on_stored(void *arg, const struct store_ended *ended)
{
	struct snapshot *snapshot = arg;
	struct error err;
	snapshot->ticket = 0;
	if (!ended->is_done) {
		store_failed(ended, "the store", &err);
		snapshot_fail(
		    snapshot, ended->failure == STORE_TOO_LARGE ? "too_large" : "failed", &err);
		return;
	}
	snapshot->is_stored = snapshot->has_archive = true;
	snapshot->stored_bytes = ended->bytes;
	memcpy(snapshot->stored_digest, ended->digest, sizeof(snapshot->stored_digest));
	if (!snapshot->is_made) { /* it has ended, although nobody has said so: not by the rules */
		error_refuse(
		    &err, ERR_UNAVAILABLE, "snapshot_failed", "the store has ended it too early");
		snapshot_fail(snapshot, "failed", &err);
		return;
	}
	compare(snapshot);
}

/* ---- the driver */

static bool had_files(const struct agent *agent)
{
	const struct versions *versions = &agent->record.saved.versions;
	return versions->n > 0 && versions->item[0].files > 0;
}

static void take_made(struct snapshot *snapshot, const struct driver_snapshotted *told)
{
	struct version *version = &snapshot->version;
	version->bytes = told->bytes;
	version->files = told->files;
	version->stored_bytes = told->stored_bytes;
	memcpy(version->digest, told->digest, sizeof(version->digest));
	memcpy(snapshot->fingerprint, told->fingerprint, sizeof(snapshot->fingerprint));
	if (told->unsettled || told->skipped)
		log_warn("a snapshot is not complete", "agent", snapshot->agent->id, "unsettled",
		    log_u64(told->unsettled), "skipped", log_u64(told->skipped));
	if (told->files == 0) {
		bool is_loss =
		    had_files(snapshot->agent) && snapshot->trigger != SNAPSHOT_HAND_OVER;
		snapshot_end(snapshot, is_loss ? "empty" : "nothing_to_save",
		    is_loss ? "there is nothing left to save; the last snapshot stays"
			    : "there is nothing to save");
		return;
	}
	snapshot->is_made = true;
	close(snapshot->out);
	snapshot->out = -1;
	snapshot_wait(snapshot, STALLED_MS, snapshot->on_timer);
	compare(snapshot);
}

static void take_secret(struct snapshot *snapshot, const struct driver_snapshotted *told)
{
	struct agent *agent = snapshot->agent;
	char why[SAVED_WHY_MAX + 1], path[90 + 1], kind[60 + 1];
	text_copy(agent->refused_path, sizeof(agent->refused_path), told->path);
	text_copy(agent->refused_kind, sizeof(agent->refused_kind), told->kind);
	text_copy(path, sizeof(path), told->path);
	text_copy(kind, sizeof(kind), told->kind);
	snprintf(why, sizeof(why), "%s holds %s", path, kind);
	log_audit("snapshot", "outcome", "refused: a secret is in it", "agent", agent->id, "kind",
	    told->kind);
	snapshot_end(snapshot, "secret_found", why);
}

void snapshot_told(struct agent *agent, const struct driver_snapshotted *told)
{
	struct snapshot *snapshot = agent->saving;
	agent->is_driver_saving = false;
	if (!snapshot || snapshot->out < 0 || !snapshot->ticket) /* given up before */
		return;
	switch (told->outcome) {
	case WARDEN_MADE:
		take_made(snapshot, told);
		break;
	case WARDEN_UNCHANGED:
		snapshot_end(snapshot, "unchanged", "");
		break;
	case WARDEN_SECRET_FOUND:
		take_secret(snapshot, told);
		break;
	case WARDEN_TOO_LARGE:
		snapshot_end(snapshot, "too_large", told->text);
		break;
	case WARDEN_NOT_SAVED:
		snapshot_end(snapshot, "failed", told->text);
		break;
	}
}

static void on_stalled(struct snapshot *snapshot)
{
	struct error err;
	error_refuse(&err, ERR_TIMEOUT, "snapshot_stalled", "nothing more of it came for %d s",
	    STALLED_MS / 1000);
	snapshot_fail(snapshot, "failed", &err);
}

void snapshot_told_saving(struct agent *agent, uint64_t bytes, uint64_t total_bytes)
{
	struct snapshot *snapshot = agent->saving;
	if (!snapshot || snapshot->out < 0)
		return;
	if (bytes != snapshot->bytes)
		snapshot_wait(snapshot, STALLED_MS, on_stalled);
	snapshot->bytes = bytes;
	snapshot->total_bytes = total_bytes;
	triggers_changed(agent);
}

static bool must_freeze(const struct agent *agent)
{
	const struct versions *versions = &agent->record.saved.versions;
	return agent->machine.phase == MACHINE_RUNNING && versions->n > 0 &&
	       versions->item[0].bytes < FREEZE_BELOW;
}

static int ask_driver(struct snapshot *snapshot, struct error *err)
{
	struct agent *agent = snapshot->agent;
	struct sandbox *sandbox = snapshot->sandbox;
	const struct saved *saved = &agent->record.saved;
	static const uint8_t any[32];
	struct warden_archive archive = {.number = snapshot->version.number,
	    .period = snapshot->trigger == SNAPSHOT_HAND_OVER ? 0 : agent->record.period};
	struct driver_snapshot ask = {.of = {agent->id, agent->boot},
	    .archive = &archive,
	    .out = snapshot->out,
	    .bytes_max = sandbox->snapshot_max_mib * MIB,
	    .fingerprint = snapshot->trigger == SNAPSHOT_HAND_OVER || saved->number == 0
			       ? any
			       : saved->fingerprint,
	    .level = (uint8_t)sandbox->snapshot_level,
	    .must_freeze = must_freeze(agent),
	    .roots = snapshot->roots,
	    .excluded = snapshot->excluded};
	version_archive_key(secret_bytes(snapshot->key), snapshot->version.object, archive.key);
	memcpy(archive.boot, snapshot->version.boot, sizeof(archive.boot));
	memcpy(archive.wallet, agent->record.wallet, sizeof(archive.wallet));
	ask.secrets = files_fd(snapshot->files);
	int rc = sandbox->driver->snapshot(sandbox->driven, &ask, err);
	sodium_memzero(&archive, sizeof(archive));
	agent->is_driver_saving = rc == 0;
	return rc;
}

static int open_archive(struct snapshot *snapshot, struct error *err)
{
	struct sandbox *sandbox = snapshot->sandbox;
	char key[STORE_KEY_MAX + 1];
	int ends[2];
	bug_if(!snapshot_key_of(snapshot, snapshot->version.object, key));
	if (pipe2(ends, O_CLOEXEC) != 0)
		return error_refuse(
		    err, ERR_UNAVAILABLE, "host_failing", "pipe: %s", strerror(errno));
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
	snapshot->out = ends[1];
	/* compressed it may be a little more than it was, never much */
	snapshot->ticket = store_link_put(sandbox->store, key, ends[0],
	    sandbox->snapshot_max_mib * MIB + sandbox->snapshot_max_mib * MIB / 8 + MIB, on_stored,
	    snapshot, err);
	close(ends[0]);
	return snapshot->ticket ? 0 : -1;
}

/* Nothing is pending: what a try before this one has left, which a crash may have ended, is of no use. */
static void note_trying(struct snapshot *snapshot)
{
	struct agent *agent = snapshot->agent;
	struct saved *saved = &agent->record.saved;
	if (saved->trying[0] && !versions_have_object(&saved->versions, saved->trying))
		snapshot_discard(agent, saved->trying);
	memcpy(saved->trying, snapshot->version.object, sizeof(saved->trying));
	agent_save(agent, NULL, NULL);
}

static void save(struct snapshot *snapshot)
{
	struct agent *agent = snapshot->agent;
	struct error err;
	if (agent->machine.phase != MACHINE_RUNNING && !agent->machine.is_held) {
		error_refuse(&err, ERR_CONFLICT, "agent_ended", "it ended meanwhile");
		snapshot_fail(snapshot, "failed", &err);
		return;
	}
	if (snapshot->trigger != SNAPSHOT_HAND_OVER)
		note_trying(snapshot);
	snapshot_wait(snapshot, STALLED_MS, on_stalled);
	if (open_archive(snapshot, &err) != 0 || ask_driver(snapshot, &err) != 0)
		snapshot_fail(snapshot, "failed", &err);
}

/* ---- hooks */

static bool run_hook(struct agent *agent, const char *command)
{
	struct sandbox *sandbox = agent->sandbox;
	const struct driver_boot of = {agent->id, agent->boot};
	char argv[1024];
	size_t len = 0;
	struct error err;
	for (const char *at = command; *at && len < sizeof(argv) - 1;) {
		size_t word = strcspn(at, " ");
		if (word > sizeof(argv) - 1 - len)
			word = sizeof(argv) - 1 - len;
		memcpy(argv + len, at, word);
		len += word;
		if (word > 0)
			argv[len++] = '\0';
		at += word;
		at += *at == ' ';
	}
	if (len == 0 || agent->exec || agent->hook || agent->machine.phase != MACHINE_RUNNING)
		return false;
	if (sandbox->driver->exec(sandbox->driven, &of, argv, len, HOOK_RUN_MS, &err) == 0)
		return true;
	log_warn("a hook could not be run", "agent", agent->id, "why", err.text);
	return false;
}

static void on_quiet_time(struct snapshot *snapshot)
{
	log_warn("the hook before a snapshot did not end", "agent", snapshot->agent->id);
	save(snapshot);
}

void snapshot_told_hook(struct agent *agent, int status, const char *why)
{
	enum agent_hook hook = agent->hook;
	agent->hook = AGENT_HOOK_NONE;
	if (why[0] || status != 0)
		log_warn("a hook failed", "agent", agent->id, "hook",
		    hook == AGENT_HOOK_QUIESCE ? "quiesce" : "resume", "why", why[0] ? why : NULL,
		    "status", log_u64((uint64_t)(unsigned)status));
	if (hook == AGENT_HOOK_QUIESCE && agent->saving && agent->saving->on_timer == on_quiet_time)
		save(agent->saving);
	else if (agent->must_resume)
		snapshot_resume(agent);
}

void snapshot_resume(struct agent *agent)
{
	agent->must_resume = agent->is_quiet;
	/* each of these comes back to it at its end */
	if (!agent->is_quiet || agent->hook || agent->exec || !agent->sandbox->is_driver_ready)
		return;
	agent->is_quiet = agent->must_resume = false;
	if (run_hook(agent, agent->sandbox->snapshot_resume))
		agent->hook = AGENT_HOOK_RESUME;
}

void snapshot_archive(struct snapshot *snapshot)
{
	struct agent *agent = snapshot->agent;
	if (!run_hook(agent, agent->sandbox->snapshot_quiesce)) {
		save(snapshot);
		return;
	}
	agent->hook = AGENT_HOOK_QUIESCE;
	agent->is_quiet = true;
	agent->must_resume = false;
	snapshot_wait(snapshot, HOOK_MS, on_quiet_time);
}
