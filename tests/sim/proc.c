#include "tests/sim/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/judge.h"
#include "tests/sim/seam.h"

#define STAGGER_US 3000 /* after a pause, channels are read in some order */

struct proc procs[PROCS_MAX];
unsigned nprocs;

static void empty(struct queue *queue)
{
	queue->first = NULL;
	queue->last = &queue->first;
}

struct proc *proc_add(const char *name, enum role role)
{
	bug_if(nprocs == PROCS_MAX);
	struct proc *proc = &procs[nprocs];
	*proc = (struct proc){.index = nprocs++, .role = role};
	for (unsigned i = 0; i < CHANNELS; i++)
		empty(&proc->queue[i]);
	proc->boot_us = world_between(10, 1000000) * SECOND;
	snprintf(proc->name, sizeof(proc->name), "%s", name);
	return proc;
}

/* ---- deliveries */

struct delivery {
	struct delivery *next;
	struct proc *proc;
	uint64_t life;
	enum channel channel;
	world_fn fn;
	void *arg;
};

static void on_delivery(void *arg)
{
	struct delivery *delivery = arg;
	struct proc *proc = delivery->proc;
	struct queue *queue = &proc->queue[delivery->channel];

	if (!proc->up || proc->life != delivery->life)
		return;
	if (world.now < queue->held_until) {
		*queue->last = delivery;
		queue->last = &delivery->next;
		return;
	}
	world.running = proc;
	delivery->fn(delivery->arg);
	world.running = NULL;
}

void proc_deliver(struct proc *proc, enum channel channel, uint64_t time, world_fn fn, void *arg)
{
	struct delivery *delivery = world_alloc(sizeof(*delivery));

	*delivery = (struct delivery){NULL, proc, proc->life, channel, fn, arg};
	world_plan(time, on_delivery, delivery);
}

static void let_go(void *arg)
{
	struct queue *queue = arg;
	struct delivery *delivery = queue->first, *next;

	if (world.now < queue->held_until)
		return;
	empty(queue);
	for (; delivery; delivery = next) {
		next = delivery->next;
		delivery->next = NULL;
		world_plan(world.now, on_delivery, delivery);
	}
}

/* What has waited is read one channel after the other, in some order. */
void proc_pause(struct proc *proc, uint64_t until)
{
	for (unsigned i = 0; i < CHANNELS; i++) {
		struct queue *queue = &proc->queue[i];
		queue->held_until = until + world_below(STAGGER_US);
		world_plan(queue->held_until, let_go, queue);
	}
}

void proc_continue(struct proc *proc)
{
	if (proc->queue[0].held_until > world.now + STAGGER_US)
		proc_pause(proc, world.now);
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
	for (unsigned i = 0; i < CHANNELS; i++) {
		proc->queue[i].held_until = 0;
		empty(&proc->queue[i]);
	}
	world.running = NULL;
}

void procs_end(void)
{
	for (unsigned i = 0; i < nprocs; i++)
		proc_kill(&procs[i]);
	nprocs = 0;
}
