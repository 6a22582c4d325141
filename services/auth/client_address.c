#include "services/auth/client_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static void set_ipv4(const void *bytes, struct client_address *address)
{
	inet_ntop(AF_INET, bytes, address->text, sizeof(address->text));
	memcpy(address->block, address->text, sizeof(address->block));
}

int client_address_parse(const char *ip, struct client_address *address_r, struct error *err)
{
	struct in_addr ipv4;
	struct in6_addr ipv6;
	if (inet_pton(AF_INET, ip, &ipv4) == 1) {
		set_ipv4(&ipv4, address_r);
		return 0;
	}
	if (inet_pton(AF_INET6, ip, &ipv6) != 1)
		return error_set(err, ERR_INVALID, "the client's address is not numeric");
	if (IN6_IS_ADDR_V4MAPPED(&ipv6)) {
		set_ipv4(&ipv6.s6_addr[12], address_r);
		return 0;
	}
	char prefix[INET6_ADDRSTRLEN];
	inet_ntop(AF_INET6, &ipv6, address_r->text, sizeof(address_r->text));
	memset(&ipv6.s6_addr[8], 0, 8);
	inet_ntop(AF_INET6, &ipv6, prefix, sizeof(prefix));
	snprintf(address_r->block, sizeof(address_r->block), "%s/64", prefix);
	return 0;
}
