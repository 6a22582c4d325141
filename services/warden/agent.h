/* agent - one container from its START to nothing left.
 *
 *	starting -> running -> ending -> (held ->) cleaning -> (forgotten)
 *
 * Ending begins with the quota lifted and everything killed, and lasts until no process is left; then its secrets are wiped. Held, its volume is open still, for a
 * snapshot: agent->root keeps it so; and its secrets, which are looked for in it, are wiped when it is held no longer. Cleaning is a job's, which begins once no snapshot is under way.
 */
#ifndef WARDEN_AGENT_H
#define WARDEN_AGENT_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proto/packer.h"
#include "proto/warden.h"
#include "services/warden/record.h"

struct warden;
struct job;
struct allowing;

enum agent_state { AGENT_STARTING, AGENT_RUNNING, AGENT_ENDING, AGENT_HELD, AGENT_CLEANING };

struct agent {
	LIST_ENTRY(agent) next;
	struct warden *warden;
	struct record record; /* its name, slot, process ... */
	enum agent_state state;
	bool was_asked;                /* its end */
	bool was_told;                 /* GONE, though something is left */
	bool is_adopted;               /* half of it, and nobody asked: no word of it */
	int pidfd, secrets, log, root; /* each -1 until there is one; root: mounts_view of /data */
	int status;                    /* of its first process, as of wait(2) */
	uint64_t began_us, ending_us;  /* CLOCK_BOOTTIME */
	uint64_t start_by_us;          /* a start that is not done by then is ended */
	uint64_t start_ms;             /* how long one that makes no progress may last */
	uint64_t hold_ms;              /* what is left once it has ended is held so long; 0: not */
	unsigned polls;
	bool must_cut, is_cut; /* the host's connections to it, at the first of them */
	char why[160];         /* a START that was not done */
	enum warden_failure failure;
	struct job *job, *exec, *allow, *save;
	struct packer_report saved; /* what save has told; kind PACKER_PROGRESS: nothing yet */
	struct allowing *allows, *allows_next; /* which allow is about; what waits for it */
	struct warden_packet
	    execed; /* what exec has told, said when it is over; what 0: nothing yet */
	int execed_fd;
	struct event *ended, *poll,
	    *timer; /* of pidfd; while ending; until KILL, the end of the hold, or the next try to clean up */
};
LIST_HEAD(agents, agent);

struct agent *agent_find(const struct warden *warden, const char *id);
/* A new one; the request was checked, its keys are wiped. The descriptors stay the caller's. Says FAILED if it cannot even begin. */
void agent_start(struct warden *warden, struct warden_packet *packet, const int *fds, size_t nfds);
/* One that was found alive: all of record holds. */
struct agent *agent_adopt(struct warden *warden, const struct record *record, int pidfd);
/* One that was found dead or half made: only cleaned up. */
void agent_clean_up(struct warden *warden, const struct record *record);

/* hold_ms: how long its volume stays open once it has ended; 0: not. */
void agent_stop(struct agent *agent, uint64_t grace_ms, uint64_t hold_ms);
/* Everything of it at once, whatever state it is in. */
void agent_kill(struct agent *agent);
/* Says SNAPSHOTTED, sooner or later. The key is wiped; the descriptors stay the caller's. */
void agent_snapshot(struct agent *agent, struct warden_packet *packet, const int fds[2]);
/* It is not held, now or when it ends, and what saves it is ended. */
void agent_release(struct agent *agent, const char *why);
void agents_release(struct warden *warden, const char *why);
void agent_exec(struct agent *agent, const struct warden_packet *packet);
void agent_allow(struct agent *agent, const struct warden_packet *packet);
void agent_say_found(struct agent *agent);
void agents_kill(struct warden *warden, const char *why);
/* Ends the starts that hang: a runtime or a key process that was killed at the wrong moment answers nobody. */
void agents_look_at_starts(struct warden *warden);
/* Ends those whose volume nobody shows any more: they would run on with a disk that only fails. */
void agents_look_at_volumes(struct warden *warden);
/* In a job: gives up what other agents' jobs must not hold on to. */
void agents_close_fds(const struct warden *warden, const struct agent *except);
/* Warden stops, agents live on: forgets them. */
void agents_forget(struct warden *warden);

#endif
