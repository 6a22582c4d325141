#include "services/warden/network_internal.h"

#include <errno.h>
#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#define MESSAGE_BYTES 1024

static void scoped_mnl_fn(struct mnl_socket **nl)
{
	if (*nl)
		mnl_socket_close(*nl);
}
#define scoped_mnl __attribute__((cleanup(scoped_mnl_fn)))

static enum error_code code_of(int number)
{
	if (number == EEXIST)
		return ERR_CONFLICT;
	if (number == ENODEV || number == ESRCH)
		return ERR_NOT_FOUND;
	return ERR_UNAVAILABLE;
}

static int fail(const char *what, const char *ifname, struct error *err)
{
	return error_set(err, code_of(errno), "%s of %s: %s", what, ifname, strerror(errno));
}

/* Sends one request and waits for what the kernel says of it; -1 leaves errno. */
static int ask(struct nlmsghdr *request)
{
	_Alignas(struct nlmsghdr) char answer[MESSAGE_BYTES * 2];
	scoped_mnl struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	ssize_t n;

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		return -1;
	n = mnl_socket_recvfrom(nl, answer, sizeof(answer));
	if (n < 0)
		return -1;
	return mnl_cb_run(answer, (size_t)n, 0, mnl_socket_get_portid(nl), NULL, NULL) < 0 ? -1 : 0;
}

static struct nlmsghdr *request_of(void *buffer, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);

	request->nlmsg_type = type;
	request->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	return request;
}

/* Both ends exist at once, the host's in its group and the other where it belongs: there is no moment in which the rules do not know them. */
int network_rtnl_veth(const struct network_veth *veth, struct error *err)
{
	_Alignas(struct nlmsghdr) char buffer[MESSAGE_BYTES] = {0};
	struct nlmsghdr *request = request_of(buffer, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct nlattr *info, *data, *peer;

	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request, IFLA_IFNAME, veth->ifname);
	mnl_attr_put_u32(request, IFLA_GROUP, veth->group);
	info = mnl_attr_nest_start(request, IFLA_LINKINFO);
	mnl_attr_put_strz(request, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(request, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(request, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request, IFLA_IFNAME, veth->peer);
	mnl_attr_put_u32(request, IFLA_NET_NS_FD, (uint32_t)veth->peer_netns_fd);
	mnl_attr_nest_end(request, peer);
	mnl_attr_nest_end(request, data);
	mnl_attr_nest_end(request, info);
	return ask(request) == 0 ? 0 : fail("making", veth->ifname, err);
}

int network_rtnl_up(const char *ifname, struct error *err)
{
	_Alignas(struct nlmsghdr) char buffer[MESSAGE_BYTES] = {0};
	struct nlmsghdr *request = request_of(buffer, RTM_NEWLINK, 0);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));

	link->ifi_flags = link->ifi_change = IFF_UP;
	mnl_attr_put_strz(request, IFLA_IFNAME, ifname);
	return ask(request) == 0 ? 0 : fail("raising", ifname, err);
}

int network_rtnl_delete(const char *ifname, struct error *err)
{
	_Alignas(struct nlmsghdr) char buffer[MESSAGE_BYTES] = {0};
	struct nlmsghdr *request = request_of(buffer, RTM_DELLINK, 0);

	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request, IFLA_IFNAME, ifname);
	return ask(request) == 0 ? 0 : fail("deleting", ifname, err);
}

static int ask_about_address(
    const char *ifname, struct cidr address, uint16_t type, uint16_t flags, struct error *err)
{
	_Alignas(struct nlmsghdr) char buffer[MESSAGE_BYTES] = {0};
	struct nlmsghdr *request = request_of(buffer, type, flags);
	struct ifaddrmsg *message = mnl_nlmsg_put_extra_header(request, sizeof(*message));

	message->ifa_family = AF_INET;
	message->ifa_prefixlen = (uint8_t)address.bits;
	message->ifa_index = if_nametoindex(ifname);
	mnl_attr_put_u32(request, IFA_LOCAL, address.address.s_addr);
	mnl_attr_put_u32(request, IFA_ADDRESS, address.address.s_addr);
	return ask(request) == 0 ? 0 : fail("address", ifname, err);
}

int network_rtnl_address(const char *ifname, struct cidr address, struct error *err)
{
	return ask_about_address(ifname, address, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, err);
}

int network_rtnl_no_address(const char *ifname, struct cidr address, struct error *err)
{
	return ask_about_address(ifname, address, RTM_DELADDR, 0, err);
}

int network_rtnl_default_route(const char *ifname, struct in_addr via, struct error *err)
{
	_Alignas(struct nlmsghdr) char buffer[MESSAGE_BYTES] = {0};
	struct nlmsghdr *request = request_of(buffer, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
	struct rtmsg *route = mnl_nlmsg_put_extra_header(request, sizeof(*route));

	route->rtm_family = AF_INET;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = RTPROT_STATIC;
	route->rtm_scope = RT_SCOPE_UNIVERSE;
	route->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(request, RTA_OIF, if_nametoindex(ifname));
	mnl_attr_put_u32(request, RTA_GATEWAY, via.s_addr);
	return ask(request) == 0 ? 0 : fail("default route", ifname, err);
}

int network_local_addresses(
    const struct network *network, struct in_addr **local_r, size_t *n_r, struct error *err)
{
	uint32_t mask = UINT32_MAX << (32 - network->pool.bits);
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all) != 0)
		return error_set(err, ERR_UNAVAILABLE, "own addresses: %s", strerror(errno));
	*local_r = NULL;
	*n_r = 0;
	for (const struct ifaddrs *each = all; each; each = each->ifa_next) {
		struct sockaddr_in own;
		if (!each->ifa_addr || each->ifa_addr->sa_family != AF_INET)
			continue;
		memcpy(&own, each->ifa_addr, sizeof(own));
		if ((own.sin_addr.s_addr & htonl(mask)) == network->pool.address.s_addr)
			continue;
		*local_r = reallocarray(*local_r, *n_r + 1, sizeof(**local_r));
		bug_if(!*local_r);
		(*local_r)[(*n_r)++] = own.sin_addr;
	}
	freeifaddrs(all);
	return 0;
}
