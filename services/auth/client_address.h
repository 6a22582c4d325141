/* client_address - where a request came from, as nginx saw it: as people read it, and as limits count it. */
#ifndef AUTH_CLIENT_ADDRESS_H
#define AUTH_CLIENT_ADDRESS_H

#include "common/error.h"

#define CLIENT_ADDRESS_MAX 49

struct client_address {
	char text[CLIENT_ADDRESS_MAX + 1]; /* "203.0.113.7", "2001:db8::1" */
	char block[CLIENT_ADDRESS_MAX +
		   1]; /* what one customer commands: an IPv4 address, or an IPv6 /64 */
};

/* Numeric only; IPv4 written as IPv6 (::ffff:203.0.113.7) is IPv4. ERR_INVALID. */
int client_address_parse(const char *ip, struct client_address *address_r, struct error *err);

#endif
