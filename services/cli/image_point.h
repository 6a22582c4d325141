/* image_point - the places of an image where a container has something mounted: they have to be there, because the image is read-only by then. */
#ifndef CLI_IMAGE_POINT_H
#define CLI_IMAGE_POINT_H

#include <stdint.h>

#include "common/error.h"

/* Makes what is missing in the tree; links, and whatever else is in the way, are replaced and counted. */
int image_points_make(int folder, uint64_t *replaced, struct error *err);

#endif
