#include "tests/sim/faults.h"

#include <string.h>

#include "tests/sim/chain.h"
#include "tests/sim/seam.h"
#include "tests/sim/server.h"
#include "tests/sim/suite.h"

#define INCIDENTS_MAX 6
#define KINDS_MAX 4
#define WORST_TAKES_US (2600 * MS)
#define DAY_US (86400ll * SECOND)

struct faults faults;
static bool is_over;

static struct proc *some_proc(void)
{
	return &procs[world_below(nprocs)];
}

/* Short ones, and some about as long as a lease. */
static uint64_t some_while(void)
{
	return world_chance(50) ? world_between(20, 700) * MS : world_between(700, 3000) * MS;
}

/* ---- processes */

static void pause_one(void)
{
	struct proc *proc = some_proc();
	uint64_t us = some_while();

	world_trace("fault: %s is stopped for %llu ms", proc->name, (unsigned long long)us / MS);
	proc_pause(proc, world.now + us);
}

static void start_again(void *arg)
{
	proc_start(arg);
}

static void kill(struct proc *proc)
{
	if (!proc->up || is_over)
		return;
	world_trace("fault: %s is killed", proc->name);
	proc_kill(proc);
	world_plan(world.now + world_between(5, 600) * MS, start_again, proc);
}

static void kill_one(void)
{
	kill(some_proc());
}

static void wrong_clock(void)
{
	struct proc *proc = some_proc();

	proc->wall_us = world_chance(50) ? DAY_US : -DAY_US;
	if (proc->role == ROLE_SESSION)
		faults.clocks_right_since = UINT64_MAX;
	world_trace("fault: the wall clock of %s is a day wrong", proc->name);
}

/* ---- the network */

static void cut_redis(void)
{
	struct proc *proc = some_proc();

	proc->redis_cut_until = world.now + some_while();
	world_trace("fault: %s is cut off from Redis until %llu ms", proc->name,
	    (unsigned long long)proc->redis_cut_until / MS);
}

static void cut_all(void)
{
	struct proc *proc = some_proc();

	proc->redis_cut_until = proc->bus_cut_until = world.now + some_while();
	world_trace("fault: %s is cut off until %llu ms", proc->name,
	    (unsigned long long)proc->bus_cut_until / MS);
}

static void slow_redis(void)
{
	struct proc *proc = some_proc();

	proc->redis_slow_us = world_between(1, 600) * MS;
	world_trace("fault: %s is %llu ms from Redis", proc->name,
	    (unsigned long long)proc->redis_slow_us / MS);
}

static void slow_bus(void)
{
	faults.bus_slow_us = world_between(1, 300) * MS;
	world_trace("fault: the bus takes %llu ms", (unsigned long long)faults.bus_slow_us / MS);
}

/* ---- Redis */

struct failover {
	enum server_loss loss;
	uint64_t down_us;
	bool leaves_some_behind;
};

static void reset_links(bool leaves_some_behind)
{
	for (unsigned i = 0; i < nprocs; i++) {
		struct redis *redis = procs[i].daemon ? procs[i].daemon->process.redis : NULL;
		if (!redis)
			continue;
		if (leaves_some_behind && world_chance(50))
			seam_redis_leave_behind(redis, world.now + world_between(100, 5000) * MS);
		else
			seam_redis_reset(redis);
	}
}

static void serve_again(void *arg)
{
	const struct failover *failover = arg;

	server_replace(failover->loss, failover->leaves_some_behind);
	server_primary()->is_up = true;
	if (failover->leaves_some_behind)
		reset_links(true);
}

static void fail(void *arg)
{
	struct failover *failover = arg;

	if (is_over || !server_primary()->is_up)
		return;
	world_trace("fault: the Redis that serves ends");
	if (failover->leaves_some_behind) {
		serve_again(failover);
		return;
	}
	server_primary()->is_up = false;
	reset_links(false);
	world_plan(world.now + failover->down_us, serve_again, failover);
}

static void fail_over(enum server_loss loss, bool leaves_some_behind)
{
	struct failover *failover = world_alloc(sizeof(*failover));
	uint64_t tail = world_chance(60) ? world_between(1, 60) : world_between(60, 1500);

	if (!server_primary()->is_up)
		return;
	*failover = (struct failover){loss, world_between(1, 200) * MS, leaves_some_behind};
	if (loss == LOSS_TAIL)
		server_snapshot();
	world_plan(world.now + (loss == LOSS_TAIL ? tail * MS : 0), fail, failover);
}

static void lose_nothing(void)
{
	fail_over(LOSS_NOTHING, false);
}

static void lose_tail(void)
{
	fail_over(LOSS_TAIL, false);
}

static void lose_all(void)
{
	fail_over(LOSS_ALL, false);
}

static void leave_behind(void)
{
	fail_over(world_chance(50) ? LOSS_NOTHING : LOSS_TAIL, true);
}

/* ---- the chain, and the bell */

static void late_nodes(void)
{
	chain_trouble((unsigned)world_between(1, 8), 0);
	world_trace("fault: nodes are behind");
}

static void lying_nodes(void)
{
	chain_trouble((unsigned)world_between(0, 3), (unsigned)world_between(5, 60));
	world_trace("fault: nodes tell what was");
}

static void bad_bell(void)
{
	faults.bell_lost_percent = world_chance(40) ? 100 : (unsigned)world_below(80);
	faults.bell_twice_percent = (unsigned)world_below(50);
	faults.bell_late_percent = (unsigned)world_below(100);
	world_trace("fault: the bell loses %u, doubles %u, delays %u of 100",
	    faults.bell_lost_percent, faults.bell_twice_percent, faults.bell_late_percent);
}

/* ---- at the worst moment. Each of these is what one of the rules is for, and chance alone seldom finds it. */

static enum { NOT, AT_ONCE, LATER } fails_after_end; /* Redis, when the next session has ended */

/* Its answer is old when it arrives: rule 11. */
static void stop_between(void)
{
	some_proc()->stop_us = world_between(1950, 2400) * MS;
}

/* It has read a part of what there is, and gets no more: rule 11. */
static void cut_in_the_middle(void)
{
	some_proc()->cut_us = world_between(1950, 2400) * MS;
	faults.bell_lost_percent = 100;
	people_end_last();
}

/* What it missed is not there any more: rule 12. */
static void flood(void)
{
	struct proc *proc = some_proc();

	proc->redis_cut_until = proc->bus_cut_until = world.now + world_between(120, 900) * MS;
	world_trace("fault: %s is cut off from a flood until %llu ms", proc->name,
	    (unsigned long long)proc->bus_cut_until / MS);
	people_flood();
}

/* What was just told is lost, and perhaps its id is given out again: rules 16 and 17. */
static void lose_an_end(void)
{
	if (!server_primary()->is_up)
		return;
	if (world_chance(50))
		server_set_back(world_between(2, 20) * SECOND);
	server_snapshot();
	fails_after_end = AT_ONCE;
	people_end_soon(1, 5 * MS);
	if (world_chance(50))
		faults.bell_late_percent = 100;
}

/* And all are killed but one, who reaches Redis last. */
static void lose_all_but_one(void)
{
	if (!server_primary()->is_up)
		return;
	server_snapshot();
	fails_after_end = LATER;
	people_end_soon(1, 5 * MS);
}

static void end_some(void *arg)
{
	(void)arg;
	people_end_soon(4, 300 * MS);
}

static bool ends_something(const char *op, const struct db *db)
{
	return db->nadded > 0 && (strncmp(op, "end", 3) == 0 || strcmp(op, "observe") == 0);
}

static void kill_it(void *arg)
{
	kill(arg);
}

static void kill_others(void *arg)
{
	const struct proc *one = arg;

	if (is_over)
		return;
	for (unsigned i = 0; i < nprocs; i++)
		if (&procs[i] != one)
			kill(&procs[i]);
}

static void fail_after(struct proc *writer)
{
	struct failover *failover = world_alloc(sizeof(*failover));
	uint64_t later = fails_after_end == LATER ? world_between(260, 500) * MS : 0;

	world_trace("fault: what %s wrote will be lost", writer->name);
	*failover = (struct failover){LOSS_TAIL, world_between(1, 60) * MS, false};
	world_plan(world.now + later + world_between(200, 4000), fail, failover);
	if (fails_after_end == LATER) {
		writer->redis_cut_until = world.now + later + world_between(300, 1900) * MS;
		world_plan(world.now + later, kill_others, writer);
	} else {
		world_plan(world.now + world_between(60, 200) * MS, end_some, NULL);
		/* (it has told nobody yet but by the bell) */
		if (world_chance(40))
			world_plan(world.now + world_between(1500, 6000), kill_it, writer);
	}
	fails_after_end = NOT;
}

/* It brings events, and there are more. */
static bool is_part(const redisReply *reply)
{
	const redisReply *events = reply->element[reply->elements - 1];

	return events->elements > 0 &&
	       strcmp(events->element[events->elements - 1]->element[0]->str,
		   reply->element[4]->str) != 0;
}

bool faults_executed(
    struct proc *proc, const char *op, const struct db *db, const redisReply *reply)
{
	if (is_over || reply->type != REDIS_REPLY_ARRAY)
		return false;
	if (fails_after_end && ends_something(op, db))
		fail_after(proc);
	if (strcmp(op, "follow") != 0)
		return false;
	if (proc->stop_us) {
		world_trace("fault: %s is stopped for %llu ms, a read under way", proc->name,
		    (unsigned long long)proc->stop_us / MS);
		proc_pause(proc, world.now + proc->stop_us);
		proc->stop_us = 0;
		people_end_soon(2, 100 * MS);
	}
	return proc->cut_us && is_part(reply);
}

void faults_answered(struct proc *proc)
{
	if (is_over || !proc->cut_us)
		return;
	world_trace("fault: %s is cut off for %llu ms, behind a read", proc->name,
	    (unsigned long long)proc->cut_us / MS);
	proc->redis_cut_until = proc->bus_cut_until = world.now + proc->cut_us;
	proc->cut_us = 0;
}

/* ---- which of them, in this seed: few kinds in each, so that each pair of kinds is alone in some */

static void (*const kinds[])(void) = {pause_one, kill_one, wrong_clock, cut_redis, cut_all,
    slow_redis, slow_bus, lose_nothing, lose_tail, lose_tail, lose_all, leave_behind, late_nodes,
    lying_nodes, bad_bell, bad_bell};
static void (*const worst[])(void) = {stop_between, cut_in_the_middle, flood, lose_an_end,
    lose_an_end, lose_all_but_one, leave_behind};

struct incident {
	void (*kind)(void);
};

static void happen(void *arg)
{
	const struct incident *incident = arg;

	if (!is_over)
		incident->kind();
}

static void plan(uint64_t time, void (*kind)(void))
{
	struct incident *incident = world_alloc(sizeof(*incident));

	incident->kind = kind;
	world_plan(time, happen, incident);
}

void faults_begin(uint64_t from, uint64_t to)
{
	void (*chosen[KINDS_MAX])(void);
	unsigned nkinds = (unsigned)world_between(1, KINDS_MAX);
	unsigned n = (unsigned)world_between(1, INCIDENTS_MAX);
	bool is_worst = to - from > WORST_TAKES_US;

	memset(&faults, 0, sizeof(faults));
	is_over = false;
	fails_after_end = NOT;
	for (unsigned i = 0; i < nkinds; i++)
		chosen[i] = kinds[world_below(ARRAY_LEN(kinds))];
	/* what takes two seconds to show begins early, and is not much disturbed */
	if (is_worst)
		plan(
		    world_between(from, to - WORST_TAKES_US), worst[world_below(ARRAY_LEN(worst))]);
	for (unsigned i = is_worst ? (unsigned)world_between(3, INCIDENTS_MAX) : 0; i < n; i++)
		plan(world_between(from, to), chosen[world_below(nkinds)]);
}

void faults_end(void)
{
	is_over = true;
	faults = (struct faults){.clocks_right_since = faults.clocks_right_since ? world.now : 0};
	chain_trouble(0, 0);
	for (unsigned i = 0; i < nprocs; i++) {
		struct proc *proc = &procs[i];
		proc_continue(proc);
		proc->redis_cut_until = proc->bus_cut_until = 0;
		proc->redis_slow_us = proc->stop_us = proc->cut_us = 0;
		proc->wall_us = 0;
		if (proc->up)
			seam_redis_rejoin(proc->daemon->process.redis);
		else
			proc_start(proc);
	}
	world_trace("all is well from now on");
}
