/* redact - takes a key out of what is streamed: each occurrence is overwritten with as many '*', so that lengths stay what they were said to be. A piece that
 * ends within what may become the key is held back by exactly those bytes, and no copy of what was seen is kept.
 * Looked for are the key as it is and in the forms in which servers and tools repeat what they were sent: hex, base64 of whatever it stands in (RFC 4648
 * sections 4 and 5), percent-encoded (RFC 3986), as a JSON string (RFC 8259).
 */
#ifndef LLM_GATEWAY_REDACT_H
#define LLM_GATEWAY_REDACT_H

#include <stddef.h>
#include <stdint.h>

#include "common/secret.h"

#define REDACT_KEY_MAX 4096

/* What a key is looked for as; one for all streams that use it. */
struct redact_forms;
/* key: 1..REDACT_KEY_MAX bytes; copied. Caller owns the result. */
struct redact_forms *redact_forms_new(const struct secret *key);
void redact_forms_destroy(struct redact_forms **forms);
/* Within one text, in place. Returns how often. */
uint64_t redact_text(const struct redact_forms *forms, char *text, size_t len);

struct redact;
/* What may go on; len is never 0. */
typedef void (*redact_out)(void *arg, const void *bytes, size_t len);

/* forms: borrowed until destroy. Caller owns the result. */
struct redact *redact_new(const struct redact_forms *forms, redact_out out, void *arg);
void redact_destroy(struct redact **redact);
void redact_feed(struct redact *redact, const void *bytes, size_t len);
/* Nothing comes any more: what was held back goes on. */
void redact_end(struct redact *redact);
uint64_t redact_found(const struct redact *redact); /* how often, so far */

#endif
