/* paths - the names below /data that an order speaks of: what is saved, what is not. */
#ifndef PACKER_PATHS_H
#define PACKER_PATHS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "proto/packer.h"

struct paths {
	const char *path
	    [WARDEN_ROOTS_BYTES /
		2]; /* borrowed from the text they were read from; in the order of bytes, none below another */
	size_t n;
};

/* Refuses a name that is absolute, has "..", "." or an empty part, or is not ended. "." alone is all of /data. */
int paths_read(const char text[WARDEN_ROOTS_BYTES], struct paths *paths_r, struct error *err);
/* Path is one of them, or below one. */
bool paths_cover(const struct paths *paths, const char *path);
/* Relative, no empty, "." or ".." part. */
bool path_is_plain(const char *path);

#endif
