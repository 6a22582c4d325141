#include "services/sandbox/roots.h"

#include <string.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Neither empty nor one that leads upwards or to itself. */
static bool has_good_parts(const char *path)
{
	while (*path) {
		size_t len = strcspn(path, "/");
		if (len == 0 || (len == 1 && path[0] == '.') ||
		    (len == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += len;
		if (*path == '/' && *++path == '\0')
			return false;
	}
	return true;
}

bool root_parse(const char *text, size_t len, char *root_r)
{
	static const char top[] = "/data/";
	if (len >= sizeof(top) - 1 && memcmp(text, top, sizeof(top) - 1) == 0) {
		text += sizeof(top) - 1;
		len -= sizeof(top) - 1;
	}
	if (len > 1 && text[len - 1] == '/')
		len--;
	if (len == 0 || len > ROOT_MAX || memchr(text, '\0', len))
		return false;
	memcpy(root_r, text, len);
	root_r[len] = '\0';
	return has_good_parts(root_r);
}

size_t roots_count(const char *roots)
{
	size_t n = 0;
	for (const char *at = roots; *at; at += strlen(at) + 1)
		n++;
	return n;
}

bool roots_add(char roots[WARDEN_ROOTS_BYTES], const char *root)
{
	char *at = roots;
	while (*at)
		at += strlen(at) + 1;
	size_t left = WARDEN_ROOTS_BYTES - 1 - (size_t)(at - roots);
	if (strlen(root) >= left)
		return false;
	memcpy(at, root, strlen(root) + 1);
	at[strlen(root) + 1] = '\0';
	return true;
}

bool roots_parse(const char *text, size_t len, const char *separators,
    char roots_r[WARDEN_ROOTS_BYTES], unsigned *line_r)
{
	const char *end = text + len;
	memset(roots_r, 0, WARDEN_ROOTS_BYTES);
	for (*line_r = 1; text < end; (*line_r)++) {
		const char *stop = text;
		char root[ROOT_MAX + 1];
		while (stop < end && !strchr(separators, *stop))
			stop++;
		const char *from = text, *to = stop;
		while (from < to && is_space(*from))
			from++;
		while (from < to && is_space(to[-1]))
			to--;
		if (from < to && *from != '#' &&
		    (!root_parse(from, (size_t)(to - from), root) || !roots_add(roots_r, root)))
			return false;
		text = stop + 1;
	}
	return true;
}
