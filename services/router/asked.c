#include "services/router/asked.h"

#include <string.h>
#include <strings.h>

static const struct {
	const char *name;
	size_t len;
} header_names[ASKED_NHEADERS] = {
#define HEADER_ROW(name, text) {text, sizeof(text) - 1},
    ASKED_HEADERS(HEADER_ROW)
#undef HEADER_ROW
};

static const struct asked_dialect dialects[] = {
    {"nginx", ASKED_ORIGINAL_HOST, ASKED_ORIGINAL_METHOD, true, false},
    {"traefik", ASKED_FORWARDED_HOST, ASKED_FORWARDED_METHOD, false, false},
    {"envoy", ASKED_HOST, ASKED_HOST, false, true},
};

const struct asked_dialect *asked_dialect(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(dialects); i++)
		if (strcmp(dialects[i].name, name) == 0)
			return &dialects[i];
	return NULL;
}

void asked_init(struct asked *asked)
{
	memset(asked->header, 0, sizeof(asked->header));
	asked->repeated = false;
	cookies_init(&asked->cookies);
}

void asked_add(struct asked *asked, const char *name, const char *value)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < ASKED_NHEADERS; i++) {
		if (header_names[i].len != len || strcasecmp(header_names[i].name, name) != 0)
			continue;
		if (i == ASKED_COOKIE)
			cookies_add(&asked->cookies, value);
		else if (asked->header[i])
			asked->repeated = true;
		asked->header[i] = value;
		return;
	}
}

struct cookie_value asked_session(const struct asked *asked)
{
	return asked->cookies.agent;
}

bool asked_is_worker(const struct asked *asked)
{
	return asked->header[ASKED_SERVICE_WORKER];
}

/* One header says which host, and no other that might is present. */
static bool read_agent(const struct asked *asked, const struct asked_dialect *dialect,
    const struct host_names *names, char agent_r[AGENT_ID_LEN + 1])
{
	const char *host = asked->header[dialect->host];
	for (enum asked_header i = ASKED_ORIGINAL_HOST; i <= ASKED_HOST_OVERRIDE; i++)
		if (i != dialect->host && asked->header[i])
			return false;
	return host && !asked->repeated && host_parse(names, host, agent_r);
}

static bool is_read_only(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
	       strcmp(method, "OPTIONS") == 0;
}

/* A page of another origin behind the request. Chromium sends no Sec-Fetch-* with a WebSocket, and SameSite does nothing inside one
 * site, so Origin has to be there for one. */
static bool is_foreign(const struct asked *asked, const struct host_names *names, const char *agent,
    const char *method)
{
	const char *origin = asked->header[ASKED_ORIGIN], *site = asked->header[ASKED_FETCH_SITE];
	const char *upgrade = asked->header[ASKED_UPGRADE];
	if (origin)
		return !host_is_origin_of(names, origin, agent);
	/* Traefik takes hop-by-hop headers away before it asks, but not the key */
	bool upgrades = (upgrade && upgrade[0]) || asked->header[ASKED_WEBSOCKET_KEY];
	if (upgrades && asked->header[ASKED_COOKIE])
		return true;
	return site && !is_read_only(method) && strcmp(site, "same-origin") != 0 &&
	       strcmp(site, "none") != 0;
}

enum asked_verdict asked_judge(const struct asked *asked, const struct asked_dialect *dialect,
    const struct host_names *names, const char *own_method, char agent_r[AGENT_ID_LEN + 1])
{
	if (!read_agent(asked, dialect, names, agent_r))
		return ASKED_HOST_REFUSED;
	const char *method =
	    dialect->method == ASKED_HOST ? own_method : asked->header[dialect->method];
	if (is_foreign(asked, names, agent_r, method ? method : ""))
		return ASKED_ORIGIN_REFUSED;
	if (asked->cookies.repeated || asked->cookies.too_long ||
	    !cookie_is_token(asked_session(asked)))
		return ASKED_UNAUTHENTICATED;
	return ASKED_GO_ON;
}
