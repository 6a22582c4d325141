/* snapshot_commit - the archive is stored: its manifest is, and then the vault is told, by which it is the newest (or, of a hand-over, there to be taken). */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/sandbox/offer.h"
#include "services/sandbox/snapshot_internal.h"

#define PENDING_MS 120000 /* until when the vault may hear of it, whatever its clock says */
#define KEEP_MS 10000     /* of one try */
#define KEEP_TRIES 3
#define AGAIN_MS 1000
#define STORE_MS 120000

/* ---- 4. it is the newest */

/* A start asks the vault too: what it was told then may have settled this one. */
static bool is_settled(const struct snapshot *snapshot)
{
	const struct saved_pending *pending = &snapshot->agent->record.saved.pending;
	return !pending->until_ms ||
	       memcmp(pending->digest, snapshot->told_digest, sizeof(pending->digest)) != 0;
}

static void take_settled(struct snapshot *snapshot)
{
	const struct saved *saved = &snapshot->agent->record.saved;
	if (saved->number != snapshot->told_number ||
	    memcmp(saved->digest, snapshot->told_digest, sizeof(saved->digest)) != 0) {
		snapshot_end(snapshot, "failed", "the vault was not heard of for too long");
	} else if (!snapshot->is_of_before) {
		snapshot_end(snapshot, "made", "");
	} else if (saved->must_fill && snapshot->trigger != SNAPSHOT_RESTORE) {
		snapshot_end(snapshot, "failed", "an older one was restored: restart it");
	} else {
		snapshot->is_of_before = snapshot->is_told = false;
		snapshot->tries = 0;
		snapshot_go_on(snapshot);
	}
}

static void made(struct snapshot *snapshot)
{
	/* settling it is what a start would do, if this process had ended here */
	snapshot_settle(snapshot->agent, snapshot->told_number, snapshot->told_digest);
	take_settled(snapshot);
}

/* A try before this one may have been heard, its answer lost. */
static bool is_known_refused(const struct snapshot *snapshot)
{
	return snapshot->tries == 0 && !snapshot->is_of_before;
}

/* What another host went on from is named by its manifest, so this one's archive is left until that was read: a start does, and what it does not name is removed by the
 * snapshot after that. Older manifests are not read any more. */
static void overtaken(struct snapshot *snapshot)
{
	struct saved *saved = &snapshot->agent->record.saved;
	char name[VERSION_MANIFEST_LEN + 1];
	struct error err;
	saved->is_stale = true;
	if (is_known_refused(snapshot)) {
		snapshot->is_told = false;
	} else {
		version_manifest_name(snapshot->told_number, snapshot->told_digest, name);
		snapshot_discard(snapshot->agent, name);
		if (!versions_have_object(&saved->versions, saved->pending.version.object))
			memcpy(saved->trying, saved->pending.version.object, sizeof(saved->trying));
	}
	saved->pending = (struct saved_pending){0};
	error_refuse(&err, ERR_CONFLICT, "snapshot_overtaken",
	    "another host has saved it since: the next start is from that");
	snapshot_fail(snapshot, "failed", &err);
}

static void refused(struct snapshot *snapshot, const struct error *err)
{
	if (is_known_refused(snapshot)) {
		snapshot->agent->record.saved.pending = (struct saved_pending){0};
		snapshot->is_told = false;
	}
	snapshot_fail(snapshot, "failed", err);
}

static void keep(struct snapshot *snapshot);

/* Whether the vault has heard it is not known: what is pending is settled with its next answer. */
static void keep_again(struct snapshot *snapshot, const struct error *err)
{
	if (++snapshot->tries < KEEP_TRIES)
		snapshot_wait(snapshot, AGAIN_MS, keep);
	else
		snapshot_fail(snapshot, "failed", err);
}

static void on_kept(void *arg, const void *message, const struct error *err)
{
	struct snapshot *snapshot = arg;
	(void)message;
	if (snapshot_is_given_up(snapshot))
		return;
	if (is_settled(snapshot))
		take_settled(snapshot);
	else if (!err)
		made(snapshot);
	else if (strcmp(err->reason, "snapshot_overtaken") == 0)
		overtaken(snapshot);
	else if (snapshot_is_brief(err))
		keep_again(snapshot, err);
	else
		refused(snapshot, err);
}

static void keep(struct snapshot *snapshot)
{
	const struct record *record = &snapshot->agent->record;
	struct vault_keep_req req = {
	    .base = snapshot->told_number - 1, .digest.len = VAULT_DIGEST_LEN};
	if (is_settled(snapshot)) {
		take_settled(snapshot);
		return;
	}
	snapshot->is_told = true;
	req.placement.len = record->placement_len;
	memcpy(req.placement.data, record->placement, record->placement_len);
	memcpy(req.digest.data, snapshot->told_digest, VAULT_DIGEST_LEN);
	snapshot->is_awaited = true;
	bus_send(snapshot->sandbox->vaults, &vault_keep_call, &req, clock_unix_ms() + KEEP_MS, "",
	    on_kept, snapshot);
	sodium_memzero(&req, sizeof(req));
}

/* ---- 3. noted, before the vault is told */

static void on_noted(void *arg, const struct error *err)
{
	struct snapshot *snapshot = arg;
	if (snapshot_is_given_up(snapshot))
		return;
	if (err)
		refused(snapshot, err);
	else
		keep(snapshot);
}

static void note(struct snapshot *snapshot)
{
	struct saved_pending *pending = &snapshot->agent->record.saved.pending;
	pending->until_ms = clock_unix_ms() + PENDING_MS;
	snapshot->told_number = pending->version.number;
	memcpy(snapshot->told_digest, pending->digest, sizeof(snapshot->told_digest));
	snapshot->is_awaited = true;
	agent_save(snapshot->agent, on_noted, snapshot);
}

/* Nobody knows what came of the last one: telling the vault again makes it so, or says that it never will be. */
void snapshot_keep_pending(struct snapshot *snapshot)
{
	snapshot->is_of_before = snapshot->is_told = true;
	note(snapshot);
}

static void note_own(struct snapshot *snapshot)
{
	struct saved_pending *pending = &snapshot->agent->record.saved.pending;
	*pending = (struct saved_pending){
	    .must_fill = snapshot->trigger == SNAPSHOT_RESTORE, .version = snapshot->version};
	memcpy(pending->digest, snapshot->manifest_digest, sizeof(pending->digest));
	memcpy(pending->fingerprint, snapshot->fingerprint, sizeof(pending->fingerprint));
	note(snapshot);
}

/* ---- of a hand-over: the vault has its key */

static void on_handed(void *arg, const void *message, const struct error *err)
{
	struct snapshot *snapshot = arg;
	(void)message;
	if (snapshot_is_given_up(snapshot))
		return;
	if (err) {
		snapshot_fail(snapshot, "failed", err);
		return;
	}
	snapshot->has_archive = snapshot->has_manifest = false;
	memcpy(snapshot->agent->record.saved.handed, snapshot->manifest_name,
	    sizeof(snapshot->manifest_name));
	snapshot_end(snapshot, "handed_over", "");
}

static void tell_vault(struct snapshot *snapshot, bool is_something, bus_done done)
{
	const struct record *record = &snapshot->agent->record;
	struct vault_hand_over_req req = {.placement.len = record->placement_len};
	memcpy(req.placement.data, record->placement, record->placement_len);
	if (is_something) {
		req.key.len = secret_len(snapshot->key);
		memcpy(req.key.data, secret_bytes(snapshot->key), req.key.len);
		req.digest.len = VAULT_DIGEST_LEN;
		memcpy(req.digest.data, snapshot->manifest_digest, VAULT_DIGEST_LEN);
	}
	snapshot->is_awaited = true;
	bus_send(snapshot->sandbox->vaults, &vault_hand_over_call, &req, clock_unix_ms() + KEEP_MS,
	    "", done, snapshot);
	sodium_memzero(&req, sizeof(req));
}

/* ---- 2. the manifest is stored */

static void on_stored(void *arg, const struct store_ended *ended)
{
	struct snapshot *snapshot = arg;
	struct error err;
	snapshot->ticket = 0;
	if (!ended->is_done) {
		store_failed(ended, "the store", &err);
		snapshot_fail(snapshot, "failed", &err);
		return;
	}
	event_del(snapshot->timer);
	snapshot->has_manifest = true;
	if (ended->bytes != snapshot->manifest_len ||
	    memcmp(ended->digest, snapshot->manifest_digest, VAULT_DIGEST_LEN) != 0) {
		error_refuse(&err, ERR_UNAVAILABLE, "snapshot_failed",
		    "what was stored is not what was written");
		snapshot_fail(snapshot, "failed", &err);
	} else if (snapshot->trigger == SNAPSHOT_HAND_OVER) {
		tell_vault(snapshot, true, on_handed);
	} else {
		note_own(snapshot);
	}
}

static void on_stalled(struct snapshot *snapshot)
{
	struct error err;
	error_refuse(
	    &err, ERR_TIMEOUT, "snapshot_stalled", "the store did not take the manifest in time");
	snapshot_fail(snapshot, "failed", &err);
}

static int store_manifest(struct snapshot *snapshot, struct error *err)
{
	char key[STORE_KEY_MAX + 1];
	int ends[2];
	bug_if(!snapshot_key_of(snapshot, snapshot->manifest_name, key));
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return error_refuse(
		    err, ERR_UNAVAILABLE, "host_failing", "pipe: %s", strerror(errno));
	/* it fits into the pipe */
	ssize_t n = write(ends[1], snapshot->manifest, snapshot->manifest_len);
	close(ends[1]);
	if (n == (ssize_t)snapshot->manifest_len)
		snapshot->ticket = store_link_put(snapshot->sandbox->store, key, ends[0],
		    MANIFEST_BYTES_MAX, on_stored, snapshot, err);
	else
		error_refuse(err, ERR_UNAVAILABLE, "host_failing", "pipe: %s", strerror(errno));
	close(ends[0]);
	return snapshot->ticket ? 0 : -1;
}

/* ---- 1. the manifest */

static void write_manifest(struct snapshot *snapshot)
{
	const struct saved *saved = &snapshot->agent->record.saved;
	const struct manifest_of of = snapshot_of(snapshot);
	struct manifest manifest = {0};
	memcpy(manifest.roots, snapshot->roots, sizeof(manifest.roots));
	if (snapshot->trigger != SNAPSHOT_HAND_OVER) {
		manifest.versions = saved->versions;
		if (manifest.versions.n > 0)
			memcpy(manifest.versions.item[0].manifest, saved->digest,
			    sizeof(manifest.versions.item[0].manifest));
	}
	versions_add(
	    &manifest.versions, &snapshot->version, snapshot->sandbox->snapshot_keep, NULL, NULL);
	snapshot->manifest_len = manifest_encode(&of, &manifest, snapshot->manifest);
	manifest_digest(snapshot->manifest, snapshot->manifest_len, snapshot->manifest_digest);
	version_manifest_name(of.number, snapshot->manifest_digest, snapshot->manifest_name);
}

void snapshot_commit(struct snapshot *snapshot)
{
	struct error err;
	snapshot_resume(snapshot->agent);
	files_destroy(&snapshot->files);
	write_manifest(snapshot);
	snapshot_wait(snapshot, STORE_MS, on_stalled);
	if (store_manifest(snapshot, &err) != 0)
		snapshot_fail(snapshot, "failed", &err);
}

/* ---- what was handed over before, by this owner or to this owner, is not any more */

static void on_swept(void *arg, const struct store_ended *ended)
{
	struct snapshot *snapshot = arg;
	struct error err;
	snapshot->ticket = 0;
	if (!ended->is_done) {
		store_failed(ended, "the store", &err);
		snapshot_fail(snapshot, "failed", &err);
	} else if (snapshot->roots[0]) {
		event_del(snapshot->timer);
		snapshot_archive(snapshot);
	} else {
		snapshot_end(snapshot, "handed_over", "");
	}
}

static void on_cleared(void *arg, const void *message, const struct error *err)
{
	struct snapshot *snapshot = arg;
	char folder[STORE_KEY_MAX + 1];
	struct error failed;
	(void)message;
	if (snapshot_is_given_up(snapshot))
		return;
	if (err) {
		snapshot_fail(snapshot, "failed", err);
		return;
	}
	offer_forget(snapshot->agent);
	snapshot->agent->record.saved.handed[0] = '\0';
	agent_save(snapshot->agent, NULL, NULL);
	bug_if(!store_key_handed_over(folder, snapshot->agent->id, ""));
	snapshot_wait(snapshot, STORE_MS, on_stalled);
	snapshot->ticket =
	    store_link_sweep(snapshot->sandbox->store, folder, on_swept, snapshot, &failed);
	if (!snapshot->ticket)
		snapshot_fail(snapshot, "failed", &failed);
}

void snapshot_clear_handed(struct snapshot *snapshot)
{
	tell_vault(snapshot, false, on_cleared);
}
