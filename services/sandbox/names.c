#include "services/sandbox/names.h"

#include <stdlib.h>

#include "common/log.h"
#include "services/sandbox/resolver.h"
#include "services/sandbox/resolver_upstreams.h"

struct names {
	struct sandbox *sandbox;
	struct resolver *resolver; /* NULL: nobody can ask */
};

/* The pool is this host's own, and its rules drop what comes from another's address. One that starts asks before its address is told here: it is answered if
 * it cannot be a narrowed one, not even one that ends: what has its grace still could tell names outside. Open ones have no name for the resolver: they may
 * ask while they start and be answered when they run. */
static const struct egress *policy(void *arg, struct in_addr source, const char **agent_r)
{
	static const struct egress open;
	const struct names *names = arg;
	const struct agents *agents = names->sandbox->agents;
	bool may_be_starting = false, may_be_narrowed = false;

	for (size_t i = 0; i < agents_count(agents); i++) {
		const struct agent *agent = agents_at(agents, i);

		bool is_ending = agent->machine.phase == MACHINE_ENDING;

		if ((agent->upstream[0] || is_ending) && agent->address.s_addr == source.s_addr) {
			*agent_r = agent->record.egress.is_narrowed ? agent->id : "";
			/* sold: nobody's list holds for what is left of it */
			return agent->record.wallet[0] ? &agent->record.egress : NULL;
		}
		/* a stray, whose address was not told */
		may_be_narrowed |= is_ending && agent->address.s_addr == 0;
		if (agent->machine.phase == MACHINE_STARTING && !agent->start) {
			may_be_starting = true;
			may_be_narrowed |= agent->record.egress.is_narrowed;
		}
	}
	*agent_r = "";
	return may_be_starting && !may_be_narrowed ? &open : NULL;
}

/* What the driver could not be told stays closed: its answer is never sent. It says nothing when it has let something through, so an answer leaves once it was
 * told: a first packet that is faster than its rules is lost, and TCP sends it again. */
static void allow(void *arg, const struct resolver_allowing *allowing)
{
	struct names *names = arg;
	struct sandbox *sandbox = names->sandbox;
	const struct agent *agent = agents_find(sandbox->agents, allowing->agent);
	struct error err;

	if (!agent)
		return;
	const struct driver_boot of = {agent->id, agent->boot};
	if (sandbox->driver->allow(
		sandbox->driven, &of, allowing->address, allowing->n, allowing->ttl_s, &err) != 0)
		log_warn("addresses could not be let through", "agent", agent->id, "why", err.text);
	else
		resolver_allowed(names->resolver, allowing->ticket);
}

struct names *names_new(struct sandbox *sandbox, struct error *err)
{
	struct resolver_upstreams upstreams;

	/* a mistake in the setting stops the start; a host that names no resolver at this moment is offline, not wrong */
	if (sandbox->upstreams[0]) {
		if (resolver_upstreams_init(&upstreams, sandbox->upstreams, err) != 0)
			return NULL;
		resolver_upstreams_clear(&upstreams);
	}
	struct names *names = calloc(1, sizeof(*names));

	bug_if(!names);
	names->sandbox = sandbox;
	return names;
}

void names_listen(struct names *names, int fd)
{
	const struct resolver_hooks hooks = {.policy = policy, .allow = allow, .arg = names};
	const struct process *process = names->sandbox->process;
	struct error err;

	resolver_destroy(&names->resolver);
	if (fd < 0)
		return;
	names->resolver = resolver_new(
	    process->base, fd, names->sandbox->upstreams, &hooks, process->metrics, &err);
	if (!names->resolver)
		log_warn("containers cannot ask for names", "why", err.text);
}

void names_destroy(struct names **names)
{
	if (!*names)
		return;
	resolver_destroy(&(*names)->resolver);
	free(*names);
	*names = NULL;
}
