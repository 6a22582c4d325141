/* public_address - is an address one of the public internet? What IANA has set aside (special-purpose address registry, RFC 6890 and later) is not. */
#ifndef SANDBOX_PUBLIC_ADDRESS_H
#define SANDBOX_PUBLIC_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>

bool public_address(struct in_addr address);

#endif
