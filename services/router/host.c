#include "services/router/host.h"

#include <stdio.h>
#include <string.h>

int host_names_init(
    struct host_names *names, const char *public_url, const char *agents_domain, struct error *err)
{
	struct origin console, agents;
	char url[sizeof(agents.text)];
	if (origin_parse(public_url, &console, err) != 0)
		return -1;
	snprintf(
	    names->scheme, sizeof(names->scheme), "%s", console.is_https ? "https://" : "http://");
	int len = snprintf(url, sizeof(url), "%s%s", names->scheme, agents_domain);
	if (len < 0 || (size_t)len >= sizeof(url) || origin_parse(url, &agents, err) != 0 ||
	    strcmp(origin_domain(&agents), agents_domain) != 0 || agents_domain[0] == '[')
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_AGENTS_DOMAIN '%s' is not a name in lower case with an optional "
		    "port",
		    agents_domain);
	snprintf(names->domain, sizeof(names->domain), "%s", agents_domain);
	snprintf(names->console, sizeof(names->console), "%s", console.text);
	return 0;
}

bool host_parse(const struct host_names *names, const char *host, char agent_r[AGENT_ID_LEN + 1])
{
	if (strspn(host, "abcdefghijklmnopqrstuvwxyz234567") != AGENT_ID_LEN ||
	    host[AGENT_ID_LEN] != '.' || strcmp(host + AGENT_ID_LEN + 1, names->domain) != 0)
		return false;
	memcpy(agent_r, host, AGENT_ID_LEN);
	agent_r[AGENT_ID_LEN] = '\0';
	return true;
}

bool host_is_origin_of(const struct host_names *names, const char *origin, const char *agent)
{
	size_t scheme = strlen(names->scheme);
	char from[AGENT_ID_LEN + 1];
	return strncmp(origin, names->scheme, scheme) == 0 &&
	       host_parse(names, origin + scheme, from) && strcmp(from, agent) == 0;
}
