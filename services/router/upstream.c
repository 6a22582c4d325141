#include "services/router/upstream.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t mask_of(unsigned bits)
{
	return bits == 0 ? 0 : UINT32_MAX << (32 - bits);
}

int upstream_range_init(
    struct upstream_range *range, const char *network, uint64_t port, struct error *err)
{
	const char *slash = strchr(network, '/');
	size_t digits = slash ? strspn(slash + 1, "0123456789") : 0;
	char text[INET_ADDRSTRLEN];
	struct in_addr address;
	if (slash && (size_t)(slash - network) < sizeof(text) && digits > 0 && digits < 3 &&
	    slash[1 + digits] == '\0') {
		unsigned bits = (unsigned)strtoul(slash + 1, NULL, 10);
		snprintf(text, sizeof(text), "%.*s", (int)(slash - network), network);
		if (bits >= 8 && bits <= 31 && inet_pton(AF_INET, text, &address) == 1) {
			range->mask = mask_of(bits);
			range->network = ntohl(address.s_addr);
			range->port = (uint16_t)port;
			if ((range->network & ~range->mask) == 0)
				return 0;
		}
	}
	return error_set(err, ERR_INVALID,
	    "MULTICLAW_AGENTS_NETWORK '%s' is not an IPv4 network such as 10.213.0.0/16", network);
}

bool upstream_is_within(const struct upstream_range *range, const char *upstream)
{
	const char *colon = strchr(upstream, ':');
	char text[INET_ADDRSTRLEN], again[UPSTREAM_MAX + 1];
	struct in_addr address;
	if (!colon || (size_t)(colon - upstream) >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)(colon - upstream), upstream);
	if (inet_pton(AF_INET, text, &address) != 1 ||
	    (ntohl(address.s_addr) & range->mask) != range->network)
		return false;
	/* written by us it must be the same: no other spelling of a number */
	inet_ntop(AF_INET, &address, text, sizeof(text));
	snprintf(again, sizeof(again), "%s:%u", text, range->port);
	return strcmp(again, upstream) == 0;
}

bool upstream_is_token(const char *token)
{
	static const char allowed[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";
	size_t len = strspn(token, allowed);
	return len <= AGENT_TOKEN_MAX && token[len] == '\0';
}
