#include "services/router/site.h"

#include <libpsl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/origin.h"

struct name {
	char text[ORIGIN_HOST_MAX + 1];
};

static struct name without_port(const char *domain)
{
	struct name name;
	snprintf(name.text, sizeof(name.text), "%.*s", (int)strcspn(domain, ":"), domain);
	return name;
}

/* Equal to domain, or a name below it. */
static bool is_within(const char *name, const char *domain)
{
	size_t len = strlen(name), tail = strlen(domain);
	return len >= tail && strcmp(name + len - tail, domain) == 0 &&
	       (len == tail || name[len - tail - 1] == '.');
}

static const char *judge(const psl_ctx_t *list, const char *console, const char *agents)
{
	const char *ours = psl_registrable_domain(list, console);
	const char *theirs = psl_registrable_domain(list, agents);
	if (is_within(console, agents))
		return "the console lives under the agents' domain";
	if (ours && theirs && strcmp(ours, theirs) == 0)
		return "agents and console are one site to a browser";
	if (!psl_is_public_suffix2(list, agents, PSL_TYPE_ANY | PSL_TYPE_NO_STAR_RULE))
		return "the agents' domain is not on the Public Suffix List, so all agents are one "
		       "site to a "
		       "browser";
	return NULL;
}

const char *site_objection(const char *console, const char *agents)
{
	struct name console_name = without_port(console), agents_name = without_port(agents);
	if (is_within(agents_name.text, "localhost"))
		return NULL;
	psl_ctx_t *list = psl_latest(NULL);
	if (!list)
		return "there is no Public Suffix List to look at";
	const char *objection = judge(list, console_name.text, agents_name.text);
	psl_free(list);
	return objection;
}
