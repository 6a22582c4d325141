#include "services/warden/network_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/scoped.h"

#define DNS_PORT 53

struct network_text network_text_of(struct in_addr address)
{
	struct network_text text;

	bug_if(!inet_ntop(AF_INET, &address, text.s, sizeof(text.s)));
	return text;
}

static struct in_addr pool_at(const struct network *network, uint32_t offset)
{
	return (struct in_addr){htonl(ntohl(network->pool.address.s_addr) + offset)};
}

uint32_t network_slots(const struct network *network)
{
	return (UINT32_C(1) << (31 - network->pool.bits)) - 1;
}

struct in_addr network_resolver(const struct network *network)
{
	return pool_at(network, 2 * network_slots(network));
}

void network_link_of(const struct network *network, uint32_t slot, struct network_link *link_r)
{
	bug_if(slot >= network_slots(network));
	*link_r = (struct network_link){.slot = slot,
	    .host = pool_at(network, 2 * slot),
	    .container = pool_at(network, 2 * slot + 1)};
	snprintf(link_r->ifname, sizeof(link_r->ifname), "%s-%u", network->prefix, slot);
}

/* One number for each prefix, so that two suites on one host never take each other's links for theirs; far from the small numbers that people choose. */
static int group_of(const char *prefix, uint32_t *group_r, struct error *err)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	size_t len = strlen(prefix);

	if (len < 1 || len > 4 || strspn(prefix, digits) != len)
		return error_set(err, ERR_INVALID, "prefix is not 1-4 of [a-z0-9]");
	*group_r = 0;
	for (size_t i = 0; i < len; i++)
		*group_r = *group_r * 37 + 1 + (uint32_t)(strchr(digits, prefix[i]) - digits);
	*group_r += UINT32_C(0x4d430000);
	return 0;
}

static int take_denied(
    struct network *network, const struct network_config *config, struct error *err)
{
	bool is_v4 = false;

	network->denied = calloc(config->ndenied + 1, sizeof(*network->denied));
	bug_if(!network->denied);
	for (size_t i = 0; i < config->ndenied; i++) {
		struct cidr *range = &network->denied[network->ndenied];
		/* one of IPv6 has no place in our sets: no IPv6 passes */
		if (cidr_parse(config->denied[i], range, &is_v4, err) != 0)
			return -1;
		if (is_v4)
			network->ndenied++;
	}
	return 0;
}

static int take_config(
    struct network *network, const struct network_config *config, struct error *err)
{
	if (group_of(config->prefix, &network->group, err) != 0)
		return -1;
	if (config->pool_bits < 8 || config->pool_bits > 30 ||
	    (ntohl(config->pool.s_addr) & (UINT32_MAX >> config->pool_bits)) != 0)
		return error_set(err, ERR_INVALID,
		    "the pool is not the first address of a network of 8 to 30 bits");
	if (config->agent_port < 1024)
		return error_set(err, ERR_INVALID, "the agents' port is below 1024");
	snprintf(network->prefix, sizeof(network->prefix), "%s", config->prefix);
	network->pool = (struct cidr){config->pool, config->pool_bits};
	network->agent_port = config->agent_port;
	network->gateway_port = config->gateway_port;
	network->callers = calloc(config->ncallers + 1, sizeof(*network->callers));
	bug_if(!network->callers);
	if (config->ncallers)
		memcpy(
		    network->callers, config->callers, config->ncallers * sizeof(*config->callers));
	network->ncallers = config->ncallers;
	return take_denied(network, config, err);
}

/* Writing 1 where there is a 1 already would set every interface's own switches again. */
static int forward_on(struct error *err)
{
	scoped_file FILE *f = fopen("/proc/sys/net/ipv4/ip_forward", "re");

	if (f && fgetc(f) == '1')
		return 0;
	return network_namespace_sysctl("ipv4/ip_forward", "1", err);
}

static int resolver_on(const struct network *network, struct error *err)
{
	struct error ours = {0};
	struct cidr address = {network_resolver(network), 32};

	if (network_rtnl_address("lo", address, &ours) == 0 || ours.code == ERR_CONFLICT)
		return network_rtnl_up("lo", err);
	*err = ours;
	return -1;
}

static int load(struct network *network, struct error *err)
{
	scoped_free char *text = network_table_host(network);

	bug_if(!text);
	if (network_nft_run(text, err) != 0)
		return -1;
	network->lister = network_nft_open(err);
	if (!network->lister)
		return -1;
	return network_nft_list(network->lister, network->prefix, &network->table, err);
}

int network_open(const struct network_config *config, struct network **network_r, struct error *err)
{
	struct network *network = calloc(1, sizeof(*network));

	bug_if(!network);
	if (take_config(network, config, err) != 0 || load(network, err) != 0 ||
	    forward_on(err) != 0 || resolver_on(network, err) != 0) {
		network_close(&network);
		return -1;
	}
	*network_r = network;
	return 0;
}

void network_close(struct network **network)
{
	if (!*network)
		return;
	free((*network)->callers);
	free((*network)->denied);
	free((*network)->table);
	network_nft_close(&(*network)->lister);
	free(*network);
	*network = NULL;
}

void network_leave(const struct network *network)
{
	char command[48];
	struct error ignored;

	snprintf(command, sizeof(command), "delete table inet %s_agents", network->prefix);
	network_nft_run(command, &ignored);
	network_rtnl_no_address("lo", (struct cidr){network_resolver(network), 32}, &ignored);
}

int network_resolver_socket(const struct network *network, struct error *err)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	    .sin_port = htons(DNS_PORT),
	    .sin_addr = network_resolver(network)};
	scoped_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		return error_set(err, ERR_UNAVAILABLE, "resolver's socket on %s: %s",
		    network_text_of(address.sin_addr).s, strerror(errno));
	int kept = fd;
	fd = -1;
	return kept;
}

int network_check(const struct network *network, struct error *err)
{
	scoped_free char *text = NULL;

	if (network_nft_list(network->lister, network->prefix, &text, err) != 0)
		return -1;
	if (strcmp(text, network->table) != 0)
		return error_set(err, ERR_UNAVAILABLE, "nftables' table inet %s_agents was changed",
		    network->prefix);
	return 0;
}
