#include "services/packer/extents.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void add(struct extents *extents, int64_t offset, int64_t len)
{
	if ((extents->n & (extents->n - 1)) == 0) {
		size_t room = extents->n ? extents->n * 2 : 1;
		extents->extent = reallocarray(extents->extent, room, sizeof(*extents->extent));
		bug_if(!extents->extent);
	}
	extents->extent[extents->n++] = (struct extent){offset, len};
	extents->bytes += len;
}

int extents_read(int fd, const struct stat *st, struct extents *extents_r, struct error *err)
{
	int64_t at = 0, size = st->st_size;

	*extents_r = (struct extents){0};
	if ((uint64_t)st->st_blocks * 512 >= (uint64_t)size && size > 0) {
		add(extents_r, 0, size);
		return 0;
	}
	while (at < size) {
		int64_t data = lseek(fd, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		int64_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return error_set(
			    err, ERR_INTERNAL, "cannot find its holes: %s", strerror(errno));
		/* it may have grown, or lost what was there a moment ago */
		if (data >= size || hole <= data)
			break;
		bool is_last = extents_r->n == EXTENTS_MAX - 1 || hole > size;
		add(extents_r, data, (is_last ? size : hole) - data);
		if (is_last)
			break;
		at = hole;
	}
	return 0;
}

void extents_free(struct extents *extents)
{
	free(extents->extent);
	*extents = (struct extents){0};
}
