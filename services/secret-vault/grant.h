/* grant - lets one host fetch one owner's files for one start of a container, for 30 s (security rule 30). Bytes that only vaults can make:
 *
 *	version 3 | asset 32 | wallet 32 | slot 8 | boot id 16 | host key 32 | place 16 | expires_ms 8 | random id 16 | MAC 32
 *
 * numbers little-endian; place: which host had the agent in the ledger then (struct holding), and has to have it still; MAC: BLAKE2b-256 keyed with a subkey of the master key, over everything before it. It proves no ownership: who owns the asset is
 * asked again when it is used.
 *
 * A placement lets the host that once fetched an owner's files ask for another grant without the owner, after a crash or on a webhook, as long as the period
 * that they were of is the present one and the agent was not given to another host. It does not expire:
 *
 *	version 4 | asset 32 | wallet 32 | slot 8 | host key 32 | place 16 | random id 16 | MAC 32
 *
 * MAC: keyed with a subkey of the period's data key (seal.h), so that it is good through every change of the master key and dies with the period. The versions
 * and lengths differ: neither passes for the other. With version 5 it is a gateway's: what the host's llm-gateway shows to use the owner's
 * keys while the agent is there.
 */
#ifndef SECRET_VAULT_GRANT_H
#define SECRET_VAULT_GRANT_H

#include "common/secret.h"
#include "services/secret-vault/records.h"

#define GRANT_BODY_LEN 161
#define GRANT_LEN (GRANT_BODY_LEN + 32)
#define GRANT_BOOT_LEN 16
#define GRANT_HOST_LEN 32

struct grant {
	uint8_t asset[PUBKEY_LEN], wallet[PUBKEY_LEN];
	uint64_t slot; /* of proof */
	uint8_t boot_id[GRANT_BOOT_LEN], host_key[GRANT_HOST_LEN], place[PLACE_LEN];
	uint64_t expires_ms; /* Unix */
};

/* ERR_INVALID if a text is not what it has to be. */
int grant_check(const char *boot_id, const char *host_key, struct error *err);
int grant_fill(struct grant *grant_r, const struct holding *holding, const char *boot_id,
    const char *host_key, uint64_t expires_ms, struct error *err);
void grant_sign(const struct secret *key, const struct grant *grant, uint8_t bytes_r[GRANT_LEN]);
/* False: not made with this key. */
bool grant_open(const struct secret *key, const void *bytes, size_t len, struct grant *grant_r);
/* Is it for this start, shown by this host, and still good? ERR_DENIED grant_refused or grant_expired. Texts as on the bus: hex, Z85. */
int grant_judge(const struct grant *grant, const char *boot_id, const char *host_key,
    uint64_t now_ms, struct error *err);
void grant_holding(const struct grant *grant, struct holding *holding_r);

#define PLACEMENT_BODY_LEN 137
#define PLACEMENT_LEN (PLACEMENT_BODY_LEN + 32)

enum placement_kind { /* its version */
	PLACEMENT_HOST = 4,
	PLACEMENT_GATEWAY,
};
struct placement {
	uint8_t asset[PUBKEY_LEN], wallet[PUBKEY_LEN];
	uint64_t slot; /* of proof */
	uint8_t host_key[GRANT_HOST_LEN], place[PLACE_LEN];
};

/* host_key: as on the bus, of a peer. */
int placement_fill(struct placement *placement_r, const struct holding *holding,
    const char *host_key, struct error *err);
void placement_sign(const struct secret *key, const struct placement *placement,
    enum placement_kind kind, uint8_t bytes_r[PLACEMENT_LEN]);
/* What it says, which proves nothing yet. False: it is none of that kind. */
bool placement_read(
    const void *bytes, size_t len, enum placement_kind kind, struct placement *placement_r);
/* False: not made with this key, or of another kind. */
bool placement_open(const struct secret *key, const void *bytes, size_t len,
    enum placement_kind kind, struct placement *placement_r);
/* Is it shown by its host? ERR_DENIED grant_refused. */
int placement_judge(const struct placement *placement, const char *host_key, struct error *err);
void placement_holding(const struct placement *placement, struct holding *holding_r);

#endif
