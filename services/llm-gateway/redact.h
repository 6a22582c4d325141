/* redact - takes a key out of what is streamed: each occurrence is overwritten with as many '*', so that lengths stay what they were said to be. A piece that
 * ends within what may become the key is held back by exactly those bytes. Knuth, Morris, Pratt (1977): linear, and no copy of what was seen is kept.
 */
#ifndef LLM_GATEWAY_REDACT_H
#define LLM_GATEWAY_REDACT_H

#include <stddef.h>
#include <stdint.h>

#include "common/secret.h"

struct redact;
/* What may go on; len is never 0. */
typedef void (*redact_out)(void *arg, const void *bytes, size_t len);

/* key: borrowed until destroy. Caller owns the result. */
struct redact *redact_new(const struct secret *key, redact_out out, void *arg);
void redact_destroy(struct redact **redact);
void redact_feed(struct redact *redact, const void *bytes, size_t len);
/* Nothing comes any more: what was held back goes on. */
void redact_end(struct redact *redact);
uint64_t redact_found(const struct redact *redact); /* how often, so far */
/* Within one text, in place. Returns how often. */
uint64_t redact_text(const struct secret *key, char *text, size_t len);

#endif
