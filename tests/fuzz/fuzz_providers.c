/* The data file of LLM providers. Whatever is accepted keeps its grammar, and nothing is in it twice. */
#include <stdlib.h>
#include <string.h>

#include "common/providers.h"
#include "common/scoped.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789_-"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static void check_text(const char *text, const char *chars)
{
	size_t len = strlen(text);
	if (len == 0 || len > 64 || strspn(text, chars) != len)
		abort();
}

static size_t times(const struct providers *providers, const char *env)
{
	size_t n = 0;
	for (size_t i = 0; i < providers->len; i++)
		for (size_t k = 0; k < providers->provider[i].nenv; k++)
			n += strcmp(providers->provider[i].env[k], env) == 0;
	return n;
}

static void check_provider(const struct providers *providers, const struct provider *provider)
{
	check_text(provider->name, LOWER);
	if (providers_find(providers, provider->name) != provider || provider->nenv == 0 ||
	    provider->nenv > PROVIDER_ENVS_MAX)
		abort();
	for (size_t k = 0; k < provider->nenv; k++) {
		check_text(provider->env[k], UPPER "0123456789_");
		if (!strchr(UPPER, provider->env[k][0]) || times(providers, provider->env[k]) != 1)
			abort();
	}
}

/* What the gateway sends to has no character that ends a URL's host or a header. */
static void check_offer(const struct provider *provider)
{
	if (!provider->base_url[0])
		return;
	if (strncmp(provider->base_url, "https://", 8) != 0 ||
	    strpbrk(provider->base_url, "@?# \r\n") || strpbrk(provider->header, ": \r\n") ||
	    strpbrk(provider->prefix, "\r\n") || (!provider->header[0] && !provider->query[0]) ||
	    provider->npaths == 0)
		abort();
	for (size_t i = 0; i < provider->npaths; i++)
		if (provider->path[i][0] != '/' || strstr(provider->path[i], ".."))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct error err = {0};
	scoped_free char *text = malloc(size + !size);
	memcpy(text, bytes, size);
	struct providers *providers = providers_parse(text, size, &err);
	if (!providers) {
		if (err.code != ERR_INVALID || !err.text[0])
			abort();
		return 0;
	}
	if (providers->len == 0 || providers->len > PROVIDERS_MAX)
		abort();
	for (size_t i = 0; i < providers->len; i++) {
		check_provider(providers, &providers->provider[i]);
		check_offer(&providers->provider[i]);
	}
	providers_destroy(&providers);
	return 0;
}
