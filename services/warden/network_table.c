#include "services/warden/network_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/special_addresses.h"

void network_table_range(FILE *f, const char *before, struct cidr range)
{
	fprintf(f, "%s%s/%u", before, network_text_of(cidr_first(range)).s, range.bits);
}

void network_table_denied(
    FILE *f, const struct network *network, const struct in_addr *local, size_t nlocal)
{
	fprintf(f, "ip daddr { ");
	for (size_t i = 0; i < special_nranges; i++) {
		struct in_addr first = {htonl(special_ranges[i].first)};
		fprintf(f, "%s/%u, ", network_text_of(first).s, special_ranges[i].bits);
	}
	network_table_range(f, "", network->pool);
	for (size_t i = 0; i < network->ndenied; i++)
		network_table_range(f, ", ", network->denied[i]);
	for (size_t i = 0; i < nlocal; i++)
		fprintf(f, ", %s", network_text_of(local[i]).s);
	fprintf(f, " }");
}

static void print_callers(FILE *f, const struct network *network)
{
	fprintf(f, "{ 0");
	for (size_t i = 0; i < network->ncallers; i++)
		fprintf(f, ", %u", network->callers[i]);
	fprintf(f, " }");
}

/* prerouting stands before conntrack and every DNAT, so that the address that a container asked for is judged, and forward judges it again as it became. */
static void print_prerouting(FILE *f, const struct network *network)
{
	fprintf(f,
	    "chain prerouting {\n"
	    "type filter hook prerouting priority -310; policy accept;\n"
	    "iifgroup %u goto from_link\n"
	    "iifname != \"lo\" ip saddr $pool drop\n"
	    "iifname != \"lo\" ip daddr $pool drop\n"
	    "}\n"
	    "chain from_link {\n"
	    "meta nfproto != ipv4 drop\n"
	    "iifname . ip saddr != @links drop\n"
	    "ip daddr $pool accept\n"
	    "jump denied\n"
	    "}\n"
	    "chain denied {\n",
	    network->group);
	network_table_denied(f, network, NULL, 0);
	fprintf(f, " drop\n"
		   "fib daddr type { local, broadcast, anycast, multicast } drop\n"
		   "tcp dport 25 drop\n"
		   "}\n");
}

static void print_input(FILE *f, const struct network *network)
{
	fprintf(f,
	    "chain input {\n"
	    "type filter hook input priority 0; policy accept;\n"
	    "iifgroup %u goto to_host\n"
	    "}\n"
	    "chain to_host {\n"
	    "ct state established ct direction reply accept\n"
	    "ct state related meta l4proto icmp accept\n"
	    "ct direction original ip daddr $resolver udp dport 53 accept\n"
	    "ct direction original ip daddr $resolver tcp dport 53 accept\n",
	    network->group);
	if (network->gateway_port)
		fprintf(f, "ct direction original ip daddr $resolver tcp dport %u accept\n",
		    network->gateway_port);
	fprintf(f, "drop\n"
		   "}\n");
}

static void print_forward(FILE *f, const struct network *network)
{
	fprintf(f,
	    "chain forward {\n"
	    "type filter hook forward priority 0; policy accept;\n"
	    "iifgroup %u goto outward\n"
	    "oifgroup %u goto inward\n"
	    "}\n"
	    "chain outward {\n"
	    "oifgroup %u drop\n"
	    "ct state invalid drop\n"
	    "jump denied\n"
	    "ct state related meta l4proto icmp accept\n"
	    "ct direction reply drop\n"
	    "ip saddr @narrowed ct state new ip saddr . ip daddr != @allowed ip saddr . ip "
	    "daddr != @ranges drop\n"
	    "}\n"
	    "chain inward {\n"
	    "ct state established ct direction reply accept\n"
	    "ct state related meta l4proto icmp accept\n"
	    "drop\n"
	    "}\n",
	    network->group, network->group, network->group);
}

/* "new" because the last ACKs of a closed socket have no uid. What is for the pool but has no link, a container that is gone, must not look for it in the
 * host's own network. */
static void print_output(FILE *f, const struct network *network)
{
	fprintf(f,
	    "chain output {\n"
	    "type filter hook output priority 0; policy accept;\n"
	    "oifgroup %u goto from_host\n"
	    "oifname != \"lo\" ip daddr $pool drop\n"
	    "}\n"
	    "chain from_host {\n"
	    "meta nfproto != ipv4 drop\n"
	    "ct state established accept\n"
	    "ct state related meta l4proto icmp accept\n"
	    "ct state new ip daddr $pool tcp dport %u meta skuid ",
	    network->group, network->agent_port);
	print_callers(f, network);
	fprintf(f,
	    " accept\n"
	    "drop\n"
	    "}\n"
	    "chain postrouting {\n"
	    "type nat hook postrouting priority 100; policy accept;\n"
	    "ip saddr $pool oifgroup != %u oifname != \"lo\" masquerade\n"
	    "}\n",
	    network->group);
}

char *network_table_finish(FILE *f, char **text)
{
	if (fclose(f) == 0)
		return *text;
	free(*text);
	return NULL;
}

char *network_table_host(const struct network *network)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	network_table_range(f, "define pool = ", network->pool);
	fprintf(f,
	    "\ndefine resolver = %s\n"
	    "add table inet %s_agents\n"
	    "delete table inet %s_agents\n"
	    "table inet %s_agents {\n"
	    "set links { typeof iifname . ip saddr; }\n"
	    "set narrowed { type ipv4_addr; }\n"
	    "set allowed { type ipv4_addr . ipv4_addr; flags timeout; size 262144; }\n"
	    "set ranges { type ipv4_addr . ipv4_addr; flags interval; }\n",
	    network_text_of(network_resolver(network)).s, network->prefix, network->prefix,
	    network->prefix);
	print_prerouting(f, network);
	print_input(f, network);
	print_forward(f, network);
	print_output(f, network);
	fprintf(f, "}\n");
	return network_table_finish(f, &text);
}
