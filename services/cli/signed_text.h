/* signed_text - what the command line signs with a wallet: a text that the service composed, and only if it says what the command is about. */
#ifndef CLI_SIGNED_TEXT_H
#define CLI_SIGNED_TEXT_H

#include "common/error.h"

struct signed_text {
	const char *url;       /* of the service: the text has to name its host */
	const char *wallet;    /* base58: that is to sign */
	const char *statement; /* how the sentence has to begin */
	const char *what;      /* "a sign-in", for the error */
};
/* ERR_DENIED if message is anything else. */
int signed_text_check(const struct signed_text *expected, const char *message, struct error *err);

/* Any sign-in: what `login` and `sign` agree to. */
#define SIGNED_TEXT_SIGN_IN "Sign in to multiclaw"
/* "Create the hot wallet of multiclaw agent <asset> ...": as services/auth composes it (acts.c). recipient: base58. Returns buf. */
#define SIGNED_TEXT_MAX 256
char *signed_text_hot_wallet(const char *asset, const char *recipient, char buf[SIGNED_TEXT_MAX]);
/* "Compose raw instructions for multiclaw agent <asset> ...": the same. */
char *signed_text_raw_instructions(const char *asset, char buf[SIGNED_TEXT_MAX]);

#endif
