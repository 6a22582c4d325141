/* image_tree - the tree of files that came out of an image: measured, made harmless, taken away. Nothing in it is ever followed. */
#ifndef CLI_IMAGE_TREE_H
#define CLI_IMAGE_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define IMAGE_DEPTH_MAX 128

struct image_limits {
	uint64_t bytes_max; /* of all layers as they are packed, and of all that they unpack to */
	uint64_t files_max;
};

struct image_size {
	uint64_t bytes, files;
};
/* While somebody else still writes: what cannot be read is left out. ERR_INVALID image_too_large at the limits. */
int image_tree_measure(
    int folder, const struct image_limits *limits, struct image_size *size_r, struct error *err);

struct image_mended {
	uint64_t devices, sockets, fifos; /* removed */
	uint64_t bits;     /* files that lost setuid, setgid or the right of others to write */
	uint64_t xattrs;   /* files that lost extended attributes, capabilities among them */
	uint64_t replaced; /* links and files that were where a mount point has to be */
};
/* When nobody writes any more: counts again, refuses hard links to what is not in the tree, then makes everything ours and readable for all, removes what
 * is neither file, folder nor symbolic link, and makes the mount points of a container. */
int image_tree_mend(int folder, const struct image_limits *limits, struct image_mended *mended_r,
    struct error *err);

/* Removes folder/name, however deep it is. No such file is no error. */
int image_tree_remove(int folder, const char *name, struct error *err);

#endif
