#include "services/auth/acts.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* The sentence: what, the asset, and then, whom the answer is sealed to, where it was asked from. */
static const struct act {
	const char *name, *what, *then;
	unsigned confirmer; /* role */
} acts[] = {
    {"hot_wallet", "Create the hot wallet of multiclaw agent", "and show its secret key once",
	ROLE_VAULT},
    {"raw_instructions", "Compose raw instructions for multiclaw agent", "that may give all away",
	ROLE_WALLET},
};

static const struct act *act_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
		if (strcmp(acts[i].name, name) == 0)
			return &acts[i];
	}
	return NULL;
}

/* A point of small order makes a shared secret that everybody knows; libsodium refuses those. */
static bool can_be_sealed_to(const uint8_t recipient[RECIPIENT_LEN])
{
	uint8_t scalar[crypto_scalarmult_SCALARBYTES] = {1}, shared[crypto_scalarmult_BYTES];
	return crypto_scalarmult(shared, scalar, recipient) == 0;
}

int act_statement(
    const struct act_for *act, char statement[SIWS_STATEMENT_MAX + 1], struct error *err)
{
	const struct act *known = act_named(act->act);
	char recipient[PUBKEY_TEXT_MAX + 1] = "";
	if (!known)
		return error_refuse(err, ERR_INVALID, "act_unknown", "there is no such act");
	if (act->recipient) {
		if (!can_be_sealed_to(act->recipient))
			return error_refuse(err, ERR_INVALID, "recipient_invalid",
			    "the recipient is not an X25519 key that only its owner can open");
		base58_encode(act->recipient, RECIPIENT_LEN, recipient, sizeof(recipient));
	}
	int len = snprintf(statement, SIWS_STATEMENT_MAX + 1,
	    "%s %s %s%s%s, asked from %s. No transaction, no cost.", known->what, act->asset,
	    known->then, act->recipient ? ", sealed to " : "", recipient, act->ip);
	/* one that was cut would not say what it is for */
	bug_if(len < 0);
	if (len > SIWS_STATEMENT_MAX)
		return error_set(err, ERR_INVALID, "the sentence is too long");
	return 0;
}

bool act_is_confirmed_by(const char *act, unsigned roles)
{
	const struct act *known = act_named(act);
	return !known || (known->confirmer & roles) != 0;
}
