/* cidr - networks of IPv4, as settings and owners write them. */
#ifndef COMMON_CIDR_H
#define COMMON_CIDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct cidr {
	struct in_addr address;
	unsigned bits; /* 0-32; 32: one address */
};

/* "192.0.2.0/24", or an address alone. One of IPv6 is none of ours, but no mistake either: *is_v4_r false. ERR_INVALID. */
int cidr_parse(const char *text, struct cidr *cidr_r, bool *is_v4_r, struct error *err);
/* Its first address. */
struct in_addr cidr_first(struct cidr cidr);
bool cidr_has(struct cidr cidr, struct in_addr address);
/* Leaves out those that are inside another one, or there twice; returns how many are left, which share no address. */
size_t cidr_distinct(struct cidr *cidr, size_t n);

#endif
