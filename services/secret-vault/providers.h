/* providers - the LLM providers that the vault knows, from a data file (MULTICLAW_VAULT_PROVIDERS), so that one is added without code:
 *
 *	{"providers": [{"name": "anthropic", "env": ["ANTHROPIC_API_KEY"]}, ...]}
 *
 * name: [a-z0-9_-]{1,64}, unique; env: one to four names [A-Z][A-Z0-9_]{0,63}, unique over the file; the first names the file in the container. At most 128.
 * Members that start with "x-" are ignored, anything else unknown is refused, with where.
 */
#ifndef SECRET_VAULT_PROVIDERS_H
#define SECRET_VAULT_PROVIDERS_H

#include "common/error.h"

#define PROVIDERS_MAX 128
#define PROVIDER_ENVS_MAX 4
struct provider {
	char name[64 + 1];
	char env[PROVIDER_ENVS_MAX][64 + 1];
	size_t nenv;
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

#endif
