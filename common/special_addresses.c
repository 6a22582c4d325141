#include "common/special_addresses.h"

#include "common/error.h"

#define IP(a, b, c, d) \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

const struct special_range special_ranges[] = {
    {IP(0, 0, 0, 0), 8, "this network"},
    {IP(10, 0, 0, 0), 8, "private"},
    {IP(100, 64, 0, 0), 10, "carrier-grade NAT; metadata of one cloud"},
    {IP(127, 0, 0, 0), 8, "loopback"},
    {IP(168, 63, 129, 16), 32, "host services of one cloud"},
    {IP(169, 254, 0, 0), 16, "link-local; metadata of most clouds"},
    {IP(172, 16, 0, 0), 12, "private"},
    {IP(192, 0, 0, 0), 24, "protocol assignments; metadata of one cloud"},
    {IP(192, 0, 2, 0), 24, "documentation"},
    {IP(192, 31, 196, 0), 24, "AS112"},
    {IP(192, 52, 193, 0), 24, "AMT"},
    {IP(192, 88, 99, 0), 24, "6to4 relays"},
    {IP(192, 168, 0, 0), 16, "private"},
    {IP(192, 175, 48, 0), 24, "AS112"},
    {IP(198, 18, 0, 0), 15, "benchmarks"},
    {IP(198, 51, 100, 0), 24, "documentation"},
    {IP(203, 0, 113, 0), 24, "documentation"},
    {IP(224, 0, 0, 0), 4, "multicast"},
    {IP(240, 0, 0, 0), 4, "reserved; broadcast"},
};
const size_t special_nranges = ARRAY_LEN(special_ranges);

const struct special_range *special_range_of(struct in_addr address, unsigned bits)
{
	uint32_t asked = ntohl(address.s_addr);
	for (size_t i = 0; i < special_nranges; i++) {
		const struct special_range *range = &special_ranges[i];
		if (range->bits <= bits && (asked ^ range->first) >> (32 - range->bits) == 0)
			return range;
	}
	return NULL;
}
