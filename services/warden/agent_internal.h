/* agent_internal - what the files of an agent share. Nobody else includes it. */
#ifndef WARDEN_AGENT_INTERNAL_H
#define WARDEN_AGENT_INTERNAL_H

#include "services/warden/agent.h"
#include "services/warden/job.h"

/* ---- agent.c: made and forgotten ---- */

struct agent *agent_new(struct warden *warden, const struct record *record);
void agent_free(struct agent *agent);
void agent_close_fd(int *fd);
void agent_free_event(struct event **event);
/* job_hooks.close_all of an agent's jobs. */
void agent_close_others(void *arg);
/* The same, and all but its own container's process. */
void agent_close_all_but_process(void *arg);

/* Is it a pipe's end, for O_RDONLY or O_WRONLY alone? */
bool agent_is_pipe(int fd, int access);

/* ---- agent_say.c: what sandbox is told ---- */

/* A packet of it, with nothing in it yet. */
void agent_packet(const struct agent *agent, struct warden_packet *packet, uint32_t what);
void agent_say_text(struct agent *agent, uint32_t what, const char *text);
void agent_say_starting(struct agent *agent);
void agent_say_started(struct agent *agent);
void agent_say_saving(const struct agent *agent, uint64_t bytes, uint64_t total_bytes);
void agent_say_failed(const struct agent *agent);
void agent_say_ended(struct agent *agent, bool was_oom, bool is_held);

/* ---- agent_end.c, agent_clean.c ---- */

/* Name of the cgroup of its jobs. */
void agent_jobs_group(const struct agent *agent, char name[64]);
/* Its first process' end ends all of it, from now on. */
void agent_watch(struct agent *agent);
void agent_end(struct agent *agent, bool was_asked);
/* Nobody needs them any more; again: nothing. */
void agent_wipe_secrets(struct agent *agent);
/* Nothing of it runs: begins with the rest, as soon as no snapshot is under way. */
void agent_clean(struct agent *agent);

/* ---- agent_hold.c, agent_snapshot.c ---- */

/* Was it asked for, and is there something to hold? */
bool agent_may_be_held(const struct agent *agent);
void agent_hold(struct agent *agent);
/* Its end is told as any other. */
void agent_give_up_snapshot(struct agent *agent);
/* It is ended without a word. */
void agent_forget_snapshot(struct agent *agent);

/* ---- agent_allow.c ---- */

/* Begins with what waits, if it can. */
void agent_allow_go(struct agent *agent);
void agent_allow_forget(struct agent *agent);

#endif
