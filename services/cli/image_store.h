/* image_store - the folder that warden and sandbox read: <digest>/{rootfs,image.json} and names/<name>, a line with a digest. Whoever changes it holds its lock. */
#ifndef CLI_IMAGE_STORE_H
#define CLI_IMAGE_STORE_H

#include <jansson.h>
#include <stdbool.h>

#include "services/cli/image_spec.h"

#define IMAGE_NAME_MAX 64
#define IMAGE_WORK ".import" /* of whoever holds the lock; from a run that was killed, rubbish */

struct image_store {
	int folder, names;
	char path[4096]; /* absolute */
};
/* path NULL: MULTICLAW_STATE_DIR/images. create: makes what is missing. Waits for the lock. */
int image_store_open(struct image_store *store_r, const char *path, bool create, struct error *err);
void image_store_close(struct image_store *store);
#define scoped_image_store __attribute__((cleanup(image_store_close)))

/* 1 to 64 of a-z 0-9 - . _, no dot first. */
bool image_name_is_good(const char *name);
/* ERR_NOT_FOUND. */
int image_store_read_name(const struct image_store *store, const char *name,
    char hex_r[IMAGE_DIGEST_HEX + 1], struct error *err);
/* From one moment to the next it means hex. */
int image_store_write_name(
    const struct image_store *store, const char *name, const char *hex, struct error *err);
/* Writes a JSON document whole or not at all, readable for all. */
int image_store_write_json(int folder, const char *name, const json_t *json, struct error *err);
/* Every image, by name; one without a name has "". Caller owns the list of image.json's contents. */
json_t *image_store_list(const struct image_store *store, struct error *err);
/* How many names there are of it. */
size_t image_store_names_of(const struct image_store *store, const char *hex);
/* Has any process that we may look at it mounted? */
bool image_store_is_mounted(const char *hex);

#endif
