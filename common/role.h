/* role - who a peer on the bus is. A peer is who its CURVE key says it is; the allow-list maps a key to a set of roles
 * (a daemon's key to exactly one, an operator's to the ones it was given). */
#ifndef COMMON_ROLE_H
#define COMMON_ROLE_H

#include "common/error.h"

/* bit, constant, name in the allow-list and in documents */
#define ROLES(X) \
	X(0, ROUTER, "router") \
	X(1, AUTH, "auth") \
	X(2, SESSION, "session") \
	X(3, ORACLE, "chain-oracle") \
	X(4, OPERATOR_READ, "operator-read") \
	X(5, OPERATOR_REVOKE, "operator-revoke") \
	X(6, VAULT, "secret-vault") \
	X(7, SANDBOX, "sandbox") \
	X(8, OPERATOR_VAULT, "operator-vault") \
	X(9, OPERATOR_EXEC, "operator-exec") \
	X(10, GATEWAY, "llm-gateway") \
	X(11, WALLET, "agent-wallet")

enum role {
#define ROLE_ENUM(bit, name, text) ROLE_##name = 1 << (bit),
	ROLES(ROLE_ENUM)
#undef ROLE_ENUM
};
#define ROLE_DAEMONS \
	(ROLE_ROUTER | ROLE_AUTH | ROLE_SESSION | ROLE_ORACLE | ROLE_VAULT | ROLE_SANDBOX | \
	    ROLE_GATEWAY | ROLE_WALLET)

/* "router", or for a set "operator-read+operator-revoke", into buf. Returns buf. */
char *role_text(unsigned roles, char *buf, size_t size);
/* Parses one name or a '+'-joined set. Returns 0 if any name is unknown. */
unsigned role_parse(const char *text);

#endif
