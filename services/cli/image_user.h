/* image_user - whom an image's program runs as, in numbers: by the image's own passwd and group, which are read as a stranger's. */
#ifndef CLI_IMAGE_USER_H
#define CLI_IMAGE_USER_H

#include "common/error.h"

#define IMAGE_ID_MAX 65535 /* of the range that an agent gets */
#define IMAGE_USER_TEXT_MAX 16

/* user: as the image says it, "user", "uid", either with ":group" or ":gid", or "". folder: its tree. text_r: "uid:gid". A name that the image does not know
 * is refused. */
int image_user_resolve(
    int folder, const char *user, char text_r[IMAGE_USER_TEXT_MAX], struct error *err);

#endif
