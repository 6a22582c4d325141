/* target - what a client asks for: /<provider>/<path>[?<query>], and whether it may. Pure functions of one text. What is judged here is sent on byte by byte,
 * so nothing passes that another server could read in another way: no encoded slash, backslash, dot, percent or control, no dot segments, no empty ones.
 */
#ifndef LLM_GATEWAY_TARGET_H
#define LLM_GATEWAY_TARGET_H

#include <stdbool.h>

#include "common/providers.h"

#define TARGET_MAX 8192

struct target {
	const struct provider
	    *provider;    /* borrowed of the providers; NULL: unknown, with INVALID */
	const char *path; /* behind the provider's name, borrowed of the text */
	size_t path_len;
	const char *query; /* "" if there is none */
};

/* ERR_INVALID target_malformed; ERR_NOT_FOUND provider_not_offered or path_not_offered. provider is set as far as it is known. */
int target_read(const char *text, const struct providers *providers, struct target *target_r,
    struct error *err);
/* May it be asked for with a key that other agents have, too? Then nothing that was stored under it is listed, read, changed or deleted (an agent would see
 * what others asked, or delete the operator's models): POST, and models are read. Batches are not: what they cost nobody says. */
bool target_is_for_all(const struct target *target, const char *method);
/* The URL upstream, with the key in its query if that is where the provider wants it (key NULL: it is not). What the client sent there itself is left out.
 * Caller wipes and frees. */
char *target_url(const struct target *target, const char *key, size_t key_len);

#endif
