#include "services/sandbox/resolver.h"

#include <stdlib.h>
#include <unistd.h>

struct resolver {
	struct sandbox *sandbox;
	int fd;
};

struct resolver *resolver_new(struct sandbox *sandbox)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	bug_if(!resolver);
	resolver->sandbox = sandbox;
	resolver->fd = -1;
	return resolver;
}

void resolver_listen(struct resolver *resolver, int fd)
{
	if (resolver->fd >= 0)
		close(resolver->fd);
	resolver->fd = fd;
}

void resolver_destroy(struct resolver **resolver)
{
	struct resolver *r = *resolver;
	if (!r)
		return;
	*resolver = NULL;
	resolver_listen(r, -1);
	free(r);
}
