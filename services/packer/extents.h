/* extents - where a file has data: all else in it is holes, which nobody reads, sends or writes. */
#ifndef PACKER_EXTENTS_H
#define PACKER_EXTENTS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/error.h"

#define EXTENTS_MAX 65536 /* of a file with more the rest is data, with its holes as zeros */

struct extent {
	int64_t offset, len;
};
struct extents {
	struct extent
	    *extent; /* in order, apart from each other, none empty, none beyond the size */
	size_t n;
	int64_t bytes; /* their sum */
};

/* For the first size bytes of fd. Caller calls extents_free whatever is returned. */
int extents_read(int fd, const struct stat *st, struct extents *extents_r, struct error *err);
void extents_free(struct extents *extents);

#endif
