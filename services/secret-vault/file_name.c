#include "services/secret-vault/file_name.h"

#include <stdio.h>
#include <string.h>

#include "services/secret-vault/channels.h"

int file_name_compare(const void *left, const void *right)
{
	const struct file_name *a = left, *b = right;
	int order = strcmp(a->kind, b->kind);
	return order ? order : strcmp(a->name, b->name);
}

bool file_name_path(
    const struct providers *providers, const struct file_name *name, char path_r[FILE_PATH_MAX + 1])
{
	const char *last = name->name;
	if (strcmp(name->kind, "wallet") == 0) {
		snprintf(path_r, FILE_PATH_MAX + 1, FILE_HOT_WALLET);
		return true;
	}
	if (strcmp(name->kind, "llm") == 0) {
		const struct provider *provider = providers_find(providers, name->name);
		if (!provider)
			return false;
		last = provider->env[0];
	}
	if (strcmp(name->kind, "bot") == 0 && channels_has_token(name->name))
		return false;
	snprintf(path_r, FILE_PATH_MAX + 1, "%s/%s", name->kind, last);
	return true;
}

static const struct provider *provider_of(const struct providers *providers, const char *env)
{
	for (size_t i = 0; i < providers->len; i++)
		if (strcmp(providers->provider[i].env[0], env) == 0)
			return &providers->provider[i];
	return NULL;
}

/* NULL: none that there could be. */
static const char *name_in(
    const struct providers *providers, const char *kind, const char *path, const char *last)
{
	if (strcmp(path, FILE_HOT_WALLET) == 0)
		return "hot";
	if (strcmp(kind, "bot") == 0 || strcmp(kind, "custom") == 0)
		return last;
	const struct provider *provider =
	    strcmp(kind, "llm") == 0 ? provider_of(providers, last) : NULL;
	return provider ? provider->name : NULL;
}

int file_name_parse(const struct providers *providers, const char *path, struct file_name *name_r,
    struct error *err)
{
	*name_r = (struct file_name){0};
	if (strcmp(path, FILE_CHANNELS) == 0 || strcmp(path, FILE_GATEWAY_TOKEN) == 0)
		return 0;
	const char *slash = strchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	if (slash && len < sizeof(name_r->kind)) {
		memcpy(name_r->kind, path, len);
		const char *name = name_in(providers, name_r->kind, path, slash + 1);
		if (name && *name && strlen(name) < sizeof(name_r->name)) {
			memcpy(name_r->name, name, strlen(name));
			return 0;
		}
	}
	return error_refuse(err, ERR_INVALID, "page_invalid",
	    "after: not the path of a file that a page could have ended with");
}
