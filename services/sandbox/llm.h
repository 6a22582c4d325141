/* llm - what an agent is told of the providers whose keys this host's llm-gateway puts on its requests: the base URL of each at the gateway, and the token of
 * this boot in place of a key. By the names that clients look for, as files (llm/OPENAI_API_KEY, llm/OPENAI_BASE_URL) and all of them in llm.env, which a shell
 * reads; and for OpenClaw as models.providers.<id>.{baseUrl, apiKey} (sandbox-openclaw: gateway/configuration).
 */
#ifndef SANDBOX_LLM_H
#define SANDBOX_LLM_H

#include <jansson.h>

#include "common/providers.h"

struct llm_offer { /* all borrowed */
	const struct providers *providers;
	const char *token;   /* hex */
	const char *address; /* address:port of the gateway */
	size_t noffered;     /* 0: nothing is told */
	const char (*offered)[64 + 1];
};
/* path: below the secrets' folder. */
typedef int llm_put(void *arg, const char *path, const char *text, struct error *err);
int llm_write(const struct llm_offer *offer, llm_put *put, void *arg, struct error *err);
/* What of llm_write is no secret, or only says again what is one, whatever was offered: the names, with no bytes. */
int llm_write_known(const struct providers *providers, llm_put *put, void *arg, struct error *err);
/* id -> object, for models.providers; empty if there is nothing. The caller owns the result. */
json_t *llm_openclaw(const struct llm_offer *offer);

#endif
