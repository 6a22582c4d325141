/* snapshot - one of an agent's /data under way: secrets fetched anew, so that none gets out; archive from the driver through a pipe into the store; manifest; the vault told, which decides; what
 * is not kept any more deleted. The same way an older one becomes the newest again (restore), and folders are left to the next owner (hand-over). It may be given up at any moment;
 * what it had stored is deleted then, and nothing else has changed.
 */
#ifndef SANDBOX_SNAPSHOT_H
#define SANDBOX_SNAPSHOT_H

#include "services/sandbox/agent.h"

/* clang-format off */
#define SNAPSHOT_TRIGGERS(X) X(NONE, "") X(SLEEP, "sleep") X(STOP, "stop") X(TIMER, "timer") X(DEMAND, "demand") X(MOVE, "move") X(RESTORE, "restore") X(HAND_OVER, "hand_over")
/* clang-format on */
enum snapshot_trigger {
#define SNAPSHOT_ENUM(name, text) SNAPSHOT_##name,
	SNAPSHOT_TRIGGERS(SNAPSHOT_ENUM)
#undef SNAPSHOT_ENUM
};
const char *snapshot_trigger_name(enum snapshot_trigger trigger);

/* Each: it ends in triggers_ended (triggers.h), later. ERR_BUSY, ERR_UNAVAILABLE, ERR_CONFLICT: not now; nothing has happened. */
int snapshot_begin(struct agent *agent, enum snapshot_trigger trigger, struct error *err);
int snapshot_begin_restore(
    struct agent *agent, uint64_t number, struct error *err); /* ERR_NOT_FOUND */
int snapshot_begin_hand_over(
    struct agent *agent, const char *roots, struct error *err); /* "": nothing any more */
/* What is under way, if anything is, is given up. */
void snapshot_cancel(struct agent *agent, const char *why);
/* The same, of one that reads the agent's files: its volume is needed, or gone. */
void snapshot_cancel_reading(struct agent *agent, const char *why);
void snapshot_destroy(struct agent *agent); /* the same without a word: this process ends */

/* What came of the last try, for whoever asks. */
void snapshot_note(struct agent *agent, const char *outcome, const char *why);
/* As saved_settle; objects that are not kept any more are deleted. */
enum saved_source snapshot_settle(struct agent *agent, uint64_t newest, const uint8_t digest[32]);
/* Deletes an object of the agent's present period; whether that works or not. */
void snapshot_discard(struct agent *agent, const char *name);
void snapshot_discard_version(struct agent *agent, const struct version *version);
const char *snapshot_doing(
    const struct agent *agent); /* "snapshot", "restore", "hand_over" or "" */

void snapshot_progress(const struct agent *agent, uint64_t *done_r, uint64_t *total_r);

/* ---- told.c */
void snapshot_told_saving(struct agent *agent, uint64_t bytes, uint64_t total_bytes);
void snapshot_told(struct agent *agent, const struct driver_snapshotted *snapshotted);
void snapshot_told_hook(struct agent *agent, int status, const char *why);
void snapshot_resume(struct agent *agent); /* it need not hold still any more, if it does */

#endif
