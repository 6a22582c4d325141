/* handshake - how a WebSocket connection begins (RFC 6455, section 4), the client's side. Pure. */
#ifndef CHAIN_ORACLE_HANDSHAKE_H
#define CHAIN_ORACLE_HANDSHAKE_H

#include <sys/types.h>

#include "common/error.h"

#define HANDSHAKE_KEY_LEN 24 /* base64 of 16 random bytes */
#define HANDSHAKE_MAX 8192   /* of the server's head */

/* Where a ws(s):// or http(s):// address leads. The path may hold an API key: never log it. */
struct handshake_url {
	char connect[512]; /* http(s)://..., for the connection */
	char host[280];    /* with the port if it is not the default one */
	char target[512];  /* path and query */
};
int handshake_url_parse(const char *url, struct handshake_url *url_r, struct error *err);

void handshake_key(char key_r[HANDSHAKE_KEY_LEN + 1]);
/* Caller frees. */
char *handshake_request(const struct handshake_url *url, const char *key);
/* Length of the server's head if it accepts; 0: not all there yet; -1: no. What follows the head are frames. */
ssize_t handshake_check(const char *bytes, size_t len, const char *key, struct error *err);

#endif
