#include "services/warden/network_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/scoped.h"

struct allowing {
	const char *set, *before; /* what stands before each address in an element */
	const struct network_allowed *allowed;
	size_t n;
};

static void print_elements(FILE *f, const struct allowing *allowing, const char *verb, bool timed)
{
	fprintf(f, "%s element %s {", verb, allowing->set);
	for (size_t i = 0; i < allowing->n; i++) {
		uint32_t ttl_s = allowing->allowed[i].ttl_s;
		if (ttl_s > NETWORK_ALLOW_TTL_MAX_S)
			ttl_s = NETWORK_ALLOW_TTL_MAX_S;
		fprintf(f, "%s %s%s", i ? "," : "", allowing->before,
		    network_text_of(allowing->allowed[i].address).s);
		if (timed)
			fprintf(f, " timeout %us", ttl_s ? ttl_s : 1);
	}
	fprintf(f, " }\n");
}

/* Older kernels leave the time of an element that is there already: out and in again, in one transaction. */
static int allow(const void *arg, struct error *err)
{
	const struct allowing *allowing = arg;
	scoped_free char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	bug_if(!f);
	print_elements(f, allowing, "add", true);
	print_elements(f, allowing, "delete", false);
	print_elements(f, allowing, "add", true);
	bug_if(fclose(f) != 0);
	return network_nft_run(text, err);
}

/* Inside first: who is told of more addresses than it has room for must not fill the host's set, which is everybody's. */
int network_allow(const struct network *network, uint32_t slot, int netns_fd,
    const struct network_allowed *allowed, size_t n, struct error *err)
{
	char set[32], before[INET_ADDRSTRLEN + 4];
	struct network_link link;

	if (n == 0)
		return 0;
	network_link_of(network, slot, &link);
	snprintf(set, sizeof(set), "inet %s_agents allowed", network->prefix);
	snprintf(before, sizeof(before), "%s . ", network_text_of(link.container).s);
	const struct allowing inside = {"inet agent allowed", "", allowed, n},
			      host = {set, before, allowed, n};
	if (network_namespace_do(netns_fd, allow, &inside, err) != 0)
		return -1;
	return allow(&host, err);
}
