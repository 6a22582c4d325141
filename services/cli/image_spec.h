/* image_spec - what an OCI image layout says of itself (image-spec v1): index, manifest, configuration. All of it is read as a stranger's: whatever is not
 * understood whole is refused with ERR_INVALID. */
#ifndef CLI_IMAGE_SPEC_H
#define CLI_IMAGE_SPEC_H

#include <jansson.h>
#include <stdint.h>

#include "common/error.h"

#define IMAGE_DIGEST_HEX 64
#define IMAGE_JSON_MAX (1024 * 1024)
#define IMAGE_LAYERS_MAX 128
#define IMAGE_WORDS_MAX 256     /* of Entrypoint, of Cmd, of Env */
#define IMAGE_WORD_MAX 4096     /* bytes of one */
#define IMAGE_WORDS_BYTES 65536 /* of all of a list */
#define IMAGE_PATH_MAX 1024
#define IMAGE_USER_MAX 64

struct image_descriptor {
	char hex[IMAGE_DIGEST_HEX + 1]; /* of its SHA-256 */
	uint64_t size;
};

struct image_manifest {
	struct image_descriptor config, layer[IMAGE_LAYERS_MAX];
	size_t nlayers;
};

struct image_config {
	json_t *entrypoint, *cmd, *env;                         /* lists of text, owned */
	char cwd[IMAGE_PATH_MAX + 1], user[IMAGE_USER_MAX + 1]; /* user: as the image says it */
};
void image_config_free(struct image_config *config);
#define scoped_image_config __attribute__((cleanup(image_config_free)))

/* Parses text of at most IMAGE_JSON_MAX bytes; what: for errors. Caller owns the result, an object. NULL: refused. */
json_t *image_json(const char *text, size_t len, const char *what, struct error *err);

/* The manifest that tag names in an index; tag NULL: the only one, or "latest". */
int image_spec_index(
    const json_t *index, const char *tag, struct image_descriptor *manifest_r, struct error *err);
int image_spec_manifest(
    const json_t *manifest, struct image_manifest *manifest_r, struct error *err);
/* architecture: what is asked for ("amd64"). */
int image_spec_config(const json_t *config, const char *architecture, struct image_config *config_r,
    struct error *err);
/* This machine's, as Go names it. */
const char *image_architecture(void);

#endif
