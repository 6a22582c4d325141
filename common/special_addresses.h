/* special_addresses - the ranges of IPv4 in which there is nothing for an agent: IANA's special-purpose registry, whole, with multicast and what is
 * reserved, and what clouds give a meaning of their own. An agent's rules drop packets to them, its resolver does not tell them: one list, so that the two agree.
 * Source: https://www.iana.org/assignments/iana-ipv4-special-registry (RFC 6890 and after). IPv6 needs none: it does not leave a container.
 */
#ifndef COMMON_SPECIAL_ADDRESSES_H
#define COMMON_SPECIAL_ADDRESSES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct special_range {
	uint32_t first; /* in the host's order; no bit is set after the first `bits` */
	unsigned bits;  /* 1-32 */
	const char *what;
};
extern const struct special_range special_ranges[];
extern const size_t special_nranges;

/* The range that all addresses which begin with these bits are in, NULL if there is none. bits 32: of one address. */
const struct special_range *special_range_of(struct in_addr address, unsigned bits);

#endif
