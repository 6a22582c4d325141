/* survey - the first look at a tree: its fingerprint, and how much there is. Reads no file's contents. */
#ifndef PACKER_SURVEY_H
#define PACKER_SURVEY_H

#include <stdint.h>

#include "services/packer/walk.h"

#define FINGERPRINT_BYTES 32

struct survey {
	uint8_t fingerprint
	    [FINGERPRINT_BYTES]; /* BLAKE2b-256 of the lists of paths and, of everything, path, kind, mode, inode, size, times of change, a link's target. A folder's own size
						   and times are left out (what is in it has its own), and SQLite's -shm files are: reading a database changes them */
	uint64_t bytes;          /* of files, without their holes */
	uint64_t skipped;
};

/* where_r: what it was at when it failed. */
int survey_make(int root, const struct paths *roots, const struct paths *excluded,
    struct survey *survey_r, char where_r[WALK_PATH_MAX], struct error *err);
/* Bytes of a file that are on the disk: holes cost nothing. */
uint64_t survey_data_bytes(const struct stat *st);

#endif
