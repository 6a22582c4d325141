#include "tests/sim/suite.h"

#include <stdio.h>

#include "tests/sim/chain.h"
#include "tests/sim/faults.h"
#include "tests/sim/judge.h"
#include "tests/sim/seam.h"
#include "tests/sim/server.h"

#define FIRST_SETTLED_US (2050 * MS) /* the first history, like each */
#define FIRST_ASKED_US (12 * MS)
#define SERVES_AGAIN_US (2300 * MS)   /* a sweep, as far apart as people.c makes them; a sign-in */
#define HISTORY_SERVES_US (4300 * MS) /* settling, a read, a sweep, a sign-in */
#define ANSWERS_US (1200 * MS)
#define SETTLED_PERCENT 30 /* of the seeds: waiting costs more than what goes wrong */

struct suite suite;

static void add(enum role role, const char *name, uint64_t n)
{
	char text[16];

	for (uint64_t i = 1; i <= n; i++) {
		snprintf(text, sizeof(text), "%s-%u", name, (unsigned)i);
		proc_add(text, role);
	}
}

static void start(void *arg)
{
	proc_start(arg);
}

static void start_all(void)
{
	add(ROLE_ROUTER, "router", world_chance(15) ? 3 : world_between(1, 2));
	add(ROLE_SESSION, "session", world_chance(25) ? 2 : 1);
	add(ROLE_ORACLE, "oracle", world_chance(15) ? 2 : 1);
	for (unsigned i = 0; i < nprocs; i++)
		world_plan(FIRST_SETTLED_US - world_between(0, 40) * MS, start, &procs[i]);
}

static void ignore(void *arg, const struct ledger_look *out, const struct error *err)
{
	(void)arg, (void)out, (void)err;
}

static void look(void *arg)
{
	ledger_look(arg, "nothing", ignore, NULL);
}

/* Somebody asks for something: so the first history has settled when the suite starts. */
static void begin_history(void)
{
	struct proc *proc = world_alloc(sizeof(*proc));

	proc->up = true;
	world_plan(FIRST_ASKED_US, look, seam_redis_new(proc));
}

/* Whatever was going on, it has had its time. */
static uint64_t settled_at(uint64_t ended)
{
	uint64_t served = judge_history_began() + HISTORY_SERVES_US;

	return ended + SERVES_AGAIN_US > served ? ended + SERVES_AGAIN_US : served;
}

static void settle(uint64_t ended)
{
	char why[128];

	while (world.now < settled_at(ended) && !world_has_failed())
		world_run_until(settled_at(ended));
	if (!people_are_served(why, sizeof(why)))
		world_fail("liveness: all is well, and %s", why);
	people_check();
	world_run_until(world.now + ANSWERS_US);
	if (!people_are_served(why, sizeof(why)))
		world_fail("liveness: all is well, and %s", why);
}

static void live(void)
{
	uint64_t ends = FIRST_SETTLED_US + world_between(900, 4200) * MS;

	begin_history();
	start_all();
	world_run_until(FIRST_SETTLED_US);
	people_begin(ends);
	faults_begin(FIRST_SETTLED_US + 250 * MS, ends);
	world_run_until(ends);
	if (world_has_failed() || !world_chance(SETTLED_PERCENT))
		return;
	faults_end();
	people_settle();
	settle(ends);
}

void suite_run(uint64_t seed)
{
	world_begin(seed);
	suite.chain_grace_s = world_chance(15) ? 2 : 120;
	chain_begin();
	server_begin((enum script_size)world_below(SCRIPT_SIZES), world_chance(70));
	judge_begin(suite.chain_grace_s * SECOND);
	live();
	procs_end();
	world_end();
}
