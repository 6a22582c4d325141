/* image_unpack - umoci unpacks the layers, without any privilege, watched: by an unprivileged user with no network and nothing else to write to when we are
 * root, else as whoever runs the command. It is killed when it goes beyond the limits. */
#ifndef CLI_IMAGE_UNPACK_H
#define CLI_IMAGE_UNPACK_H

#include "services/cli/image_tree.h"

/* work: a folder with the layout in "layout", named by path, which belongs to image_unpack_user(). Afterwards the tree is in "bundle", and nobody writes to it. */
int image_unpack(const char *path, int work, const struct image_limits *limits, uint64_t *devices_r,
    struct error *err);

/* Whose the work is to be: user multiclaw-image or nobody for root, else ourselves. */
struct image_user {
	unsigned uid, gid;
};
struct image_user image_unpack_user(void);

#endif
