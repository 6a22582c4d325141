/* survey - how the store is, as this vault last saw it, every two seconds: counts, the head of the audit trail (for /readyz, and hourly in the log), the
 * breaker, and which master keys it is sealed with. Where several vaults share a store, this is how each learns what another did to it.
 */
#ifndef SECRET_VAULT_SURVEY_H
#define SECRET_VAULT_SURVEY_H

#include "services/secret-vault/keyset.h"
#include "services/secret-vault/vault.h"

#define SURVEY_EVERY_MS 2000

struct survey_view {
	bool has_counts; /* the next two */
	struct store_counts counts;
	uint64_t rewrapped; /* of counts.periods, under the next key */
	uint64_t head_seq;
	uint8_t head[AUDIT_HASH_LEN];
	bool is_tripped; /* the breaker of the erasures */
	bool must_scrub; /* a data key was destroyed, but is perhaps still in a file of the store */
	struct keyset keyset;
};

struct survey *survey_new(struct vault *vault);
void survey_destroy(struct survey **survey);
/* In the worker's thread, as work of kind WORKER_READ. */
int survey_read(struct survey_view *view_r, struct desk *desk, bool with_counts, struct error *err);
/* On the loop: what it tells is known from now on, and acted on. */
void survey_take(struct vault *vault, const struct survey_view *view);

#endif
