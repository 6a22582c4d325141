/* ticket - the two things handed out on the way from the console to the agent's own origin, and what is kept of them: 32 random bytes go out, the ledger keeps
 * under their BLAKE2b-256 whose session they stand for. An opening may be shown by any browser, a ticket by one (security rule 5).
 */
#ifndef SESSION_TICKET_H
#define SESSION_TICKET_H

#include <sodium.h>

#include "common/codec.h"
#include "services/session/token.h"

#define TICKET_LEN 32
#define TICKET_HASH_LEN 64 /* hex */
#define TICKET_OPENING "opening"
#define TICKET_TICKET "ticket"

/* clang-format off */
#define ticket_record_FIELDS(F, M) \
	F(M, STR, stage, 1, 7, MUST, "opening or ticket") \
	F(M, STR, asset, 32, 44, MUST, "base58 address") \
	F(M, STR, wallet, 32, 44, MUST, "of the console's session, as what follows") \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of proof") \
	F(M, UINT, exp_ms, 1, UINT64_MAX, MUST, "Unix milliseconds") \
	F(M, STR, parent, 32, 32, MUST, "its id") \
	F(M, STR, kid, 1, KID_MAX, MUST, "key that signed its token") \
	F(M, STR, agent, 0, 32, MAY, "of a ticket: sandbox id whose origin asked") \
	F(M, BIN, state, 0, 32, MAY, "of a ticket: whose browser it is bound to")
PROTO_DECLARE_MESSAGE(ticket_record, ticket_record_FIELDS)
/* clang-format on */

/* Of the console's session that claims are of. */
void ticket_record_fill(struct ticket_record *record_r, const struct token_claims *claims);
int ticket_encode(const struct ticket_record *record, msgpack_sbuffer *buf, struct error *err);
void ticket_hash(const uint8_t ticket[TICKET_LEN], char hash_r[TICKET_HASH_LEN + 1]);

/* Who shows it, and for what. */
struct ticket_shown {
	const char *stage;    /* TICKET_OPENING, TICKET_TICKET */
	const char *agent;    /* sandbox id */
	const uint8_t *state; /* 32 bytes; looked at for a ticket only */
};
/* What the ledger gave for it, judged. One answer for all that may be wrong with it (never issued, used, expired, of another history, agent, browser or stage):
 * ERR_UNAUTHENTICATED ticket_unknown. */
int ticket_judge(const struct ledger_taken *taken, const struct ticket_shown *shown,
    struct ticket_record *record_r, struct error *err);

#endif
