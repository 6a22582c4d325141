#include "services/sandbox/resolver_upstreams.h"

#include <event2/util.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/scoped.h"

#define LOOK_AFTER_MS 10000
#define PORT 53

static bool add(struct resolver_upstreams *upstreams, const char *text)
{
	struct resolver_upstream *at = &upstreams->at[upstreams->n];
	int len = sizeof(at->address);

	if (upstreams->n == RESOLVER_UPSTREAMS_MAX)
		return false;
	memset(at, 0, sizeof(*at));
	if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&at->address, &len) != 0)
		return false;
	at->len = (socklen_t)len;
	/* the port is in the same place in both */
	struct sockaddr_in *in = (struct sockaddr_in *)&at->address;
	in->sin_port = in->sin_port ? in->sin_port : htons(PORT);
	upstreams->n++;
	return true;
}

/* What is no address is passed over, as libc does. */
static int read_file(struct resolver_upstreams *upstreams, struct error *err)
{
	scoped_file FILE *file = fopen(upstreams->file, "re");
	char line[256], address[64];

	upstreams->looked_at_ms = clock_boot_ms();
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "nameserver %63s", address) == 1)
			add(upstreams, address);
	return upstreams->n > 0
		   ? 0
		   : error_set(err, ERR_INVALID, "%s names no resolver", upstreams->file);
}

static int read_list(struct resolver_upstreams *upstreams, const char *setting, struct error *err)
{
	char address[64];

	for (const char *at = setting;; at++) {

		at += strspn(at, " ");
		size_t len = strcspn(at, ", ");
		if (len >= sizeof(address))
			return error_set(err, ERR_INVALID, "not an address: %.*s", 80, at);
		memcpy(address, at, len);
		address[len] = '\0';
		if (!add(upstreams, address))
			return error_set(err, ERR_INVALID,
			    "resolvers: \"%s\" is no address, or there are more than %d", address,
			    RESOLVER_UPSTREAMS_MAX);
		at += len;
		at += strspn(at, " ");
		if (*at == '\0')
			return 0;
		if (*at != ',')
			return error_set(
			    err, ERR_INVALID, "resolvers: no comma after \"%s\"", address);
	}
}

int resolver_upstreams_init(
    struct resolver_upstreams *upstreams, const char *setting, struct error *err)
{
	*upstreams = (struct resolver_upstreams){0};
	if (setting[0] != '\0' && setting[0] != '/')
		return read_list(upstreams, setting, err);
	upstreams->file = strdup(setting[0] ? setting : RESOLVER_UPSTREAMS_FILE);
	bug_if(!upstreams->file);
	if (read_file(upstreams, err) == 0)
		return 0;
	resolver_upstreams_clear(upstreams);
	return -1;
}

void resolver_upstreams_clear(struct resolver_upstreams *upstreams)
{
	free(upstreams->file);
	*upstreams = (struct resolver_upstreams){0};
}

static bool is_same(const struct resolver_upstreams *a, const struct resolver_upstreams *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (i == b->n || evutil_sockaddr_cmp((const struct sockaddr *)&a->at[i].address,
				     (const struct sockaddr *)&b->at[i].address, 1) != 0)
			return false;
	return a->n == b->n;
}

void resolver_upstreams_look(struct resolver_upstreams *upstreams)
{
	struct resolver_upstreams now = {.file = upstreams->file};

	if (!upstreams->file || clock_boot_ms() - upstreams->looked_at_ms < LOOK_AFTER_MS)
		return;
	upstreams->looked_at_ms = clock_boot_ms();
	if (read_file(&now, NULL) == 0 && !is_same(&now, upstreams))
		*upstreams = now;
}
