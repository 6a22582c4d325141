/* common/redis.h: one connection to the simulated server. What is on its way arrives in order, late, or never; what was sent before a connection broke
 * may be done all the same. */
#include "common/redis.h"

#include <string.h>

#include "tests/sim/faults.h"
#include "tests/sim/judge.h"
#include "tests/sim/seam.h"
#include "tests/sim/server.h"

#define TIMEOUT_US (1000 * MS) /* MULTICLAW_REDIS_TIMEOUT_MS */
#define CUT_LOOKS_US (10 * MS)
#define LATENCY_LEAST_US 60
#define LATENCY_MOST_US 900

struct command {
	struct command *next;
	struct redis *redis;
	uint64_t connection;
	redis_done done;
	void *arg;
	const char *text;
	int argc;
	const char **argv;
	size_t *argvlen;
	bool settled, springs;
	redisReply *reply;
	struct judge_known known; /* when it was sent */
};

struct redis {
	struct proc *proc;
	struct server *server;
	bool connected, destroyed;
	uint64_t connection; /* number of the present one, or of the next */
	uint64_t life;       /* of the server */
	uint64_t behind_until, last_arrival, last_answer;
	struct command *first, **last; /* not yet settled */
};

static void settle(struct command *command, const redisReply *reply, const char *why)
{
	struct redis *redis = command->redis;
	struct command **at = &redis->first;
	struct error err;
	bool failed = !reply || reply->type == REDIS_REPLY_ERROR;

	if (command->settled)
		return;
	command->settled = true;
	while (*at != command)
		at = &(*at)->next;
	*at = command->next;
	if (redis->last == &command->next)
		redis->last = at;
	if (failed)
		error_set(&err, ERR_UNAVAILABLE, "redis: %s", reply ? reply->str : why);
	command->done(command->arg, failed ? NULL : reply, failed ? &err : NULL);
}

/* ---- the connection */

static void fail(void *arg)
{
	settle(arg, NULL, "connection lost");
}

static void connect_again(void *arg)
{
	struct redis *redis = arg;
	bool behind = redis->behind_until > world.now && server_demoted();
	struct server *server = behind ? server_demoted() : server_primary();

	if (redis->destroyed || redis->connected)
		return;
	if (redis->proc->redis_cut_until > world.now || !server->is_up) {
		proc_deliver(redis->proc, CHANNEL_TIMER, world.now + world_between(50, 150) * MS,
		    connect_again, redis);
		return;
	}
	redis->server = server;
	redis->life = server->life;
	redis->connected = true;
	world_trace("%s: connected to %s", redis->proc->name, behind ? "the old primary" : "Redis");
}

static void drop(struct redis *redis)
{
	if (!redis->connected)
		return;
	world_trace("%s: lost its connection to Redis", redis->proc->name);
	redis->connected = false;
	redis->connection++;
	for (struct command *c = redis->first; c; c = c->next)
		proc_deliver(redis->proc, CHANNEL_REDIS, world.now, fail, c);
	proc_deliver(redis->proc, CHANNEL_TIMER, world.now + world_between(20, 120) * MS,
	    connect_again, redis);
}

static void on_reset(void *arg)
{
	drop(arg);
}

void seam_redis_reset(struct redis *redis)
{
	redis->behind_until = 0;
	proc_deliver(
	    redis->proc, CHANNEL_REDIS, world.now + world_between(1, 30) * MS, on_reset, redis);
}

static void back_to_the_primary(void *arg)
{
	struct redis *redis = arg;

	if (redis->behind_until == 0 || redis->behind_until > world.now)
		return;
	redis->behind_until = 0;
	drop(redis);
}

void seam_redis_leave_behind(struct redis *redis, uint64_t until)
{
	redis->behind_until = until;
	redis->server = server_demoted();
	proc_deliver(redis->proc, CHANNEL_TIMER, until, back_to_the_primary, redis);
}

void seam_redis_rejoin(struct redis *redis)
{
	if (redis->behind_until > world.now)
		seam_redis_reset(redis);
}

/* ---- a command's way there and back */

static uint64_t latency(const struct redis *redis)
{
	return world_between(LATENCY_LEAST_US, LATENCY_MOST_US) + redis->proc->redis_slow_us;
}

static bool is_cut(const struct command *command, world_fn fn)
{
	const struct proc *proc = command->redis->proc;
	union {
		const struct command *command;
		void *arg;
	} of = {command};

	if (proc->redis_cut_until <= world.now)
		return false;
	/* in step, so that all stay in order; it may end before its time */
	world_plan((world.now / CUT_LOOKS_US + 1) * CUT_LOOKS_US, fn, of.arg);
	return true;
}

static void on_answer(void *arg)
{
	struct command *command = arg;

	if (command->settled || command->connection != command->redis->connection)
		return;
	judge_answered(command->redis->proc, command->argc, command->argv, command->reply);
	settle(command, command->reply, NULL);
	if (command->springs)
		faults_answered(command->redis->proc);
}

static void answer_travels(void *arg)
{
	struct command *command = arg;

	if (!is_cut(command, answer_travels))
		proc_deliver(command->redis->proc, CHANNEL_REDIS, world.now, on_answer, command);
}

static void on_arrival(void *arg)
{
	struct command *command = arg;
	struct redis *redis = command->redis;
	bool broken = command->connection != redis->connection;

	if (is_cut(command, on_arrival))
		return;
	if (!redis->server->is_up || redis->life != redis->server->life ||
	    (broken && world_chance(50)))
		return;
	struct judge_call call = {
	    .proc = redis->proc,
	    .known = &command->known,
	    .argc = command->argc,
	    .argv = command->argv,
	    .is_primary = redis->server == server_primary(),
	};
	command->reply = server_run(
	    redis->server, command->text, command->argc, command->argv, command->argvlen);
	judge_executed(&call, &redis->server->db, command->reply);
	command->springs =
	    faults_executed(redis->proc, command->argv[0], &redis->server->db, command->reply);
	uint64_t back = world.now + latency(redis);
	redis->last_answer = back > redis->last_answer ? back : redis->last_answer;
	world_plan(redis->last_answer, answer_travels, command);
}

static void on_timeout(void *arg)
{
	struct command *command = arg;

	if (!command->settled && command->connection == command->redis->connection)
		drop(command->redis);
}

static struct command *command_new(
    struct redis *redis, const char *text, int argc, const char *const *argv, const size_t *argvlen)
{
	struct command *command = world_alloc(sizeof(*command));

	command->redis = redis;
	command->text = text;
	command->connection = redis->connection;
	command->argc = argc;
	command->argv = world_alloc((size_t)argc * sizeof(*argv));
	command->argvlen = world_alloc((size_t)argc * sizeof(*argvlen));
	for (int i = 0; i < argc; i++) {
		command->argvlen[i] = argvlen ? argvlen[i] : strlen(argv[i]);
		command->argv[i] = world_copy(argv[i], command->argvlen[i]);
	}
	command->known = *judge_known(redis->proc);
	*redis->last = command;
	redis->last = &command->next;
	return command;
}

void redis_script(struct redis *redis, const char *sha, const char *text, int argc,
    const char *const *argv, const size_t *argvlen, redis_done done, void *arg)
{
	struct command *command = command_new(redis, text, argc, argv, argvlen);

	(void)sha;
	command->done = done;
	command->arg = arg;
	if (!redis->connected) {
		proc_deliver(redis->proc, CHANNEL_REDIS, world.now, fail, command);
		return;
	}
	uint64_t there = world.now + latency(redis);
	redis->last_arrival = there > redis->last_arrival ? there : redis->last_arrival;
	world_plan(redis->last_arrival, on_arrival, command);
	proc_deliver(redis->proc, CHANNEL_TIMER, world.now + TIMEOUT_US, on_timeout, command);
}

/* ---- the rest of the interface */

struct redis *seam_redis_new(struct proc *proc)
{
	struct redis *redis = world_alloc(sizeof(*redis));

	redis->proc = proc;
	redis->server = server_primary();
	redis->last = &redis->first;
	proc_deliver(
	    proc, CHANNEL_TIMER, world.now + world_between(1, 10) * MS, connect_again, redis);
	return redis;
}

struct redis *redis_new(struct event_base *base, const char *address, const char *user,
    const struct secret *password, uint64_t timeout_ms, struct error *err)
{
	(void)base, (void)address, (void)user, (void)password, (void)timeout_ms, (void)err;
	return seam_redis_new(world.running);
}

struct redis *redis_new_watched(struct event_base *base, const struct redis_sentinel_list *list,
    const struct redis_login *login, struct metrics *metrics, struct error *err)
{
	(void)base, (void)list, (void)login, (void)metrics, (void)err;
	return seam_redis_new(world.running);
}

const char *redis_address(const struct redis *redis)
{
	(void)redis;
	return "the simulation's";
}

void redis_destroy(struct redis **redis)
{
	struct redis *r = *redis;

	*redis = NULL;
	r->destroyed = true;
	r->connected = false;
	r->connection++;
	while (r->first)
		settle(r->first, NULL, "closed");
}

bool redis_is_ready(const struct redis *redis)
{
	return redis->connected;
}

void redis_drain(struct redis *redis, uint64_t ms)
{
	(void)redis, (void)ms;
}

void redis_command(struct redis *redis, int argc, const char *const *argv, const size_t *argvlen,
    redis_done done, void *arg)
{
	(void)redis, (void)argc, (void)argv, (void)argvlen, (void)done, (void)arg;
	fatal("sim: only scripts are simulated");
}
