#include "services/warden/network_internal.h"

#include <inttypes.h>

/* A container's own loopback is not tracked: its entries would count for nothing and take the host's memory. */
static void print_loopback(FILE *f)
{
	fprintf(f, "chain loopback_in {\n"
		   "type filter hook prerouting priority -300; policy accept;\n"
		   "iifname \"lo\" notrack\n"
		   "}\n"
		   "chain loopback_out {\n"
		   "type filter hook output priority -300; policy accept;\n"
		   "oifname \"lo\" notrack\n"
		   "}\n");
}

static void print_inside_input(
    FILE *f, const struct network *network, const struct network_inside *inside)
{
	fprintf(f,
	    "chain input {\n"
	    "type filter hook input priority 0; policy drop;\n"
	    "iifname \"lo\" accept\n"
	    "ct state established accept\n"
	    "ct state related meta l4proto icmp accept\n"
	    "ct state new iifname $ifname ip saddr $host ip daddr $container tcp dport %u goto "
	    "wanted\n"
	    "}\n"
	    "chain wanted {\n"
	    "ct count over %" PRIu64 " reject with tcp reset\n"
	    "accept\n"
	    "}\n"
	    "chain forward {\n"
	    "type filter hook forward priority 0; policy drop;\n"
	    "}\n",
	    network->agent_port, inside->limits.connections);
}

/* The rate bounds what is left of closed connections in the host's conntrack, which all containers share: entries wait there for two minutes. Who is too
 * fast is slowed, not refused. A refusal is a reset for TCP: ICMP's is lost on a socket that is just connecting. */
static void print_inside_begin(FILE *f, uint64_t connections)
{
	uint64_t rate = connections / 8 + 1;

	fprintf(f,
	    "chain begin {\n"
	    "ct state established accept\n"
	    "ct state != new drop\n"
	    "limit rate over %" PRIu64 "/second burst %" PRIu64 " packets drop\n"
	    "ct count over %" PRIu64 " goto refuse\n"
	    "accept\n"
	    "}\n"
	    "chain refuse {\n"
	    "meta l4proto tcp reject with tcp reset\n"
	    "reject with icmpx type admin-prohibited\n"
	    "}\n",
	    rate, connections + rate, connections);
}

static void print_ranges(FILE *f, const struct network_limits *limits)
{
	fprintf(f, "set ranges { type ipv4_addr; flags interval;");
	for (size_t i = 0; i < limits->nranges; i++)
		network_table_range(f, i ? ", " : " elements = { ", limits->range[i]);
	fprintf(f, "%s }\n", limits->nranges ? " }" : "");
}

/* What is not allowed is refused aloud, so that no agent waits for it; but a narrowed one may ask for an address a moment before it is allowed, and asks
 * again if it hears nothing. */
static void print_inside_output(
    FILE *f, const struct network *network, const struct network_inside *inside)
{
	fprintf(f, "chain output {\n"
		   "type filter hook output priority 0; policy drop;\n"
		   "oifname \"lo\" accept\n"
		   "oifname != $ifname drop\n"
		   "meta nfproto != ipv4 drop\n"
		   "ip saddr != $container drop\n"
		   "ct state established,related ct direction reply accept\n"
		   "ct state related meta l4proto icmp accept\n"
		   "ip daddr $resolver udp dport 53 goto begin\n"
		   "ip daddr $resolver tcp dport 53 goto begin\n");
	if (network->gateway_port)
		fprintf(f, "ip daddr $resolver tcp dport %u goto begin\n", network->gateway_port);
	network_table_denied(f, network, inside->local, inside->nlocal);
	fprintf(f, " goto refuse\n"
		   "tcp dport 25 goto refuse\n");
	if (inside->limits.is_narrowed)
		fprintf(f, "ct state new ip daddr != @allowed ip daddr != @ranges drop\n");
	fprintf(f, "goto begin\n"
		   "}\n");
}

char *network_table_inside(const struct network *network, const struct network_inside *inside)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fprintf(f,
	    "define ifname = \"" NETWORK_IFNAME "\"\n"
	    "define host = %s\n",
	    network_text_of(inside->link.host).s);
	fprintf(f,
	    "define container = %s\n"
	    "define resolver = %s\n"
	    "table inet agent {\n"
	    "set allowed { type ipv4_addr; flags timeout; size 1024; }\n",
	    network_text_of(inside->link.container).s,
	    network_text_of(network_resolver(network)).s);
	print_ranges(f, &inside->limits);
	print_loopback(f);
	print_inside_input(f, network, inside);
	print_inside_output(f, network, inside);
	print_inside_begin(f, inside->limits.connections);
	fprintf(f, "}\n");
	return network_table_finish(f, &text);
}
