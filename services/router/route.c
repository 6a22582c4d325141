#include "services/router/route.h"

#include <string.h>

#include "common/error.h"

bool route_matches(const char *pattern, const char *path, struct route_arguments *arguments_r)
{
	size_t n = 0;
	memset(arguments_r, 0, sizeof(*arguments_r));
	while (*pattern) {
		if (*pattern != '*' && *pattern != '+') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		size_t max = *pattern == '*' ? ROUTE_NAME_MAX : ROUTE_ARGUMENT_MAX;
		size_t len = strcspn(path, "/");
		bug_if(n == ROUTE_ARGUMENTS);
		if (len == 0 || len > max)
			return false;
		memcpy(arguments_r->text[n++], path, len);
		path += len;
		pattern++;
	}
	return *path == '\0';
}
