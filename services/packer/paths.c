#include "services/packer/paths.h"

#include <stdlib.h>
#include <string.h>

static bool is_part(const char *part, size_t len)
{
	return len > 0 && len <= 255 && !(part[0] == '.' && len == 1) &&
	       !(part[0] == '.' && part[1] == '.' && len == 2);
}

bool path_is_plain(const char *path)
{
	for (;;) {
		size_t len = strcspn(path, "/");
		if (!is_part(path, len))
			return false;
		if (path[len] == '\0')
			return true;
		path += len + 1;
	}
}

static bool is_below(const char *path, const char *root)
{
	size_t len = strlen(root);

	if (strcmp(root, ".") == 0)
		return true;
	return strncmp(path, root, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* One that is below another would be saved twice. */
static void drop_nested(struct paths *paths)
{
	size_t kept = 0;

	qsort(paths->path, paths->n, sizeof(paths->path[0]), compare);
	for (size_t i = 0; i < paths->n; i++) {
		bool is_nested = false;
		for (size_t k = 0; k < kept && !is_nested; k++)
			is_nested = is_below(paths->path[i], paths->path[k]);
		if (!is_nested)
			paths->path[kept++] = paths->path[i];
	}
	paths->n = kept;
}

int paths_read(const char text[WARDEN_ROOTS_BYTES], struct paths *paths_r, struct error *err)
{
	const char *at = text, *end = text + WARDEN_ROOTS_BYTES;

	paths_r->n = 0;
	for (; at < end && *at; at += strlen(at) + 1) {
		if (!memchr(at, '\0', (size_t)(end - at)))
			return error_set(err, ERR_INVALID, "the last of the paths does not end");
		if (strcmp(at, ".") != 0 && !path_is_plain(at))
			return error_set(
			    err, ERR_INVALID, "a path is absolute or has \"..\" or an empty part");
		paths_r->path[paths_r->n++] = at;
	}
	if (at >= end)
		return error_set(err, ERR_INVALID, "the list of paths does not end");
	drop_nested(paths_r);
	return 0;
}

bool paths_cover(const struct paths *paths, const char *path)
{
	for (size_t i = 0; i < paths->n; i++)
		if (is_below(path, paths->path[i]))
			return true;
	return false;
}
