/* sign_in - a sign-in as a wallet does it: a challenge, its text checked and signed, the answer with the session. */
#ifndef CLI_SIGN_IN_H
#define CLI_SIGN_IN_H

#include "services/cli/keypair.h"
#include "services/cli/web.h"

struct sign_in {
	const char *url;
	const struct keypair *keypair;
	const char *asset; /* NULL: the only one of the wallet */
	const char
	    *old; /* a session that this one replaces if it is the same asset's; NULL: none */
	const char *chain;           /* the text has to name this chain ("localnet"); NULL: any */
	const struct web_loop *loop; /* NULL: alone */
};
/* On success answer_r->token is the session and answer_r->json says whose. Nothing is signed but a sign-in to this service by this wallet: ERR_DENIED. */
int sign_in(const struct sign_in *how, struct web_answer *answer_r, struct error *err);
/* What a wallet would refuse to sign: a text for another site, for another key, or not a sign-in at all (an act has a command of its own). */
int sign_in_check(const char *url, const char *wallet, const char *message, struct error *err);

#endif
