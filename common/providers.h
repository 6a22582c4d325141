/* providers - the LLM providers that are known, from a data file, so that one is added without code. secret-vault (MULTICLAW_VAULT_PROVIDERS) and
 * llm-gateway (MULTICLAW_GATEWAY_PROVIDERS) read the same one:
 *
 *	{"providers": [{"name": "anthropic", "env": ["ANTHROPIC_API_KEY"],
 *		"base_url": "https://api.anthropic.com", "auth": {"header": "x-api-key"}, "paths": ["/v1/messages"], "shape": "anthropic"}, ...]}
 *
 * name: [a-z0-9_-]{1,64}, unique; env: one to four names [A-Z][A-Z0-9_]{0,63}, unique over the file; the first names the file in the container. At most 128.
 * base_url, auth, paths and shape come together or not at all; without them llm-gateway does not offer the provider.
 *	base_url: https://host[:port][/path], without a slash at its end.
 *	auth: header, the name of the one that holds the key, and prefix, what stands before it; or query, the name of a parameter. With a header, query names
 *		a parameter that is taken out of what a client sends, because this provider takes it for a key, too.
 *	paths: what may be asked for, behind base_url: 1 to 16, each begins with a slash. One ends where a client's path ends, at a slash or before a colon.
 *	shape: of its errors: openai, anthropic or gemini.
 *	prices, may be absent: what models cost, [{"model": "gpt-4o", "input": 2.5, "output": 10}, ...], at most 64, in USD for a million tokens (0 to 1,000,000).
 *		A price is that of the model of this name, and of its versions: behind the name comes nothing, "-" and a digit, "-latest", ":" or "@". The longest
 *		name counts. Providers change prices: whoever runs the suite keeps them up to date.
 * What an agent is told (services/sandbox/llm.h), each may be absent:
 *	base_url_env: as env, the name that clients take the base URL by.
 *	client_path: what belongs behind the provider in it, "/v1" for most clients of shape openai.
 *	openclaw: OpenClaw's name of this provider, if it is another.
 * Members that start with "x-" are ignored, anything else unknown is refused, with where.
 */
#ifndef COMMON_PROVIDERS_H
#define COMMON_PROVIDERS_H

#include "common/error.h"

#define PROVIDERS_MAX 128
#define PROVIDER_ENVS_MAX 4
#define PROVIDER_PATHS_MAX 16
enum provider_shape { PROVIDER_OPENAI, PROVIDER_ANTHROPIC, PROVIDER_GEMINI };
#define PROVIDER_PRICES_MAX 64
struct provider_price { /* USD for a million tokens, which is micro-USD for one */
	char model[96 + 1];
	double input, output;
};
struct provider {
	char name[64 + 1];
	char env[PROVIDER_ENVS_MAX][64 + 1];
	size_t nenv;
	char base_url[256 + 1]; /* "": not offered by llm-gateway */
	char header[64 + 1], prefix[32 + 1], query[64 + 1];
	char path[PROVIDER_PATHS_MAX][96 + 1];
	size_t npaths;
	enum provider_shape shape;
	char base_url_env[64 + 1], client_path[32 + 1], openclaw[64 + 1];
	struct provider_price price[PROVIDER_PRICES_MAX];
	size_t nprices;
};
struct providers {
	size_t len;
	struct provider provider[PROVIDERS_MAX];
};
struct providers *providers_read(const char *path, struct error *err); /* caller owns the result */
struct providers *providers_parse(const char *text, size_t len, struct error *err);
void providers_destroy(struct providers **providers);
const struct provider *providers_find(
    const struct providers *providers, const char *name); /* borrowed; NULL */
/* What this many tokens of a model cost, rounded up to whole micro-USD: NONE if the provider has no prices at all (0), HIGHEST if the model has none, or none
 * is known (""): at the dearest that are listed. */
enum provider_cost { PROVIDER_COST_NONE, PROVIDER_COST_HIGHEST, PROVIDER_COST_LISTED };
enum provider_cost providers_cost(const struct provider *provider, const char *model,
    uint64_t input, uint64_t output, uint64_t *micro_r);

#endif
