/* image - the store of images as `multiclaw image import` makes it: images/names/<name> (a digest), images/<digest>/image.json. Read as it is asked for:
 * whoever imports another image under a name changes what the next start uses.
 */
#ifndef SANDBOX_IMAGE_H
#define SANDBOX_IMAGE_H

#include "services/sandbox/driver.h"

/* ERR_NOT_FOUND: there is none of this name; ERR_INVALID: it is not what the import makes. */
int image_find(
    const char *store, const char *name, struct driver_image *image_r, struct error *err);

#endif
