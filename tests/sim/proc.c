#include "tests/sim/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/judge.h"
#include "tests/sim/seam.h"

#define STAGGER_US 3000 /* after a pause, channels are read in some order */

struct proc procs[PROCS_MAX];
unsigned nprocs;

struct proc *proc_add(const char *name, enum role role)
{
	bug_if(nprocs == PROCS_MAX);
	struct proc *proc = &procs[nprocs];
	*proc = (struct proc){.index = nprocs++, .role = role};
	proc->boot_us = world_between(10, 1000000) * SECOND;
	snprintf(proc->name, sizeof(proc->name), "%s", name);
	return proc;
}

/* ---- deliveries */

struct delivery {
	struct proc *proc;
	uint64_t life;
	enum channel channel;
	world_fn fn;
	void *arg;
};

static uint64_t resumes(const struct proc *proc, enum channel channel)
{
	uint64_t mixed = (proc->paused_until / 7 + 1) * (uint64_t)(channel + 3) * 0x9e3779b97f4a7c15u;

	return proc->paused_until ? proc->paused_until + (mixed >> 40) % STAGGER_US : 0;
}

static void on_delivery(void *arg)
{
	struct delivery *delivery = arg;
	struct proc *proc = delivery->proc;
	uint64_t at = resumes(proc, delivery->channel);

	if (!proc->up || proc->life != delivery->life)
		return;
	if (at > world.now) {
		world_plan(at, on_delivery, delivery);
		return;
	}
	world.running = proc;
	delivery->fn(delivery->arg);
	world.running = NULL;
}

void proc_deliver(
    struct proc *proc, enum channel channel, uint64_t time, world_fn fn, void *arg)
{
	struct delivery *delivery = world_alloc(sizeof(*delivery));

	*delivery = (struct delivery){proc, proc->life, channel, fn, arg};
	world_plan(time, on_delivery, delivery);
}

/* ---- start and end */

static void start_role(struct proc *proc)
{
	switch (proc->role) {
	case ROLE_ROUTER:
		router_proc_start(proc);
		break;
	case ROLE_SESSION:
		session_proc_start(proc);
		break;
	default:
		oracle_proc_start(proc);
	}
}

void proc_start(struct proc *proc)
{
	if (proc->up)
		return;
	world_trace("%s starts", proc->name);
	proc->up = true;
	proc->life++;
	proc->daemon = calloc(1, sizeof(*proc->daemon));
	bug_if(!proc->daemon);
	judge_started(proc);
	world.running = proc;
	struct process *process = &proc->daemon->process;
	process->settings.replica = proc->name;
	process->base = seam_base_new(proc);
	process->metrics = metrics_new();
	process->redis = seam_redis_new(proc);
	start_role(proc);
	world.running = NULL;
}

static void stop_role(struct proc *proc)
{
	switch (proc->role) {
	case ROLE_ROUTER:
		router_proc_stop(proc);
		break;
	case ROLE_SESSION:
		session_proc_stop(proc);
		break;
	default:
		oracle_proc_stop(proc);
	}
}

/* Its memory is given back by the code that has it; what that code tells anybody meanwhile is told to nobody. */
void proc_kill(struct proc *proc)
{
	if (!proc->up)
		return;
	proc->up = false;
	world.running = proc;
	struct redis *redis = proc->daemon->process.redis;
	stop_role(proc);
	follower_destroy(&proc->daemon->process.follower);
	redis_destroy(&redis);
	free(proc->daemon->self);
	free(proc->daemon);
	proc->daemon = NULL;
	proc->paused_until = 0;
	world.running = NULL;
}

void procs_end(void)
{
	for (unsigned i = 0; i < nprocs; i++)
		proc_kill(&procs[i]);
	nprocs = 0;
}
