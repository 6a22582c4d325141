/* image - an unpacked image of the store, read as what it is: something a stranger made.
 *
 * images/<digest>/image.json says what to run, images/<digest>/rootfs is its file system. Nothing in either is followed out of its folder.
 */
#ifndef WARDEN_IMAGE_H
#define WARDEN_IMAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define IMAGE_DIGEST_LEN 64 /* hex */
#define IMAGE_UID_MAX 65535
#define IMAGE_USER 1000 /* where the image names nobody */

struct image {
	json_t *args; /* entrypoint and command: at least one */
	json_t *env;  /* "NAME=value" */
	char *cwd;
	uint32_t uid, gid;
	int rootfs;                                    /* descriptor of the folder */
	bool has_resolv_conf, has_hosts, has_hostname; /* as files that can be mounted over */
};

/* ERR_NOT_FOUND: not in the store; ERR_INVALID: it is there, and will not do; the text says why. */
int image_read(const char *images, const char *digest, struct image *image_r, struct error *err);
void image_free(struct image *image);

/* What image.json says, without rootfs; for tests. */
int image_parse(
    const char *text, size_t len, const char *digest, struct image *image_r, struct error *err);

#endif
