#include "services/sandbox/llm.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX 192
#define LINES_MAX (PROVIDERS_MAX * (PROVIDER_ENVS_MAX + 1) * 320)

/* NULL: its provider is not the gateway's after all. */
static const struct provider *find(const struct llm_offer *offer, size_t i)
{
	const struct provider *provider = providers_find(offer->providers, offer->offered[i]);
	return provider && provider->base_url[0] ? provider : NULL;
}

static void url_of(
    const struct llm_offer *offer, const struct provider *provider, char url_r[URL_MAX])
{
	snprintf(url_r, URL_MAX, "http://%s/%s%s", offer->address, provider->name,
	    provider->client_path);
}

struct writing {
	llm_put *put;
	void *arg;
	FILE *lines;
};

static int write_one(
    const struct writing *writing, const char *name, const char *value, struct error *err)
{
	char path[4 + 64 + 1];
	snprintf(path, sizeof(path), "llm/%s", name);
	fprintf(writing->lines, "%s=%s\n", name, value);
	return writing->put(writing->arg, path, value, err);
}

static int write_provider(const struct writing *writing, const struct llm_offer *offer,
    const struct provider *provider, struct error *err)
{
	char url[URL_MAX];
	url_of(offer, provider, url);
	for (size_t i = 0; i < provider->nenv; i++)
		if (write_one(writing, provider->env[i], offer->token, err) != 0)
			return -1;
	return provider->base_url_env[0] ? write_one(writing, provider->base_url_env, url, err) : 0;
}

static int write_all(
    const struct writing *writing, const struct llm_offer *offer, struct error *err)
{
	for (size_t i = 0; i < offer->noffered; i++) {
		const struct provider *provider = find(offer, i);
		if (provider && write_provider(writing, offer, provider, err) != 0)
			return -1;
	}
	return 0;
}

int llm_write(const struct llm_offer *offer, llm_put *put, void *arg, struct error *err)
{
	if (offer->noffered == 0)
		return 0;
	char *lines = calloc(1, LINES_MAX);
	bug_if(!lines);
	struct writing writing = {put, arg, fmemopen(lines, LINES_MAX, "w")};
	bug_if(!writing.lines);
	setvbuf(writing.lines, NULL, _IONBF, 0);
	int rc = write_all(&writing, offer, err);
	fclose(writing.lines);
	if (rc == 0)
		rc = put(arg, "llm.env", lines, err);
	sodium_memzero(lines, LINES_MAX);
	free(lines);
	return rc;
}

int llm_write_known(const struct providers *providers, llm_put *put, void *arg, struct error *err)
{
	for (size_t i = 0; i < providers->len; i++) {
		char path[4 + 64 + 1];
		const char *name = providers->provider[i].base_url_env;
		snprintf(path, sizeof(path), "llm/%s", name);
		if (name[0] && put(arg, path, "", err) != 0)
			return -1;
	}
	return put(arg, "llm.env", "", err);
}

json_t *llm_openclaw(const struct llm_offer *offer)
{
	json_t *made = json_object();
	char url[URL_MAX];
	for (size_t i = 0; i < offer->noffered; i++) {
		const struct provider *provider = find(offer, i);
		if (!provider)
			continue;
		url_of(offer, provider, url);
		json_object_set_new(made,
		    provider->openclaw[0] ? provider->openclaw : provider->name,
		    json_pack(
			"{s:s, s:s, s:[]}", "baseUrl", url, "apiKey", offer->token, "models"));
	}
	return made;
}
