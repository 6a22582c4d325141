#include "services/sandbox/public_address.h"

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define NET(a, b, c, bits) \
	{ \
		(uint32_t)(a) << 24 | (b) << 16 | (c) << 8, bits \
	}
static const struct {
	uint32_t first;
	unsigned bits;
} special[] = {NET(0, 0, 0, 8), NET(10, 0, 0, 8), NET(100, 64, 0, 10), NET(127, 0, 0, 8),
    NET(169, 254, 0, 16), NET(172, 16, 0, 12), NET(192, 0, 0, 24), NET(192, 0, 2, 24),
    NET(192, 31, 196, 24), NET(192, 52, 193, 24), NET(192, 88, 99, 24), NET(192, 168, 0, 16),
    NET(192, 175, 48, 24), NET(198, 18, 0, 15), NET(198, 51, 100, 24), NET(203, 0, 113, 24),
    NET(224, 0, 0, 3)};

bool public_address(struct in_addr address)
{
	uint32_t host = ntohl(address.s_addr);
	for (size_t i = 0; i < ARRAY_LEN(special); i++)
		if (((host ^ special[i].first) >> (32 - special[i].bits)) == 0)
			return false;
	return true;
}
