#include "services/sandbox/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/scoped.h"
#include "proto/store_key.h"
#include "services/sandbox/store_link.h"

#define PIPE_BYTES (1 << 20)
#define MANIFEST_MS 30000  /* longest wait for a manifest */
#define STORE_SAYS_MS 5000 /* longest wait for its word on a GET that broke off */

struct restore {
	struct restore_ask ask;
	struct sandbox *sandbox;
	uint8_t key[VAULT_SNAPSHOT_KEY_LEN], digest[VAULT_DIGEST_LEN];
	char wallet[PUBKEY_TEXT_MAX + 1];
	uint64_t period, number;
	int manifest_fd; /* read end; -1 */
	uint64_t ticket; /* of the manifest, then of the archive */
	size_t chosen;
	struct manifest manifest;
	bool is_ended;       /* the archive's GET is */
	bool is_store_fault; /* it ended for a reason that says nothing of the archive */
	char fault[160];
	char why[160];          /* what the driver said */
	struct event *late;     /* of the manifest */
	struct event *patience; /* not NULL: the driver has given up, the store is waited for */
};

void restore_destroy(struct restore **restore)
{
	struct restore *r = *restore;
	if (!r)
		return;
	*restore = NULL;
	store_link_cancel(r->sandbox->store, r->ticket);
	if (r->manifest_fd >= 0)
		close(r->manifest_fd);
	if (r->late)
		event_free(r->late);
	if (r->patience)
		event_free(r->patience);
	sodium_memzero(r, sizeof(*r));
	free(r);
}

static struct manifest_of of(const struct restore *restore)
{
	return (struct manifest_of){restore->key, restore->ask.agent->id, restore->wallet,
	    restore->period, restore->number};
}

static bool key_of(const struct restore *restore, const char *name, char key[STORE_KEY_MAX + 1])
{
	const char *agent = restore->ask.agent->id;
	return restore->ask.is_handed
		   ? store_key_handed_over(key, agent, name)
		   : store_key_of_period(key, agent, restore->wallet, restore->period, name);
}

/* ---- the manifest */

static int refuse(struct error *err, const char *why)
{
	return error_refuse(err, ERR_UNAVAILABLE, "snapshot_refused", "%s", why);
}

/* What this host has found damaged is not tried again. */
static int choose(struct restore *restore, struct error *err)
{
	struct saved *saved = &restore->ask.agent->record.saved;
	struct versions *versions = &restore->manifest.versions;
	for (size_t i = 0; i < versions->n; i++) {
		const struct version *known =
		    versions_find(&saved->versions, versions->item[i].number);
		if (known && !restore->ask.is_handed && known->is_damaged &&
		    strcmp(known->object, versions->item[i].object) == 0)
			versions->item[i].is_damaged = true;
	}
	for (restore->chosen = 0; restore->chosen < versions->n; restore->chosen++)
		if (!versions->item[restore->chosen].is_damaged)
			return 0;
	return refuse(err, "every snapshot that is kept is damaged");
}

static int take_manifest(
    struct restore *restore, const struct store_ended *ended, struct error *err)
{
	uint8_t bytes[MANIFEST_BYTES_MAX], digest[VAULT_DIGEST_LEN];
	size_t len = 0;
	ssize_t n;
	struct manifest_of it = of(restore);
	while (len < sizeof(bytes) &&
	       (n = read(restore->manifest_fd, bytes + len, sizeof(bytes) - len)) > 0)
		len += (size_t)n;
	manifest_digest(bytes, len, digest);
	if (len != ended->bytes || memcmp(digest, restore->digest, sizeof(digest)) != 0)
		return refuse(err, "the newest snapshot's manifest is not the one that was kept: "
				   "altered, or of an older one");
	if (manifest_decode(&it, bytes, len, &restore->manifest, err) != 0) {
		err->code = ERR_UNAVAILABLE;
		return -1;
	}
	return choose(restore, err);
}

static void on_manifest(void *arg, const struct store_ended *ended)
{
	struct restore *restore = arg;
	struct error err;
	int rc;
	restore->ticket = 0;
	evtimer_del(restore->late);
	if (ended->is_done)
		rc = take_manifest(restore, ended, &err);
	else if (ended->failure == STORE_NOT_FOUND)
		rc = refuse(&err, "the newest snapshot's manifest is not in the store");
	else if (ended->failure == STORE_DAMAGED || ended->failure == STORE_TOO_LARGE)
		rc = refuse(&err, "the newest snapshot's manifest is damaged");
	else
		rc = store_failed(ended, "the snapshot to start from", &err);
	close(restore->manifest_fd);
	restore->manifest_fd = -1;
	restore->ask.done(restore->ask.arg, rc == 0 ? NULL : &err);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct restore *restore = arg;
	struct error err;
	(void)fd, (void)what;
	store_link_cancel(restore->sandbox->store, restore->ticket);
	restore->ticket = 0;
	error_refuse(&err, ERR_TIMEOUT, "service_unavailable",
	    "the store did not give the newest snapshot's manifest in time");
	restore->ask.done(restore->ask.arg, &err);
}

static int ask_manifest(struct restore *restore, struct error *err)
{
	char name[VERSION_MANIFEST_LEN + 1], key[STORE_KEY_MAX + 1];
	int ends[2];
	version_manifest_name(restore->number, restore->digest, name);
	bug_if(!key_of(restore, name, key));
	/* it fits into the pipe, so that nobody has to read meanwhile */
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return error_refuse(
		    err, ERR_UNAVAILABLE, "host_failing", "pipe: %s", strerror(errno));
	restore->manifest_fd = ends[0];
	restore->ticket = store_link_get(
	    restore->sandbox->store, key, ends[1], MANIFEST_BYTES_MAX, on_manifest, restore, err);
	close(ends[1]);
	if (!restore->ticket)
		return -1;
	const struct timeval wait = {.tv_sec = MANIFEST_MS / 1000};
	restore->late = evtimer_new(restore->sandbox->process->base, on_late, restore);
	bug_if(!restore->late);
	evtimer_add(restore->late, &wait);
	return 0;
}

struct restore *restore_new(const struct restore_ask *ask, struct error *err)
{
	struct restore *restore = calloc(1, sizeof(*restore));
	bug_if(!restore);
	restore->ask = *ask;
	restore->sandbox = ask->agent->sandbox;
	restore->manifest_fd = -1;
	restore->period = ask->of.period;
	restore->number = ask->of.number;
	memcpy(restore->key, ask->of.key, sizeof(restore->key));
	memcpy(restore->digest, ask->digest, sizeof(restore->digest));
	snprintf(restore->wallet, sizeof(restore->wallet), "%s", ask->of.wallet);
	if (ask_manifest(restore, err) != 0)
		restore_destroy(&restore);
	return restore;
}

const struct manifest *restore_manifest(const struct restore *restore)
{
	return &restore->manifest;
}

const struct version *restore_version(const struct restore *restore)
{
	return &restore->manifest.versions.item[restore->chosen];
}

bool restore_is_handed(const struct restore *restore)
{
	return restore->ask.is_handed;
}

/* ---- the archive */

static void give_verdict(struct restore *restore);

static void on_archive(void *arg, const struct store_ended *ended)
{
	struct restore *restore = arg;
	const struct version *version = restore_version(restore);
	restore->ticket = 0;
	restore->is_ended = true;
	restore->is_store_fault =
	    !ended->is_done &&
	    (ended->failure == STORE_UNAVAILABLE || ended->failure == STORE_DENIED ||
		ended->failure == STORE_BUSY || ended->failure == STORE_FULL);
	if (!ended->is_done)
		snprintf(restore->fault, sizeof(restore->fault), "%s", ended->text);
	else if (memcmp(ended->digest, version->digest, sizeof(version->digest)) != 0)
		snprintf(restore->fault, sizeof(restore->fault), "the store gave another object");
	if (restore->patience)
		give_verdict(restore);
}

int restore_open(
    struct restore *restore, int *fd_r, struct warden_archive *archive_r, struct error *err)
{
	const struct version *version = restore_version(restore);
	char key[STORE_KEY_MAX + 1];
	int ends[2];
	bug_if(!key_of(restore, version->object, key));
	if (pipe2(ends, O_CLOEXEC) != 0)
		return error_refuse(
		    err, ERR_UNAVAILABLE, "host_failing", "pipe: %s", strerror(errno));
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
	*archive_r = (struct warden_archive){
	    .number = version_archive_number(version), .period = restore->period};
	version_archive_key(restore->key, version->object, archive_r->key);
	memcpy(archive_r->boot, version->boot, sizeof(archive_r->boot));
	memcpy(archive_r->wallet, restore->wallet, sizeof(archive_r->wallet));
	restore->ticket = store_link_get(
	    restore->sandbox->store, key, ends[1], version->stored_bytes, on_archive, restore, err);
	close(ends[1]);
	*fd_r = ends[0];
	if (restore->ticket)
		return 0;
	close(ends[0]);
	return -1;
}

/* ---- it came to nothing */

static void fall_back(struct agent *agent, const struct version *version, const char *why)
{
	struct saved *saved = &agent->record.saved;
	struct version *known = versions_find(&saved->versions, version->number);
	struct error err;
	log_warn("a snapshot is damaged: the one before is restored", "agent", agent->id, "number",
	    log_u64(version->number), "why", why);
	snprintf(saved->why, sizeof(saved->why), "snapshot %llu is damaged; an older one was taken",
	    (unsigned long long)version->number);
	if (known)
		known->is_damaged = true;
	error_refuse(&err, ERR_UNAVAILABLE, "snapshot_damaged", "snapshot %llu is damaged: %s",
	    (unsigned long long)version->number, why);
	agent_start_failed(agent, known ? MACHINE_OTHERWISE : MACHINE_REFUSED, &err);
}

static void give_verdict(struct restore *restore)
{
	struct agent *agent = restore->ask.agent;
	struct error err;
	if (restore->is_ended && restore->is_store_fault) {
		error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable",
		    "the snapshot to start from: %s", restore->fault);
		agent_start_failed(agent, MACHINE_LATER, &err);
	} else if (restore->ask.is_handed) {
		refuse(&err, "what was handed over is damaged");
		agent_start_failed(agent, MACHINE_REFUSED, &err);
	} else {
		fall_back(agent, restore_version(restore),
		    restore->fault[0] ? restore->fault : restore->why);
	}
	restore_destroy(&agent->restore);
	agent_step(agent);
}

static void on_patience(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	give_verdict(arg);
}

void restore_failed(struct agent *agent, const char *why)
{
	struct restore *restore = agent->restore;
	const struct timeval wait = {.tv_sec = STORE_SAYS_MS / 1000};
	if (restore->patience) /* said before */
		return;
	snprintf(restore->why, sizeof(restore->why), "%s", why);
	if (restore->is_ended) {
		give_verdict(restore);
		return;
	}
	restore->patience = evtimer_new(restore->sandbox->process->base, on_patience, restore);
	bug_if(!restore->patience);
	evtimer_add(restore->patience, &wait);
}
