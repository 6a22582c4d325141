/* assets - the page and what it needs, inside the binary. */
#ifndef DEMO_AGENT_ASSETS_H
#define DEMO_AGENT_ASSETS_H

#include <stddef.h>

struct asset {
	const char *path, *type, *bytes;
	size_t len;
};
/* NULL if there is none at path. */
const struct asset *asset_find(const char *path);

#endif
