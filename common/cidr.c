#include "common/cidr.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static int read_bits(const char *text, unsigned most, unsigned *bits_r)
{
	size_t len = strlen(text);

	if (len < 1 || len > 3 || strspn(text, "0123456789") != len)
		return -1;
	*bits_r = (unsigned)strtoul(text, NULL, 10);
	return *bits_r <= most ? 0 : -1;
}

int cidr_parse(const char *text, struct cidr *cidr_r, bool *is_v4_r, struct error *err)
{
	char address[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "/");
	struct in6_addr v6;

	if (len >= sizeof(address))
		return error_set(err, ERR_INVALID, "an address is too long");
	memcpy(address, text, len);
	address[len] = '\0';
	*is_v4_r = inet_pton(AF_INET, address, &cidr_r->address) == 1;
	if (!*is_v4_r && inet_pton(AF_INET6, address, &v6) != 1)
		return error_set(err, ERR_INVALID, "not a CIDR: %s", text);
	cidr_r->bits = *is_v4_r ? 32 : 128;
	if (text[len] && read_bits(text + len + 1, cidr_r->bits, &cidr_r->bits) != 0)
		return error_set(err, ERR_INVALID, "not a CIDR: %s", text);
	return 0;
}

static uint32_t mask_of(unsigned bits)
{
	return bits ? htonl(UINT32_MAX << (32 - bits)) : 0;
}

struct in_addr cidr_first(struct cidr cidr)
{
	return (struct in_addr){cidr.address.s_addr & mask_of(cidr.bits)};
}

bool cidr_has(struct cidr cidr, struct in_addr address)
{
	return ((cidr.address.s_addr ^ address.s_addr) & mask_of(cidr.bits)) == 0;
}

/* Of two that are the same, the first one stays. */
static bool is_within(const struct cidr *cidr, size_t n, size_t i)
{
	for (size_t j = 0; j < n; j++)
		if (j != i && cidr_has(cidr[j], cidr[i].address) &&
		    (cidr[j].bits < cidr[i].bits || (j < i && cidr[j].bits == cidr[i].bits)))
			return true;
	return false;
}

size_t cidr_distinct(struct cidr *cidr, size_t n)
{
	/* from the end, so that those before i are as they were */
	for (size_t i = n; i-- > 0;) {
		if (!is_within(cidr, n, i))
			continue;
		memmove(cidr + i, cidr + i + 1, (n - i - 1) * sizeof(*cidr));
		n--;
	}
	return n;
}
