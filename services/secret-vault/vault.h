/* vault - the state of services/secret-vault, and what its handlers share.
 *
 * States: opening (storage not yet open) -> sealed (waits for a passphrase) or foreign (the store is sealed with another master key) or unmarked (the
 * high-water marks are not this store's: `multiclaw vault unseal --adopt`) -> catching_up (every period is looked at in the ledger) -> open.
 * Only open serves owners and containers; operators' calls say what they need.
 */
#ifndef SECRET_VAULT_VAULT_H
#define SECRET_VAULT_VAULT_H

#include "common/codec.h"
#include "common/service.h"
#include "proto/registry.h"
#include "common/providers.h"
#include "services/secret-vault/records.h"

struct answers;
struct holder;
struct eraser;
struct opening;
struct rotation;
struct survey;

/* clang-format off */
#define VAULT_STATES(X) X(OPENING, "opening") X(SEALED, "sealed") X(FOREIGN, "foreign") X(UNMARKED, "unmarked") \
	X(CATCHING_UP, "catching_up") X(OPEN, "open")
/* clang-format on */
enum vault_state {
#define VAULT_STATE_ENUM(name, text) VAULT_##name,
	VAULT_STATES(VAULT_STATE_ENUM)
#undef VAULT_STATE_ENUM
};

struct vault {
	struct process *process; /* first: the skeleton sets it */

	/* settings */
	char *store_at, *marks_at, *key_source, *key_path, *next_key_path, *providers_path;
	uint64_t erase_every_s, erasures_per_hour, puts_per_minute;

	struct master *key_file,
	    *next_key_file; /* read before confining; NULL once the worker has them */
	struct secret *grant_key,
	    *next_grant_key; /* once unsealed; the next one while the master key changes */
	struct providers *providers;
	struct worker *worker;
	struct answers *answers;
	struct bus_client *sessions, *auths, *oracles;
	struct holder *holder;
	struct eraser *eraser;
	struct rotation *rotation;
	struct opening *opening;
	struct survey *survey;
	enum vault_state state;
	char why[160];
	char key_id[2 * KEY_ID_LEN + 1], next_key_id[2 * KEY_ID_LEN + 1]; /* "": none */
	bool is_stopping;  /* what is under way ends with an error; nothing new begins */
	uint64_t head_seq; /* of the audit entries of all chains, as last committed here */
	uint8_t head[AUDIT_HASH_LEN];
};

extern const struct setting vault_settings[];
extern const size_t vault_nsettings;

int vault_open(void *self, struct error *err);
int vault_start(void *self, struct error *err);
void vault_stop(void *self);
void vault_on_event(void *self, const struct ledger_event *event);
void vault_on_heard(void *self, const struct ledger_event *event);
void vault_on_restart(void *self, const char *history, struct event_id head);
bool vault_is_open(void *self, char *why, size_t size);
bool vault_stores(void *self, char *why, size_t size);
bool vault_erases(void *self, char *why, size_t size); /* the breaker has not tripped */
bool vault_reaches_peers(void *self, char *why, size_t size);

VAULT_CALLS(PROTO_HANDLER)

/* ERR_UNAVAILABLE vault_sealed (in words: what it waits for) unless it is open and there is a lease at this moment. */
int vault_serves(const struct vault *vault, struct error *err);
void vault_set_state(struct vault *vault, enum vault_state state, const char *why);
const char *vault_state_name(enum vault_state state);

#endif
