#include "services/sandbox/names.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "services/sandbox/resolver.h"
#include "services/sandbox/resolver_upstreams.h"

struct names {
	struct sandbox *sandbox;
	struct resolver *resolver; /* NULL: nobody can ask */
	struct cidr *denied;
	size_t ndenied;
	int probe; /* socket that is_own asks the kernel by */
};

/* The pool is this host's own, and its rules drop what comes from another's address. */
static const struct egress *policy(void *arg, struct in_addr source, const char **agent_r)
{
	const struct names *names = arg;
	const struct agent *agent = agents_at_address(names->sandbox->agents, source);

	if (!agent ||
	    (agent->machine.phase != MACHINE_STARTING && agent->machine.phase != MACHINE_RUNNING))
		return NULL;
	*agent_r = agent->id;
	return &agent->record.egress;
}

/* An address of this host, by the kernel's own routes at this moment: to one of its own it speaks from that same one. Nothing is sent. */
static bool is_own(int probe, struct in_addr address)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = address};
	socklen_t len = sizeof(at);

	if (connect(probe, (const struct sockaddr *)&at, len) != 0)
		return errno == EACCES; /* a broadcast address */
	if (getsockname(probe, (struct sockaddr *)&at, &len) != 0)
		return true;
	(void)connect(
	    probe, &(const struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
	return at.sin_addr.s_addr == address.s_addr;
}

static bool is_denied(void *arg, struct in_addr address)
{
	const struct names *names = arg;

	for (size_t i = 0; i < names->ndenied; i++)
		if (cidr_has(names->denied[i], address))
			return true;
	return is_own(names->probe, address);
}

/* What the driver could not be told stays closed: its answer is never sent. */
static void allow(void *arg, const struct resolver_allowing *allowing)
{
	const struct names *names = arg;
	struct sandbox *sandbox = names->sandbox;
	const struct agent *agent = agents_find(sandbox->agents, allowing->agent);
	const struct driver_allow ask = {
	    allowing->address, allowing->n, allowing->ttl_s, allowing->ticket};
	struct error err;

	if (!agent)
		return;
	const struct driver_boot of = {agent->id, agent->boot};
	if (sandbox->driver->allow(sandbox->driven, &of, &ask, &err) != 0)
		log_warn("addresses could not be let through", "agent", agent->id, "why", err.text);
}

void names_allowed(struct names *names, uint64_t ticket)
{
	if (names->resolver)
		resolver_allowed(names->resolver, ticket);
}

/* Those of IPv6 are left out of answers anyway. */
static int take_denied(struct names *names, const struct setting_list *list, struct error *err)
{
	bool is_v4 = false;

	names->denied = calloc(list->len + 1, sizeof(*names->denied));
	bug_if(!names->denied);
	for (size_t i = 0; i < list->len; i++) {
		if (cidr_parse(list->item[i], &names->denied[names->ndenied], &is_v4, err) != 0)
			return -1;
		names->ndenied += is_v4;
	}
	return 0;
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
	names->probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bug_if(names->probe < 0);
	if (take_denied(names, &sandbox->denied_cidrs, err) != 0)
		names_destroy(&names);
	return names;
}

void names_listen(struct names *names, int fd)
{
	const struct resolver_hooks hooks = {
	    .policy = policy, .allow = allow, .is_denied = is_denied, .arg = names};
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
	close((*names)->probe);
	free((*names)->denied);
	free(*names);
	*names = NULL;
}
