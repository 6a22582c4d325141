#include "services/llm-gateway/fields.h"

#include <string.h>
#include <strings.h>

#define TOKEN_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
#define BEARER "Bearer "

bool fields_is_name(const char *name, size_t len)
{
	return len > 0 && strspn(name, TOKEN_CHARS) == len && name[len] == '\0';
}

bool fields_is_value(const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

bool fields_lists(const char *list, const char *name)
{
	size_t len = strlen(name);

	while (*list) {
		list += strspn(list, " \t,");
		size_t n = strcspn(list, ", \t");
		if (n == len && strncasecmp(list, name, len) == 0)
			return true;
		list += n;
	}
	return false;
}

static bool is_one_of(const char *name, const char *const *names, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

static bool begins(const char *name, const char *prefix)
{
	return strncasecmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_of_one_hop(const char *name, const char *connection)
{
	static const char *const names[] = {"connection", "keep-alive", "te", "trailer",
	    "transfer-encoding", "upgrade", "http2-settings"};

	return is_one_of(name, names, ARRAY_LEN(names)) || begins(name, "proxy-") ||
	       begins(name, "x-multiclaw-") || fields_lists(connection, name);
}

bool fields_go_up(const char *name, const char *connection, const struct provider *provider)
{
	static const char *const names[] = {/* made anew */ "host", "content-length", "expect",
	    "accept-encoding", "range", "if-range", /* credentials */ "authorization", "x-api-key",
	    "x-goog-api-key", "api-key", "cookie", /* about the host */ "forwarded", "via",
	    "x-real-ip", /* another request than was judged */ "x-http-method-override",
	    "x-http-method", "x-method-override", "x-rewrite-url"};

	return !is_of_one_hop(name, connection) && !is_one_of(name, names, ARRAY_LEN(names)) &&
	       !begins(name, "x-forwarded-") && !begins(name, "x-original-") &&
	       strcasecmp(name, provider->header) != 0;
}

bool fields_go_down(const char *name, const char *connection)
{
	/* the connection upstream is everybody's: no state of it, and no other way to it */
	static const char *const names[] = {
	    "content-length", "set-cookie", "set-cookie2", "alt-svc"};

	return !is_of_one_hop(name, connection) && !is_one_of(name, names, ARRAY_LEN(names));
}

bool fields_hold_token(const char *name, const char *value, const char **token_r)
{
	static const char *const names[] = {"x-api-key", "x-goog-api-key"};

	if (strcasecmp(name, "authorization") == 0) {
		*token_r = begins(value, BEARER) ? value + strlen(BEARER) : "";
		return true;
	}
	*token_r = value;
	return is_one_of(name, names, ARRAY_LEN(names));
}
