#include "services/warden/network_internal.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"

/* Elements of the host's table; ranges have no element where there are none. */
static void print_ranges(FILE *f, const char *verb, const char *table, const char *address,
    const struct network_limits *limits)
{
	if (limits->nranges == 0)
		return;
	fprintf(f, "%s element inet %s_agents ranges {", verb, table);
	for (size_t i = 0; i < limits->nranges; i++) {
		fprintf(f, "%s %s . ", i ? "," : "", address);
		network_table_range(f, "", limits->range[i]);
	}
	fprintf(f, " }\n");
}

static void print_elements(FILE *f, const char *verb, const struct network *network,
    const struct network_link *link, const struct network_limits *limits)
{
	const char *table = network->prefix;
	struct network_text address = network_text_of(link->container);

	print_ranges(f, verb, table, address.s, limits);
	if (limits->is_narrowed)
		fprintf(f, "%s element inet %s_agents narrowed { %s }\n", verb, table, address.s);
	fprintf(f, "%s element inet %s_agents links { \"%s\" . %s }\n", verb, table, link->ifname,
	    address.s);
}

static int run_elements(const char *const *verbs, const struct network *network,
    const struct network_link *link, const struct network_limits *limits, struct error *err)
{
	scoped_free char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	bug_if(!f);
	for (; *verbs; verbs++)
		print_elements(f, *verbs, network, link, limits);
	bug_if(fclose(f) != 0);
	return network_nft_run(text, err);
}

/* Nothing is taken out here: closing a socket to nftables after that waits for the kernel to be done with what was removed, some 20 ms. */
static int add_elements(const struct network *network, const struct network_link *link,
    const struct network_limits *limits, struct error *err)
{
	static const char *const verbs[] = {"add", NULL};

	return run_elements(verbs, network, link, limits, err);
}

/* A table that is gone holds nothing to remove. Whether it was narrowed does not matter: nobody may be after it. */
static int remove_elements(const struct network *network, const struct network_link *link,
    const struct network_limits *limits, struct error *err)
{
	static const char *const verbs[] = {"add", "delete", NULL};
	struct network_limits all = *limits;
	scoped_free char *text = NULL;
	struct error ours = {0};
	struct nft_ctx *nft;
	bool is_gone;

	all.is_narrowed = true;
	if (run_elements(verbs, network, link, &all, &ours) == 0)
		return 0;
	nft = network_nft_open(err);
	if (!nft)
		return -1;
	is_gone = network_nft_list(nft, network->prefix, &text, &(struct error){0}) != 0;
	network_nft_close(&nft);
	if (is_gone)
		return 0;
	*err = ours;
	return -1;
}

struct sysctl {
	const char *path, *value;
};

static int set_sysctls(const struct sysctl *sysctl, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++)
		if (network_namespace_sysctl(sysctl[i].path, sysctl[i].value, err) != 0)
			return -1;
	return 0;
}

/* In the new namespace, which takes over the host's switches of IPv4, and before it has any link. */
static int prepare_inside(const void *arg, struct error *err)
{
	static const struct sysctl sysctls[] = {
	    {"ipv4/ip_forward", "0"},
	    {"ipv4/conf/all/accept_redirects", "0"},
	    {"ipv4/conf/default/accept_redirects", "0"},
	    {"ipv4/conf/all/accept_source_route", "0"},
	    {"ipv4/conf/default/accept_source_route", "0"},
	    {"ipv4/conf/all/route_localnet", "0"},
	    {"ipv4/conf/default/route_localnet", "0"},
	    {"ipv6/conf/default/disable_ipv6", "1"},
	    {"ipv6/conf/default/accept_ra", "0"},
	};

	if (network_nft_run(arg, err) != 0)
		return -1;
	return set_sysctls(sysctls, ARRAY_LEN(sysctls), err);
}

static int connect_inside(const void *arg, struct error *err)
{
	const struct network_link *link = arg;

	if (network_rtnl_up("lo", err) != 0 ||
	    network_rtnl_address(NETWORK_IFNAME, (struct cidr){link->container, 31}, err) != 0 ||
	    network_rtnl_up(NETWORK_IFNAME, err) != 0)
		return -1;
	return network_rtnl_default_route(NETWORK_IFNAME, link->host, err);
}

/* The host answers ARP on this link for its end alone, and takes part in nothing else there. */
static int connect_host(const struct network_link *link, struct error *err)
{
	static const struct sysctl sysctls[] = {
	    {"ipv4/conf/%s/arp_ignore", "1"},
	    {"ipv4/conf/%s/proxy_arp", "0"},
	    {"ipv4/conf/%s/send_redirects", "0"},
	    {"ipv4/conf/%s/accept_redirects", "0"},
	    {"ipv4/conf/%s/accept_source_route", "0"},
	    {"ipv4/conf/%s/route_localnet", "0"},
	    {"ipv4/conf/%s/rp_filter", "1"},
	    {"ipv6/conf/%s/disable_ipv6", "1"},
	    {"ipv6/conf/%s/accept_ra", "0"},
	};

	for (size_t i = 0; i < ARRAY_LEN(sysctls); i++) {
		char path[64];
		const char *rest = strchr(sysctls[i].path, '%');
		snprintf(path, sizeof(path), "%.*s%s%s", (int)(rest - sysctls[i].path),
		    sysctls[i].path, link->ifname, rest + 2);
		if (network_namespace_sysctl(path, sysctls[i].value, err) != 0)
			return -1;
	}
	if (network_rtnl_address(link->ifname, (struct cidr){link->host, 31}, err) != 0)
		return -1;
	return network_rtnl_up(link->ifname, err);
}

static int make_namespace(const struct network *network, struct network_inside *inside,
    int *netns_fd_r, struct error *err)
{
	scoped_free struct in_addr *local = NULL;

	if (network_local_addresses(network, &local, &inside->nlocal, err) != 0)
		return -1;
	inside->local = local;
	scoped_free char *rules = network_table_inside(network, inside);
	inside->local = NULL;
	bug_if(!rules);
	return network_namespace_new(prepare_inside, rules, netns_fd_r, err);
}

/* Beyond this the link exists and is ours to take back. */
static int connect_link(const struct network *network, const struct network_inside *inside,
    int netns_fd, struct error *err)
{
	if (connect_host(&inside->link, err) != 0 ||
	    network_namespace_do(netns_fd, connect_inside, &inside->link, err) != 0)
		return -1;
	return add_elements(network, &inside->link, &inside->limits, err);
}

int network_link_make(const struct network *network, uint32_t slot,
    const struct network_limits *limits, int *netns_fd_r, struct error *err)
{
	struct network_inside inside = {.limits = *limits};
	scoped_fd int netns_fd = -1;

	network_link_of(network, slot, &inside.link);
	if (if_nametoindex(inside.link.ifname) != 0)
		return error_set(err, ERR_CONFLICT, "%s is there already", inside.link.ifname);
	if (make_namespace(network, &inside, &netns_fd, err) != 0)
		return -1;
	struct network_veth veth = {inside.link.ifname, NETWORK_IFNAME, network->group, netns_fd};
	if (network_rtnl_veth(&veth, err) != 0)
		return -1;
	if (connect_link(network, &inside, netns_fd, err) != 0) {
		network_rtnl_delete(inside.link.ifname, NULL);
		return -1;
	}
	*netns_fd_r = netns_fd;
	netns_fd = -1;
	return 0;
}

int network_link_adopt(const struct network *network, uint32_t slot,
    const struct network_limits *limits, struct error *err)
{
	struct network_link link;

	network_link_of(network, slot, &link);
	if (if_nametoindex(link.ifname) == 0)
		return error_set(err, ERR_NOT_FOUND, "there is no %s", link.ifname);
	return add_elements(network, &link, limits, err);
}

/* Sockets first, while the link still carries the RST to both ends; entries of conntrack when nothing can make new ones. */
int network_link_forget(const struct network *network, uint32_t slot,
    const struct network_limits *limits, struct error *err)
{
	struct error failed[4] = {0};
	struct network_link link;

	network_link_of(network, slot, &link);
	network_reset_all(network, slot, &failed[0]);
	remove_elements(network, &link, limits, &failed[1]);
	if (network_rtnl_delete(link.ifname, &failed[2]) != 0 && failed[2].code == ERR_NOT_FOUND)
		failed[2].code = ERR_NONE;
	network_conntrack_forget(link.container, &failed[3]);
	for (size_t i = 0; i < ARRAY_LEN(failed); i++)
		if (failed[i].code != ERR_NONE) {
			*err = failed[i];
			return -1;
		}
	return 0;
}
