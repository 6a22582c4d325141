#include "common/role.h"

#include <stdio.h>
#include <string.h>

static const struct {
	unsigned role;
	const char *name;
} roles[] = {
#define ROLE_ROW(bit, name, text) {ROLE_##name, text},
    ROLES(ROLE_ROW)
#undef ROLE_ROW
};

char *role_text(unsigned set, char *buf, size_t size)
{
	size_t len = 0;

	snprintf(buf, size, "%s", "none");
	for (size_t i = 0; i < ARRAY_LEN(roles) && len < size; i++) {
		if (set & roles[i].role)
			len += (size_t)snprintf(
			    buf + len, size - len, "%s%s", len ? "+" : "", roles[i].name);
	}
	return buf;
}

static unsigned parse_one(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (strlen(roles[i].name) == len && memcmp(roles[i].name, name, len) == 0)
			return roles[i].role;
	return 0;
}

unsigned role_parse(const char *text)
{
	unsigned set = 0;

	for (;;) {
		size_t len = strcspn(text, "+");
		unsigned role = parse_one(text, len);
		if (role == 0)
			return 0;
		set |= role;
		if (text[len] == '\0')
			return set;
		text += len + 1;
	}
}
