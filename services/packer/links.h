/* links - files with several names: the path that each was saved under first. Bounded: of what is beyond, each name is saved as a file of its own. */
#ifndef PACKER_LINKS_H
#define PACKER_LINKS_H

#include <stddef.h>
#include <sys/types.h>

#define LINKS_MAX 100000
#define LINKS_BYTES_MAX (16 << 20) /* of paths */

struct links;
struct links *links_new(void); /* caller owns the result; never NULL */
void links_destroy(struct links **links);
/* Borrowed; NULL: not known. */
const char *links_find(const struct links *links, ino_t inode);
void links_add(struct links *links, ino_t inode, const char *path);

#endif
