/* auth - the state of services/auth, and what its handlers share. */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "common/origin.h"
#include "common/service.h"
#include "proto/registry.h"
#include "services/auth/client_address.h"
#include "services/auth/nonce.h"

/* clang-format off */
/* of a sign-in or an act; not each happens to both */
#define AUTH_OUTCOMES(X) \
	X(granted) X(asset_required) X(nonce_unknown) X(message_mismatch) X(signature_invalid) \
	X(not_owner) X(asset_refused) X(banned) X(rate_limited) X(chain_unavailable) X(failed)
/* clang-format on */
enum auth_outcome {
#define AUTH_ENUM(name) AUTH_##name,
	AUTH_OUTCOMES(AUTH_ENUM)
#undef AUTH_ENUM
	    AUTH_NOUTCOMES
};

struct auth {
	struct process *process;
	uint64_t challenges_per_minute;             /* by wallet and address */
	uint64_t challenges_per_minute_per_address; /* whatever the wallet */
	uint64_t challenges_live;                   /* all there are */
	uint64_t sign_ins_per_minute_per_wallet;    /* proven ones, and acts */
	uint64_t assets_per_minute_per_address;
	struct origin origin; /* of the public URL */
	struct bus_client *oracle, *session;
	struct metric *sign_ins[AUTH_NOUTCOMES], *acts[AUTH_NOUTCOMES];
	struct metric *challenges_issued, *challenges_limited;
};

extern const struct setting auth_settings[];
extern const size_t auth_nsettings;

int auth_open(void *self, struct error *err);
int auth_start(void *self, struct error *err);
void auth_stop(void *self);
bool auth_oracle_is_ready(void *self, char *why, size_t size);
bool auth_session_is_ready(void *self, char *why, size_t size);

AUTH_CALLS(PROTO_HANDLER)

/* The same rate with a minute's worth at once: the one shape of limit there is here. key is borrowed. */
struct ledger_limit auth_limit(const char *kind, const char *key, uint64_t per_minute);
/* BUSY rate_limited. */
void auth_limited(uint64_t wait_ms, struct error *err);
/* The outcome that is called like this reason; AUTH_failed for any other. */
enum auth_outcome auth_outcome(const char *reason);
/* What another service said, for the caller: its own reason if it gave one, else that the chain cannot be asked now. */
void auth_chain_error(const struct error *from, struct error *err);

#endif
