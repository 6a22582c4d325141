#include "services/session/ticket.h"

#include <stdio.h>
#include <string.h>

#include "common/pubkey.h"

PROTO_DEFINE_MESSAGE(ticket_record, "stored ticket", ticket_record_FIELDS)

void ticket_record_fill(struct ticket_record *record_r, const struct token_claims *claims)
{
	*record_r = (struct ticket_record){
	    .stage = TICKET_OPENING, .slot = claims->slot, .exp_ms = claims->exp_s * 1000};
	memcpy(record_r->asset, claims->asset, sizeof(record_r->asset));
	memcpy(record_r->wallet, claims->wallet, sizeof(record_r->wallet));
	memcpy(record_r->parent, claims->jti, sizeof(record_r->parent));
	memcpy(record_r->kid, claims->kid, sizeof(record_r->kid));
}

int ticket_encode(const struct ticket_record *record, msgpack_sbuffer *buf, struct error *err)
{
	return codec_encode(&ticket_record_message, record, buf, err);
}

void ticket_hash(const uint8_t ticket[TICKET_LEN], char hash_r[TICKET_HASH_LEN + 1])
{
	uint8_t hash[TICKET_HASH_LEN / 2];
	bug_if(crypto_generichash(hash, sizeof(hash), ticket, TICKET_LEN, NULL, 0) != 0);
	sodium_bin2hex(hash_r, TICKET_HASH_LEN + 1, hash, sizeof(hash));
}

static bool decode(const struct ledger_taken *taken, struct ticket_record *record_r)
{
	struct wire wire;
	struct error ignored;
	wire_init(&wire, taken->value, taken->len);
	return codec_decode(&ticket_record_message, &wire, record_r, &ignored) == 0 &&
	       wire_at_end(&wire);
}

static bool is_of_agent(const struct ticket_record *record, const char *agent)
{
	uint8_t asset[PUBKEY_LEN];
	char id[AGENT_ID_LEN + 1];
	if (pubkey_parse(record->asset, asset) != 0 || strlen(agent) != AGENT_ID_LEN)
		return false;
	agent_id(asset, id);
	return sodium_memcmp(id, agent, AGENT_ID_LEN) == 0;
}

static bool is_bound_to(const struct ticket_record *record, const struct ticket_shown *shown)
{
	return strcmp(record->agent, shown->agent) == 0 &&
	       record->state.len == sizeof(record->state.data) &&
	       sodium_memcmp(record->state.data, shown->state, sizeof(record->state.data)) == 0;
}

static const char *find_fault(const struct ledger_taken *taken, const struct ticket_shown *shown,
    struct ticket_record *record_r)
{
	if (!taken->stored_history[0])
		return "never issued, expired or used already";
	if (strcmp(taken->stored_history, taken->history) != 0)
		return "of before Redis was restarted";
	if (!decode(taken, record_r))
		return "stored in a form that is not ours";
	if (strcmp(record_r->stage, shown->stage) != 0)
		return "of the other stage";
	if (!is_of_agent(record_r, shown->agent))
		return "of another agent";
	if (strcmp(shown->stage, TICKET_TICKET) == 0 && !is_bound_to(record_r, shown))
		return "of another browser";
	return NULL;
}

int ticket_judge(const struct ledger_taken *taken, const struct ticket_shown *shown,
    struct ticket_record *record_r, struct error *err)
{
	*record_r = (struct ticket_record){0};
	const char *fault = find_fault(taken, shown, record_r);
	return fault ? error_refuse(err, ERR_UNAUTHENTICATED, "ticket_unknown", "%s: %s",
			   shown->stage, fault)
		     : 0;
}
