/* sha1 - FIPS 180-4, for the WebSocket handshake alone, where it protects nothing: a static binary has no library for it. */
#ifndef DEMO_AGENT_SHA1_H
#define DEMO_AGENT_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define SHA1_LEN 20
#define SHA1_INPUT_MAX 119 /* two blocks with their padding */

void sha1(const char *bytes, size_t len, uint8_t digest_r[SHA1_LEN]);

#endif
