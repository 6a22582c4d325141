#include "services/router/cookie.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ATTRIBUTES "HttpOnly; Secure; SameSite=Strict"

static struct cookie_value trim(const char *from, const char *to)
{
	while (from < to && (*from == ' ' || *from == '\t'))
		from++;
	while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
		to--;
	return (struct cookie_value){from, (size_t)(to - from)};
}

static bool is(struct cookie_value value, const char *text)
{
	return value.len == strlen(text) && memcmp(value.text, text, value.len) == 0;
}

static bool is_ours(struct cookie_value name)
{
	size_t len = strlen(COOKIE_CONSOLE);
	return name.len >= len && strncasecmp(name.text, COOKIE_CONSOLE, len) == 0;
}

static void take(struct cookies *cookies, struct cookie_value *slot, struct cookie_value value)
{
	if (slot->text)
		cookies->repeated = true;
	*slot = value;
}

static void forward(struct cookies *cookies, struct cookie_value pair)
{
	size_t gap = cookies->forward_len > 0 ? 2 : 0;
	if (cookies->forward_len + gap + pair.len > COOKIE_FORWARD_MAX) {
		cookies->too_long = true;
		return;
	}
	memcpy(cookies->forward + cookies->forward_len, "; ", gap);
	memcpy(cookies->forward + cookies->forward_len + gap, pair.text, pair.len);
	cookies->forward_len += gap + pair.len;
	cookies->forward[cookies->forward_len] = '\0';
}

void cookies_init(struct cookies *cookies)
{
	cookies->console = cookies->agent = cookies->state = (struct cookie_value){NULL, 0};
	cookies->repeated = cookies->too_long = false;
	cookies->forward_len = 0;
	cookies->forward[0] = '\0';
}

void cookies_add(struct cookies *cookies, const char *value)
{
	for (const char *at = value, *end; *at; at = *end ? end + 1 : end) {
		end = at + strcspn(at, ";");
		struct cookie_value pair = trim(at, end);
		const char *equals = memchr(pair.text, '=', pair.len);
		const char *name_end = equals ? equals : pair.text + pair.len;
		struct cookie_value name = trim(pair.text, name_end);
		struct cookie_value content = equals ? trim(equals + 1, pair.text + pair.len)
						     : (struct cookie_value){name_end, 0};
		if (is(name, COOKIE_CONSOLE))
			take(cookies, &cookies->console, content);
		else if (is(name, COOKIE_AGENT))
			take(cookies, &cookies->agent, content);
		else if (is(name, COOKIE_STATE))
			take(cookies, &cookies->state, content);
		else if (pair.len > 0 && !is_ours(name))
			forward(cookies, pair);
	}
}

bool cookie_is_token(struct cookie_value value)
{
	if (value.len == 0 || value.len > COOKIE_TOKEN_MAX)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		char c = value.text[i];
		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			c == '-' || c == '_' || c == '.'))
			return false;
	}
	return true;
}

char *cookie_set(const char *name, const char *value, uint64_t seconds, char *buf)
{
	snprintf(buf, COOKIE_SET_SIZE, "%s=%s; Path=/; Max-Age=%" PRIu64 "; " ATTRIBUTES, name,
	    value, seconds);
	return buf;
}

char *cookie_clear(const char *name, char *buf)
{
	return cookie_set(name, "", 0, buf);
}
