/* egress - what an agent may reach, where its owner has said so: the secret custom/egress-hosts. Names of hosts, "*.name" for all that is below a name (not the
 * name itself), IPv4 addresses and ranges (192.0.2.0/24), by lines or commas; '#' begins a comment. Without that secret an agent reaches every public address;
 * with one in which nothing is named, none.
 */
#ifndef SANDBOX_EGRESS_H
#define SANDBOX_EGRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cidr.h"
#include "common/error.h"

#define EGRESS_HOSTS_MAX 100
#define EGRESS_HOST_MAX 253

struct egress {
	bool is_narrowed; /* all zero is an open one */
	size_t n;
	char host[EGRESS_HOSTS_MAX]
		 [EGRESS_HOST_MAX +
		     1]; /* as egress_add writes them: lower case, ranges as they begin */
};

/* Whatever the text is, the result is narrowed. ERR_INVALID, and it allows nothing: the first entry that is none (by its line; the text is the owner's business
 * and not repeated), or too many. */
int egress_parse(struct egress *egress, const uint8_t *text, size_t len, struct error *err);
/* Adds one entry; false if it is none, or there are too many. What is not public cannot be named. */
bool egress_add(struct egress *egress, const char *host);
/* name: any case, perhaps with a dot at its end. NULL allows all. */
bool egress_allows(const struct egress *egress, const char *name);
/* The addresses and ranges among the entries, which no answer to a question brings. Returns how many. */
size_t egress_ranges(const struct egress *egress, struct cidr range_r[EGRESS_HOSTS_MAX]);

#endif
