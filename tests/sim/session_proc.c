#include "tests/sim/session_proc.h"

#include <stdlib.h>

#include "services/session/session.h"
#include "tests/sim/seam.h"
#include "tests/sim/suite.h"

SESSION_CALLS(PROTO_THUNK)
static const struct bus_route routes[] = {SESSION_CALLS(PROTO_ROUTE)};

void session_proc_start(struct proc *proc)
{
	struct session *session = calloc(1, sizeof(*session));
	struct process *process = &proc->daemon->process;
	struct error err;

	bug_if(!session);
	proc->daemon->self = session;
	session->process = process;
	session->openings_per_minute = 1000000;
	process->settings.public_url = world_copy(SUITE_URL, sizeof(SUITE_URL));
	process->settings.keys = suite.keys;
	process->bell = seam_bell_new(proc);
	if (session_open(session, &err) != 0)
		fatal("sim: %s", err.text);
	process->follower = follower_new(process->base, process->redis, proc->name, "session",
	    &(struct follower_hooks){suite_on_event, suite_on_restart, NULL, session},
	    process->metrics);
	if (session_start(session, &err) != 0)
		fatal("sim: %s", err.text);
}

void session_proc_stop(struct proc *proc)
{
	session_stop(proc->daemon->self);
}

void session_proc_serve(
    struct proc *proc, const struct proto_call *call, const void *req, struct bus_request *request)
{
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		if (routes[i].call == call) {
			routes[i].handler(proc->daemon->self, req, request);
			return;
		}
	fatal("sim: session does not serve %s", call->name);
}
