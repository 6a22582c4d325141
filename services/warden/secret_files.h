/* secret_files - the files of /run/secrets: from the sealed memfd that sandbox sends, into a tmpfs of the container's own, back into a memfd for the search for secrets, and gone again. */
#ifndef WARDEN_SECRET_FILES_H
#define WARDEN_SECRET_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

#define SECRET_FILES_BYTES_MAX (64u << 20)
#define SECRET_FILES_MAX 4096
#define SECRET_FILES_PATH_MAX 255

struct secret_files {
	uint64_t bytes; /* of their contents, in whole pages */
	uint64_t files, folders;
};

/* Is it sealed, whole, and does it name only what it may? ERR_INVALID. The seals keep it so. */
int secret_files_check(int memfd, struct secret_files *about_r, struct error *err);
/* Of a checked one: folders 0500, files 0400, owner's. folder is empty. */
int secret_files_unpack(int memfd, int folder, uid_t owner, struct error *err);
/* A memfd (the caller's) of all that a checked one holds, and behind it of what folder, once unpacked from another one, holds in other words. What the checked one names with no bytes is no
 * secret: it is left out. -1: not all of it could be read. */
int secret_files_join(int memfd, int folder, struct error *err);
/* Overwrites and empties a memfd of secret_files_join. */
void secret_files_wipe_memfd(int memfd);
/* Overwrites, cuts and removes everything in folder. Returns whether all of it is gone. */
bool secret_files_wipe(int folder);
/* "a/b-c.json": relative, no empty part, no "." or "..". */
bool secret_files_is_path(const char *path, size_t len);

#endif
