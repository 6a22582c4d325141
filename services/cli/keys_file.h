/* keys_file - files of secrets, written whole or not at all: a temporary file in the same folder, fsync, then its name. */
#ifndef CLI_KEYS_FILE_H
#define CLI_KEYS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"

struct key_file {
	mode_t mode;
	const void *bytes;
	size_t len;
	const char *
	    owner_of; /* for key_file_create: whose file that is, belongs the new one too; NULL: ours */
};
/* Never touches a file that is there: ERR_CONFLICT. */
int key_file_create(const char *path, const struct key_file *file, struct error *err);
/* The new file belongs to whom the old one belonged. */
int key_file_replace(const char *path, const struct key_file *file, struct error *err);
/* What was at from is at to, on disk, whatever was there before. Both are in one folder. */
int key_file_rename(const char *from, const char *to, struct error *err);
/* 1: there; 0: not there; -1: nobody can tell, err is set. */
int key_file_exists(const char *path, struct error *err);
/* Makes a folder of mode 0700, unless it is there. */
int key_file_folder(const char *path, struct error *err);

#endif
