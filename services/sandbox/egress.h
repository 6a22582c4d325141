/* egress - the hosts that an agent may reach, where its owner has named some: the secret custom/egress-hosts, one name a line, "*." before it for all
 * below it; blank lines and what follows '#' do not count. Without that secret an agent reaches every public address.
 */
#ifndef SANDBOX_EGRESS_H
#define SANDBOX_EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EGRESS_HOSTS_MAX 64
#define EGRESS_HOST_MAX 253

struct egress {
	bool is_narrowed;
	size_t n;
	char host[EGRESS_HOSTS_MAX][EGRESS_HOST_MAX + 1]; /* lower case */
};

/* Whatever the text is, the result is narrowed; what is not a host's name is left out, and so is what comes after EGRESS_HOSTS_MAX. Returns how many. */
size_t egress_parse(struct egress *egress, const uint8_t *text, size_t len);
/* Adds one; false if it is no name of a host, or there are too many. */
bool egress_add(struct egress *egress, const char *host);
/* name: any case, perhaps with a dot at its end. */
bool egress_allows(const struct egress *egress, const char *name);

#endif
