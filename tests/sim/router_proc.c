/* A router: services/router as it is, its settings aside. */
#include <stdlib.h>
#include <string.h>

#include "services/router/router.h"
#include "tests/sim/seam.h"
#include "tests/sim/suite.h"

static char nobody[] = "sim";
static char *addresses[] = {nobody};

/* (router frees none of them; they live as long as the seed) */
static char *setting(const char *text)
{
	return world_copy(text, strlen(text));
}

static void configure(struct router *router, struct suite_settings *settings)
{
	const struct setting_list one = {.len = 1, .item = addresses};

	settings->public_url = setting(SUITE_URL);
	settings->agents_domain = setting(SUITE_AGENTS);
	settings->chain_grace_s = suite.chain_grace_s;
	settings->auths = settings->sessions = one;
	router->api_listen = setting("api");
	router->authz_listen = setting("authz");
	router->authz_dialect = setting("nginx");
	router->agent_upstream = setting("127.0.0.1:18789");
	router->agents_network = setting("10.213.0.0/16");
	router->agents_port = 18789;
	router->decision_entries = router->place_entries = 64;
	router->streams_max = router->streams_per_asset = 16;
}

void router_proc_start(struct proc *proc)
{
	struct router *router = calloc(1, sizeof(*router));
	struct process *process = &proc->daemon->process;
	struct error err;

	bug_if(!router);
	proc->daemon->self = router;
	router->process = process;
	configure(router, &process->settings);
	if (router_open(router, &err) != 0)
		fatal("sim: %s", err.text);
	process->follower = follower_new(process->base, process->redis, proc->name, "router",
	    &(struct follower_hooks){router_on_event, router_on_restart, router_on_heard, router},
	    process->metrics);
	if (router_start(router, &err) != 0)
		fatal("sim: %s", err.text);
}

void router_proc_stop(struct proc *proc)
{
	router_stop(proc->daemon->self);
	proc->authz = proc->api = NULL;
}
