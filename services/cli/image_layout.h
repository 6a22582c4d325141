/* image_layout - the files of an OCI image layout that somebody else made: copied to a folder of ours, each checked against its digest on the way. */
#ifndef CLI_IMAGE_LAYOUT_H
#define CLI_IMAGE_LAYOUT_H

#include "services/cli/image_spec.h"

struct image_layout {
	char hex[IMAGE_DIGEST_HEX + 1]; /* of the manifest */
	struct image_config config;
};

/* Reads the layout at path and makes a layout of its one image in the folder to (a descriptor), under the tag "image". packed_max: bytes of all its layers. */
int image_layout_copy(const char *path, const char *tag, int to, uint64_t packed_max,
    struct image_layout *layout_r, struct error *err);

#endif
