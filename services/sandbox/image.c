#include "services/sandbox/image.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/scoped.h"

static bool is_name(const char *name)
{
	size_t len = strlen(name);
	return len > 0 && len <= 64 && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") == len;
}

static int read_digest(const char *store, const char *name, char digest_r[65], struct error *err)
{
	char path[512], line[128];
	snprintf(path, sizeof(path), "%s/names/%s", store, name);
	scoped_file FILE *file = fopen(path, "re");
	if (!file)
		return error_refuse(
		    err, ERR_UNAVAILABLE, "image_missing", "%s: %s", path, strerror(errno));
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (strlen(line) != 64 || strspn(line, "0123456789abcdef") != 64)
		return error_refuse(
		    err, ERR_UNAVAILABLE, "image_invalid", "%s holds no digest", path);
	memcpy(digest_r, line, 65);
	return 0;
}

static int read_kind(const char *store, struct driver_image *image, struct error *err)
{
	char path[512];
	json_error_t where;
	snprintf(path, sizeof(path), "%s/%s/image.json", store, image->digest);
	scoped_json json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
	const char *kind = json_string_value(json_object_get(json, "kind"));
	if (!kind || (strcmp(kind, "") != 0 && strcmp(kind, "openclaw") != 0))
		return error_refuse(
		    err, ERR_UNAVAILABLE, "image_invalid", "%s: no image of a known kind", path);
	snprintf(image->kind, sizeof(image->kind), "%s", kind);
	return 0;
}

int image_find(const char *store, const char *name, struct driver_image *image_r, struct error *err)
{
	*image_r = (struct driver_image){0};
	if (!is_name(name))
		return error_refuse(
		    err, ERR_UNAVAILABLE, "image_invalid", "not a name of an image: %s", name);
	snprintf(image_r->name, sizeof(image_r->name), "%s", name);
	if (read_digest(store, name, image_r->digest, err) != 0)
		return -1;
	return read_kind(store, image_r, err);
}
