/* answers - memory for the answers that are being made: large, asked for often, hardly ever full. What was given back is given out again, so that neither
 * making it nor wiping it costs more than what is in it. Answers that hold secrets lie in guarded memory (libsodium's sodium_malloc), like the secrets
 * themselves. Safe to call from any thread.
 */
#ifndef SECRET_VAULT_ANSWERS_H
#define SECRET_VAULT_ANSWERS_H

#include "common/schema.h"

struct answers;
struct answers *answers_new(void); /* caller owns the result */
/* What is taken and given without answers (NULL), then or later, is made and freed as it comes. */
void answers_destroy(struct answers **answers);

/* Of the message's size, all zeros; NULL: there is no memory. */
void *answers_take(struct answers *answers, const struct proto_message *message);
/* Wipes it: with is_whole all of it, else what its own counts say is used (a BIN's and a LIST's data up to their len, everything else entirely). Whoever wrote
 * behind those, or does not know, says is_whole. */
void answers_give(
    struct answers *answers, const struct proto_message *message, void *answer, bool is_whole);

#endif
