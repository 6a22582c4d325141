#include "services/packer/links.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

#define SLOTS (1 << 18)

struct link {
	ino_t inode;
	char *path;
};
struct links {
	size_t n, bytes;
	struct link slot[SLOTS];
};

struct links *links_new(void)
{
	struct links *links = calloc(1, sizeof(*links));

	bug_if(!links);
	return links;
}

void links_destroy(struct links **links)
{
	for (size_t i = 0; *links && i < SLOTS; i++)
		free((*links)->slot[i].path);
	free(*links);
	*links = NULL;
}

/* Its slot, or the empty one where it would be. */
static size_t slot_of(const struct links *links, ino_t inode)
{
	size_t i = (size_t)((uint64_t)inode * UINT64_C(0x9e3779b97f4a7c15) >> 46);

	while (links->slot[i].path && links->slot[i].inode != inode)
		i = (i + 1) % SLOTS;
	return i;
}

const char *links_find(const struct links *links, ino_t inode)
{
	return links->slot[slot_of(links, inode)].path;
}

void links_add(struct links *links, ino_t inode, const char *path)
{
	size_t i = slot_of(links, inode), len = strlen(path) + 1;

	if (links->slot[i].path || links->n == LINKS_MAX || links->bytes + len > LINKS_BYTES_MAX)
		return;
	links->slot[i] = (struct link){inode, strdup(path)};
	bug_if(!links->slot[i].path);
	links->n++;
	links->bytes += len;
}
