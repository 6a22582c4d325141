#include "services/sandbox/egress.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* RFC 1123: labels of letters, digits, hyphens (and underscores, which names of services have); in lower case, without the dot at the end. */
static bool read_name(const char *text, char name_r[EGRESS_HOST_MAX + 1])
{
	size_t len = strlen(text), label = 0;
	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len == 0 || len > EGRESS_HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		bool is_end = i + 1 == len || text[i + 1] == '.';
		name_r[i] = (char)tolower(c);
		if (c == '.' && label > 0) {
			label = 0;
			continue;
		}
		if (!(isalnum(c) || c == '_' || (c == '-' && label > 0 && !is_end)) || ++label > 63)
			return false;
	}
	name_r[len] = '\0';
	return label > 0;
}

bool egress_add(struct egress *egress, const char *host)
{
	bool is_below = strncmp(host, "*.", 2) == 0;
	char name[EGRESS_HOST_MAX + 1];
	if (egress->n == EGRESS_HOSTS_MAX || !read_name(host + (is_below ? 2 : 0), name) ||
	    strlen(name) + 2 > EGRESS_HOST_MAX)
		return false;
	char *to = egress->host[egress->n++];
	snprintf(to, sizeof(egress->host[0]), "%s%s", is_below ? "*." : "", name);
	return true;
}

/* len bytes of a line, without what stands around the name. */
static bool add_line(struct egress *egress, const char *line, size_t len)
{
	char name[EGRESS_HOST_MAX + 3];
	const char *comment = memchr(line, '#', len);
	len = comment ? (size_t)(comment - line) : len;
	while (len > 0 && isspace((unsigned char)line[0]))
		line++, len--;
	while (len > 0 && isspace((unsigned char)line[len - 1]))
		len--;
	if (len == 0 || len >= sizeof(name) || memchr(line, '\0', len))
		return false;
	memcpy(name, line, len);
	name[len] = '\0';
	return egress_add(egress, name);
}

size_t egress_parse(struct egress *egress, const uint8_t *text, size_t len)
{
	const char *at = (const char *)text, *end = at + len;
	*egress = (struct egress){.is_narrowed = true};
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline ? newline : end;
		add_line(egress, at, (size_t)(stop - at));
		at = stop + 1;
	}
	return egress->n;
}

bool egress_allows(const struct egress *egress, const char *name)
{
	char asked[EGRESS_HOST_MAX + 1];
	if (!egress->is_narrowed)
		return true;
	if (!read_name(name, asked))
		return false;
	size_t len = strlen(asked);
	for (size_t i = 0; i < egress->n; i++) {
		const char *host = egress->host[i];
		size_t below = strncmp(host, "*.", 2) == 0 ? strlen(host + 1) : 0;
		if (below ? len > below && strcmp(asked + len - below, host + 1) == 0
			  : strcmp(asked, host) == 0)
			return true;
	}
	return false;
}
