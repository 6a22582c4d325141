/* image_import - an OCI image layout of a stranger becomes an image of the store, or nothing is left of it. */
#ifndef CLI_IMAGE_IMPORT_H
#define CLI_IMAGE_IMPORT_H

#include "services/cli/image_store.h"
#include "services/cli/image_tree.h"

struct image_import {
	const char *layout, *tag; /* tag NULL: the only one, or "latest" */
	const char *name, *kind;
	struct image_limits limits;
};
struct image_imported {
	char hex[IMAGE_DIGEST_HEX + 1];
	bool was_there;
	struct image_size size;
	struct image_mended mended;
};
int image_import(const struct image_store *store, const struct image_import *import,
    struct image_imported *imported_r, struct error *err);

#endif
