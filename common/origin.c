#include "common/origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static size_t host_len(const char *at)
{
	if (at[0] != '[')
		return strspn(at, LOWER UPPER DIGITS "-.");
	size_t inside = strspn(at + 1, DIGITS "abcdefABCDEF:.");
	return inside > 1 && at[1 + inside] == ']' ? inside + 2 : 0;
}

/* Returns what follows ":port", or NULL; *port_r stays 0 if there is none. */
static const char *read_port(const char *at, unsigned *port_r)
{
	if (*at != ':')
		return at;
	size_t len = strspn(at + 1, DIGITS);
	if (len == 0 || len > 5 || at[1] == '0')
		return NULL;
	*port_r = (unsigned)strtoul(at + 1, NULL, 10);
	return *port_r <= 65535 ? at + 1 + len : NULL;
}

int origin_parse(const char *url, struct origin *origin_r, struct error *err)
{
	bool https = strncasecmp(url, "https://", 8) == 0;
	if (!https && strncasecmp(url, "http://", 7) != 0)
		return error_set(err, ERR_INVALID, "'%s' is not a http:// or https:// URL", url);
	const char *host = url + (https ? 8 : 7);
	size_t len = host_len(host);
	if (len == 0 || len > ORIGIN_HOST_MAX || host[0] == '.' || host[0] == '-')
		return error_set(err, ERR_INVALID, "'%s' names no host", url);
	unsigned port = 0;
	const char *rest = read_port(host + len, &port);
	if (!rest || (rest[0] == '/' ? rest[1] != '\0' : rest[0] != '\0'))
		return error_set(err, ERR_INVALID, "'%s' is more than scheme, host and port", url);

	*origin_r = (struct origin){.is_https = https};
	char port_text[16] = "";
	if (port != 0 && port != (https ? 443u : 80u))
		snprintf(port_text, sizeof(port_text), ":%u", port);
	snprintf(origin_r->text, sizeof(origin_r->text), "%s%.*s%s", https ? "https://" : "http://",
	    (int)len, host, port_text);
	for (char *c = origin_r->text; *c; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	return 0;
}
