/* walk - goes through the roots of a tree, names in the order of bytes, a folder before what is in it. Never follows a link, never leaves the file system, holds one
 * folder's names at a time for each level. */
#ifndef PACKER_WALK_H
#define PACKER_WALK_H

#include <stdint.h>
#include <sys/stat.h>

#include "services/packer/paths.h"

#define WALK_DEPTH_MAX 128 /* levels below /data; what is deeper is skipped */
#define WALK_PATH_MAX 4096 /* bytes of a path, with its NUL; what has a longer one is skipped */
#define WALK_NAMES_MAX (1 << 20) /* in the folders that are open at one time; more is an error */

struct walk_item {
	int folder;         /* that it is in */
	const char *name;   /* there */
	const char *path;   /* below the root */
	const char *target; /* of a symbolic link, else NULL */
	struct stat st; /* as it was when it was met: a folder, a regular file or a symbolic link */
};
/* -1 with err ends the walk. What it gets is borrowed until it returns. */
typedef int (*walk_visit)(void *arg, const struct walk_item *item, struct error *err);

struct walk {
	int root; /* folder */
	const struct paths *roots, *excluded;
	walk_visit visit;
	void *arg;
	uint64_t skipped;         /* grows: devices, sockets, what is too deep or cannot be read */
	char path[WALK_PATH_MAX]; /* that it is at: where an error happened */
	size_t names;             /* held now */
};
/* Folders above a root are visited, what else is in them is not. A root that is not there is left out. */
int walk_run(struct walk *walk, struct error *err);

#endif
