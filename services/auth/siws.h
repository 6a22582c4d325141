/* siws - composes the text of Sign-In With Solana, exact to the byte (solana-wire.md 1.1). We never parse it: what comes back signed is compared with
 * what we composed. The reference parser is ambiguous for free text, so every value that could be read as something else is refused here.
 */
#ifndef AUTH_SIWS_H
#define AUTH_SIWS_H

#include "common/error.h"

#define SIWS_TEXT_MAX 1024
#define SIWS_STATEMENT_MAX 255

/* Text without control characters; "" or NULL: not given, except domain and address. */
struct siws {
	const char *domain;    /* host, with the port if it is not the scheme's own */
	const char *address;   /* base58 */
	const char *statement; /* one line of printable ASCII that begins with no field's name */
	const char *uri, *version, *chain_id;
	const char *nonce; /* at least 8 of A-Z a-z 0-9 */
	const char *issued_at, *expires_at, *not_before;
	const char *request_id;
	const char *const *resources; /* ends with NULL; an empty list is written, NULL is not */
};

/* ERR_INVALID if a value would make the text ambiguous, or it does not fit. */
int siws_compose(const struct siws *fields, char text[SIWS_TEXT_MAX + 1], struct error *err);

/* SIWS' name of the cluster with this genesis hash; any unknown chain is "localnet". */
const char *siws_chain_id(const char *genesis);

#endif
