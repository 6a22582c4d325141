/* Files that changed while they were read. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/scoped.h"
#include "services/packer/pack_internal.h"

#define PAUSE_MS 100 /* before each round: who writes may be about to end */

void pack_unsettled(struct packing *packing, const char *path)
{
	if (packing->nunsettled == PACK_UNSETTLED_MAX) {
		packing->report->said.unsettled++;
		return;
	}
	if (!packing->unsettled)
		packing->unsettled = calloc(PACK_UNSETTLED_MAX, sizeof(*packing->unsettled));
	bug_if(!packing->unsettled);
	char *copy = strdup(path);
	bug_if(!copy);
	packing->unsettled[packing->nunsettled++] = (struct unsettled){copy, packing->has_sides};
}

/* The folder that a path is in, through folders only. */
static int open_above(int root, const char *path, const char **name_r)
{
	int folder = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *slash;

	for (; folder >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
		scoped_fd int above = folder;
		char name[256];
		memcpy(name, path, (size_t)(slash - path));
		name[slash - path] = '\0';
		folder = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	*name_r = path;
	return folder;
}

/* One that is gone, or too large to be read again, stays as it was saved. */
static int pack_again(struct packing *packing, const struct unsettled *file, struct error *err)
{
	struct walk_item item = {.path = file->path};
	uint64_t files = packing->report->said.files;
	scoped_fd int folder = open_above(packing->root, file->path, &item.name);

	packing->has_changed = true;
	item.folder = folder;
	if (folder < 0 || fstatat(folder, item.name, &item.st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISREG(item.st.st_mode) || (uint64_t)item.st.st_size > PACK_AGAIN_BYTES ||
	    packing->report->said.bytes + (uint64_t)item.st.st_size >
		packing->order->said.bytes_max)
		return 0;
	packing->has_changed = false;
	packing->has_sides = file->has_sides;
	if (pack_file(packing, &item, err) != 0)
		return -1;
	packing->report->said.files = files;
	return 0;
}

static int settle_round(struct packing *packing, struct error *err)
{
	size_t kept = 0, n = packing->nunsettled;
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		struct unsettled file = packing->unsettled[i];
		rc = rc == 0 ? pack_again(packing, &file, err) : rc;
		if (rc == 0 && !packing->has_changed) {
			free(file.path);
			continue;
		}
		file.has_sides |= packing->has_sides;
		packing->unsettled[kept++] = file;
	}
	packing->nunsettled = kept;
	return rc;
}

int pack_settle(struct packing *packing, struct error *err)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};

	for (int i = 0; i < PACK_AGAIN && packing->nunsettled > 0; i++) {
		clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
		if (settle_round(packing, err) != 0)
			return -1;
	}
	packing->report->said.unsettled += packing->nunsettled;
	return 0;
}
