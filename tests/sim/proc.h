/* proc - a process of the suite: the production code in it, its clocks, and what can happen to it. Nothing reaches a process but through proc_deliver. */
#ifndef SIM_PROC_H
#define SIM_PROC_H

#include "common/service_internal.h"
#include "tests/sim/world.h"

#define PROCS_MAX 8

enum channel { CHANNEL_TIMER, CHANNEL_REDIS, CHANNEL_BUS, CHANNEL_BELL, CHANNEL_HTTP, CHANNELS };

struct delivery;
struct queue { /* what waits while the process is stopped */
	uint64_t held_until;
	struct delivery *first, **last;
};

struct proc {
	unsigned index;
	char name[16];
	enum role role;
	bool up;
	uint64_t life; /* how many it has had; what was meant for an earlier one is lost */
	struct queue queue[CHANNELS];
	uint64_t boot_us;                /* its host's CLOCK_BOOTTIME at time 0 */
	int64_t wall_us;                 /* by how much its host's wall clock is wrong */
	struct daemon *daemon;           /* NULL: down */
	struct http_server *authz, *api; /* router */
	struct bus_client *sessions;     /* oracle */
	bool knows_key;

	/* what the network does to it at the moment */
	uint64_t redis_cut_until; /* nothing passes, nothing is lost */
	uint64_t redis_slow_us;   /* more than usual, each way */
	uint64_t bus_cut_until;   /* messages are lost */
	uint64_t stop_us, cut_us; /* not 0: what its next read of the events meets, see faults.c */
};
extern struct proc procs[PROCS_MAX];
extern unsigned nprocs;

struct proc *proc_add(const char *name, enum role role);
void proc_start(struct proc *proc);
void proc_kill(struct proc *proc); /* kill -9: nothing of it gets out any more */
/* Runs fn(arg) in the process at that time, when it runs by then. A pause keeps the order within a channel, no other. */
void proc_deliver(struct proc *proc, enum channel channel, uint64_t time, world_fn fn, void *arg);
/* SIGSTOP: the world goes on, the process does not. */
void proc_pause(struct proc *proc, uint64_t until);
void proc_continue(struct proc *proc);
void procs_end(void);

/* ---- of each role */
void router_proc_start(struct proc *proc);
void router_proc_stop(struct proc *proc);
void session_proc_start(struct proc *proc);
void session_proc_stop(struct proc *proc);
void oracle_proc_start(struct proc *proc);
void oracle_proc_stop(struct proc *proc);

#endif
