/* restore - what a start fills its volume with: the newest snapshot, or, where its archive is damaged, the one before. Which ones there are says the manifest that the vault vouches for; no other
 * one is believed. Lives from the manifest's being asked for until the agent runs, or does not.
 */
#ifndef SANDBOX_RESTORE_H
#define SANDBOX_RESTORE_H

#include "services/sandbox/agent.h"
#include "services/sandbox/manifest.h"

struct restore;
struct restore_ask {
	struct agent *agent;
	struct manifest_of of; /* borrowed for the call; of.number as the vault says */
	const uint8_t *digest; /* of the manifest; borrowed for the call */
	bool is_handed;        /* what the owner before handed over */
	/* Not from inside the call. err NULL: there is a version to restore. */
	void (*done)(void *arg, const struct error *err);
	void *arg;
};
/* Caller owns the result. NULL: the store could not be asked. */
struct restore *restore_new(const struct restore_ask *ask, struct error *err);
void restore_destroy(struct restore **restore);
const struct manifest *restore_manifest(const struct restore *restore);
const struct version *restore_version(const struct restore *restore);
bool restore_is_handed(const struct restore *restore);
/* Has it read from the store; fd_r: read end, the caller's. */
int restore_open(
    struct restore *restore, int *fd_r, struct warden_archive *archive_r, struct error *err);
/* The driver says that the archive is of no use: agent_start_failed follows, once the store has said whether it is its fault. why: borrowed for the call. */
void restore_failed(struct agent *agent, const char *why);

#endif
