/* Who uses the suite: owners sign in again when they must, sell, end their sessions; everybody keeps using every token there ever was. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/chain.h"
#include "tests/sim/faults.h"
#include "tests/sim/judge.h"
#include "tests/sim/seam.h"
#include "tests/sim/suite.h"

#define HELD_MAX 48
#define DEAD_CHECKED 5
#define SETTLES_US (1400 * MS) /* until the routers are left alone */
#define SIGN_IN_GIVES_UP_US (3 * SECOND)

struct held { /* an owner's two tokens, as cookies */
	unsigned asset;
	const char *wallet;
	const char *console_cookie, *agent_cookie, *host;
	const char *console_jti, *agent_jti, *own_path;
	bool was_refused;
};
struct signing {
	unsigned asset;
	const char *wallet;
	bool is_over;
	uint64_t began;
};

static struct {
	struct held held[HELD_MAX];
	size_t nheld, nopen;
	struct signing *signing[CHAIN_ASSETS];
	uint64_t until;
	bool is_settling;
} own;

static struct proc *some(enum role role)
{
	struct proc *found = NULL;
	unsigned n = 0;

	for (unsigned i = 0; i < nprocs; i++)
		if (procs[i].role == role && procs[i].up && world_below(++n) == 0)
			found = &procs[i];
	return found;
}

static const char *text(const char *a, const char *b)
{
	size_t len = strlen(a) + strlen(b);
	char *both = world_alloc(len + 1);

	snprintf(both, len + 1, "%s%s", a, b);
	return both;
}

/* ---- signing in */

static void on_signed_in(void *arg, const struct oracle_entered *entered)
{
	struct signing *signing = arg;

	signing->is_over = true;
	if (!entered || own.nheld == HELD_MAX || signing->began < faults.clocks_right_since)
		return;
	world_trace("people: %.8s has signed in to %.8s: %.8s, on the agent's origin %.8s",
	    signing->wallet, chain_asset(signing->asset), entered->console_jti, entered->agent_jti);
	own.held[own.nheld++] = (struct held){
	    .asset = signing->asset,
	    .wallet = signing->wallet,
	    .console_cookie = text("__Host-multiclaw=", entered->console),
	    .agent_cookie = text("__Host-multiclaw-agent=", entered->agent),
	    .host = text(chain_agent(signing->asset), "." SUITE_AGENTS),
	    .console_jti = text(entered->console_jti, ""),
	    .agent_jti = text(entered->agent_jti, ""),
	    .own_path = text("/v1/sessions/", entered->console_jti),
	};
}

static const struct held *session_of(unsigned asset)
{
	for (size_t i = own.nheld; i > 0; i--) {
		const struct held *held = &own.held[i - 1];
		/* (nobody uses it while all settles, so nobody would be told) */
		bool is_over =
		    held->was_refused || (own.is_settling && !judge_is_good(held->agent_jti));
		if (held->asset == asset && !is_over &&
		    strcmp(held->wallet, chain_owner(asset)) == 0)
			return held;
	}
	return NULL;
}

static void sign_in(unsigned asset)
{
	struct signing *last = own.signing[asset], *signing;
	struct proc *oracle = some(ROLE_ORACLE);

	if (!oracle || strcmp(chain_owner(asset), LEDGER_NOBODY) == 0)
		return;
	if (last && !last->is_over && world.now < last->began + SIGN_IN_GIVES_UP_US)
		return;
	signing = own.signing[asset] = world_alloc(sizeof(*signing));
	*signing =
	    (struct signing){.asset = asset, .wallet = chain_owner(asset), .began = world.now};
	oracle_sign_in(oracle, asset, signing->wallet, on_signed_in, signing);
}

static void want_session(void *arg)
{
	const unsigned *asset = arg;
	bool again = !own.is_settling && world_chance(4);

	if (!session_of(*asset) || again)
		sign_in(*asset);
	world_plan(world.now + world_between(100, 300) * MS, want_session, arg);
}

/* ---- using what one has */

struct use {
	struct held *held;
	const char *jti;
	bool is_check;
};

static void on_answer(void *arg, struct proc *router, int status)
{
	const struct use *use = arg;

	if (world.traces)
		world_trace("people: %s answers %d to %.8s", router->name, status, use->jti);
	if (status == 401)
		use->held->was_refused = true;
	if (use->is_check) {
		own.nopen--;
		judge_settled(router, use->jti, status);
	} else {
		judge_decided(router, use->jti, status == 200);
	}
}

static void use(struct proc *router, struct held *held, bool of_agent, bool is_check)
{
	struct use *used = world_alloc(sizeof(*used));
	struct seam_request request = {.method = "GET",
	    .path = of_agent ? "/authz" : "/v1/session",
	    .cookie = of_agent ? held->agent_cookie : held->console_cookie,
	    .host = of_agent ? held->host : NULL,
	    .answered = on_answer,
	    .arg = used};

	*used = (struct use){held, of_agent ? held->agent_jti : held->console_jti, is_check};
	seam_http_ask(router, of_agent ? router->authz : router->api,
	    world.now + world_between(50, 500), &request);
}

/* The one that ended last, one of the newest, or any. */
static struct held *some_held(void)
{
	const char *ended = judge_last_ended();

	if (ended && world_chance(50))
		for (size_t i = 0; i < own.nheld; i++)
			if (strcmp(own.held[i].agent_jti, ended) == 0 ||
			    strcmp(own.held[i].console_jti, ended) == 0)
				return &own.held[i];
	size_t newest = own.nheld < 3 ? own.nheld : 3;
	return &own.held[world_chance(70) ? own.nheld - 1 - world_below(newest)
					  : world_below(own.nheld)];
}

static void use_router(void *arg)
{
	struct proc *router = arg;

	if (router->up && own.nheld > 0)
		use(router, some_held(), world_chance(92), false);
	if (!own.is_settling || world.now < own.until + SETTLES_US)
		world_plan(world.now + world_between(10, 110) * MS, use_router, router);
}

/* ---- ending sessions */

static void on_ended(void *arg, struct proc *router, int status)
{
	(void)arg;
	world_trace("people: %s answers %d to who ends sessions", router->name, status);
}

static void log_out(void)
{
	struct proc *router = some(ROLE_ROUTER);

	if (!router || own.nheld == 0)
		return;
	const struct held *held =
	    &own.held[world_chance(70) ? own.nheld - 1 : world_below(own.nheld)];
	struct seam_request request = {.method = "DELETE",
	    .path = world_chance(70) ? held->own_path : "/v1/sessions",
	    .cookie = held->console_cookie,
	    .answered = on_ended};
	world_trace("people: %.8s ends %s", held->console_jti, request.path);
	seam_http_ask(router, router->api, world.now + world_between(50, 500), &request);
}

static void push(void *arg)
{
	struct proc *oracle = some(ROLE_ORACLE);

	if (oracle)
		oracle_push(oracle, *(const unsigned *)arg);
}

static void transfer(unsigned *asset, unsigned wallet)
{
	chain_transfer(*asset, wallet);
	if (world_chance(75))
		world_plan(world.now + world_between(100, 700) * MS, push, asset);
}

static void buy_back(void *arg)
{
	unsigned *asset = arg;

	transfer(asset, *asset);
}

static void sell(void)
{
	unsigned *asset = world_alloc(sizeof(*asset));
	bool burns = world_chance(3);

	*asset = (unsigned)world_below(chain_nassets());
	transfer(asset, burns ? CHAIN_WALLETS : (unsigned)world_below(CHAIN_WALLETS));
	if (world_chance(40) || burns)
		world_plan(world.now + world_between(1, 1000) * MS, buy_back, asset);
}

static void revoke(void)
{
	struct proc *oracle = some(ROLE_ORACLE);

	if (oracle)
		oracle_revoke(oracle, (unsigned)world_below(chain_nassets()), world_chance(30));
}

static void end_one(void *arg)
{
	(void)arg;
	if (own.is_settling)
		return;
	if (world_chance(30))
		log_out();
	else
		revoke();
}

void people_end_soon(unsigned n, uint64_t us)
{
	for (unsigned i = 0; i < n; i++)
		world_plan(world.now + world_below(us + 1), end_one, NULL);
}

static void announce(void *arg)
{
	struct proc *oracle = some(ROLE_ORACLE);

	if (oracle)
		oracle_announce(oracle, *(const unsigned *)arg);
}

static void end_all(void *arg)
{
	struct proc *oracle = some(ROLE_ORACLE);

	if (oracle)
		oracle_revoke(oracle, *(const unsigned *)arg, false);
}

void people_end_last(void)
{
	unsigned *assets = world_alloc(2 * sizeof(*assets));

	assets[0] = (unsigned)world_below(chain_nassets());
	assets[1] = (assets[0] + 1) % chain_nassets();
	for (unsigned i = 0; i < 5; i++)
		world_plan(world.now + world_below(8 * MS), announce, &assets[1]);
	world_plan(world.now + world_between(8, 20) * MS, end_all, &assets[0]);
}

void people_flood(void)
{
	struct proc *oracle = some(ROLE_ORACLE);
	unsigned *other = world_alloc(sizeof(*other));

	if (!oracle || chain_nassets() < 2)
		return;
	*other = (unsigned)world_below(chain_nassets());
	oracle_revoke(oracle, (*other + 1) % chain_nassets(), false);
	for (unsigned i = 0; i < 14; i++)
		world_plan(world.now + world_between(5, 80) * MS, announce, other);
}

static void act(void *arg)
{
	(void)arg;
	unsigned what = (unsigned)world_below(10);
	if (own.is_settling)
		return;
	if (what < 5)
		sell();
	else if (what < 9)
		log_out();
	else
		revoke();
}

static void keep_sweeping(void *arg)
{
	for (unsigned i = 0; i < nprocs; i++)
		if (procs[i].role == ROLE_ORACLE && procs[i].up)
			oracle_sweep(&procs[i]);
	uint64_t most = suite.chain_grace_s < 10 ? 900 : 1600;
	world_plan(world.now + world_between(500, most) * MS, keep_sweeping, arg);
}

/* ---- from beginning to end */

void people_begin(uint64_t until)
{
	unsigned nacts = (unsigned)world_between(1, 5);

	memset(&own, 0, sizeof(own));
	own.until = until;
	keep_sweeping(NULL);
	for (unsigned i = 0; i < chain_nassets(); i++) {
		unsigned *asset = world_alloc(sizeof(*asset));
		*asset = i;
		world_plan(world.now + world_between(5, 50) * MS, want_session, asset);
	}
	for (unsigned i = 0; i < nprocs; i++)
		if (procs[i].role == ROLE_ROUTER)
			world_plan(world.now + world_between(50, 90) * MS, use_router, &procs[i]);
	for (unsigned i = 0; i < nacts; i++)
		world_plan(world_between(world.now + 200 * MS, until), act, NULL);
}

void people_settle(void)
{
	own.is_settling = true;
	memset(own.signing, 0, sizeof(own.signing)); /* nobody waits for what was lost */
}

bool people_are_served(char *why, size_t size)
{
	for (unsigned i = 0; i < chain_nassets(); i++) {
		const struct held *held = session_of(i);
		if (strcmp(chain_owner(i), LEDGER_NOBODY) == 0)
			continue;
		if (!held || !judge_is_good(held->agent_jti)) {
			snprintf(why, size, "%.8s, who owns %.8s, has no session", chain_owner(i),
			    chain_asset(i));
			return false;
		}
	}
	return own.nopen == 0 ||
	       (snprintf(why, size, "%zu requests are not answered", own.nopen), false);
}

void people_check(void)
{
	unsigned dead = 0;

	for (size_t i = own.nheld; i > 0; i--) {
		struct held *held = &own.held[i - 1];
		if (!judge_is_good(held->agent_jti) && ++dead > DEAD_CHECKED)
			continue;
		for (unsigned p = 0; p < nprocs; p++) {
			if (procs[p].role != ROLE_ROUTER)
				continue;
			own.nopen++;
			use(&procs[p], held, true, true);
		}
	}
}
