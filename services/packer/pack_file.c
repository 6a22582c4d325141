/* A regular file: its contents, where they came from and whether they held still. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/scoped.h"
#include "services/packer/pack_internal.h"
#include "services/packer/survey.h"

bool pack_is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       memcmp(&a->st_mtim, &b->st_mtim, sizeof(a->st_mtim)) == 0 &&
	       memcmp(&a->st_ctim, &b->st_ctim, sizeof(a->st_ctim)) == 0;
}

int pack_open(int folder, const char *name, struct stat *st_r)
{
	/* one that was a file a moment ago may be a FIFO now */
	int fd = openat(folder, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0 && (fstat(fd, st_r) != 0 || !S_ISREG(st_r->st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

static int check_room(struct packing *packing, const char *path, uint64_t more, struct error *err)
{
	if (packing->report->said.bytes + more <= packing->order->said.bytes_max)
		return 0;
	report_end(packing->report, WARDEN_TOO_LARGE, path,
	    "with this file the snapshot is larger than it may be; delete or exclude some");
	return error_set(err, ERR_CONFLICT, "too large");
}

static int begin_entry(struct packing *packing, const char *path, const struct stat *st,
    const struct extents *extents, struct error *err)
{
	struct archive_entry *entry = archive_entry_clear(packing->entry);

	archive_entry_copy_pathname(entry, path);
	archive_entry_set_mode(entry, st->st_mode);
	archive_entry_set_mtime(entry, st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	archive_entry_set_size(entry, st->st_size);
	bool has_holes = extents && extents->bytes < st->st_size;
	for (size_t i = 0; has_holes && i < extents->n; i++)
		archive_entry_sparse_add_entry(
		    entry, extents->extent[i].offset, extents->extent[i].len);
	/* one that is a hole alone */
	if (has_holes && extents->n == 0)
		archive_entry_sparse_add_entry(entry, st->st_size, 0);
	packing->report->said.files++;
	return archive_out_entry(packing->out, entry, err);
}

/* As many as there are, the rest zeros: the size of an entry is said before its bytes. */
static int fill_buffer(
    struct packing *packing, int fd, size_t len, int64_t offset, struct error *err)
{
	size_t have = 0;

	while (have < len) {
		ssize_t got = pread(fd, packing->buffer + have, len - have, offset + (int64_t)have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set(err, ERR_INTERNAL, "cannot read it: %s", strerror(errno));
		if (got == 0)
			break;
		have += (size_t)got;
	}
	memset(packing->buffer + have, 0, len - have);
	packing->has_changed |= have < len;
	return 0;
}

/* What is scanned is what is saved: the copy in memory, whatever becomes of the file. */
static int pack_small(
    struct packing *packing, const char *path, int fd, const struct stat *st, struct error *err)
{
	size_t len = (size_t)st->st_size;
	char what[SCAN_WHAT_MAX] = "";

	if (fill_buffer(packing, fd, len, 0, err) != 0)
		return -1;
	if (ftruncate(packing->held, 0) != 0 ||
	    pwrite(packing->held, packing->buffer, len, 0) != (ssize_t)len)
		return error_set(err, ERR_INTERNAL, "no memory for it: %s", strerror(errno));
	if (len > 0 && !scan_file(packing->scanner, packing->held, path, what))
		return pack_found(packing, path, what, err);
	if (begin_entry(packing, path, st, NULL, err) != 0 ||
	    archive_out_bytes(packing->out, packing->buffer, len, err) != 0)
		return -1;
	report_bytes(packing->report, len);
	return 0;
}

static int put_hole(struct packing *packing, int64_t len, struct error *err)
{
	for (int64_t n; len > 0; len -= n) {
		n = len < PACK_BUFFER ? len : PACK_BUFFER;
		if (archive_out_bytes(packing->out, packing->zeros, (size_t)n, err) != 0)
			return -1;
	}
	return 0;
}

static int put_extent(struct packing *packing, const char *path, int fd,
    const struct extent *extent, struct scan *scan, struct error *err)
{
	char what[SCAN_WHAT_MAX] = "";
	size_t n;

	for (int64_t at = 0; at < extent->len; at += (int64_t)n) {
		n = extent->len - at < PACK_BUFFER ? (size_t)(extent->len - at) : PACK_BUFFER;
		if (fill_buffer(packing, fd, n, extent->offset + at, err) != 0)
			return -1;
		if (scan && !scan_bytes(scan, packing->buffer, n, what))
			return pack_found(packing, path, what, err);
		if (archive_out_bytes(packing->out, packing->buffer, n, err) != 0)
			return -1;
		report_bytes(packing->report, n);
	}
	return 0;
}

static int put_extents(struct packing *packing, const char *path, int fd, const struct stat *st,
    const struct extents *extents, struct scan *scan, struct error *err)
{
	int64_t at = 0;

	for (size_t i = 0; i < extents->n; i++) {
		const struct extent *extent = &extents->extent[i];
		if (put_hole(packing, extent->offset - at, err) != 0 ||
		    put_extent(packing, path, fd, extent, scan, err) != 0)
			return -1;
		at = extent->offset + extent->len;
	}
	return put_hole(packing, st->st_size - at, err);
}

/* It is looked at twice: what it unfolds to before, and what goes out as it goes out, because it may change in between. */
static int pack_large(struct packing *packing, const char *path, int fd, const struct stat *st,
    const struct extents *extents, bool is_private, struct error *err)
{
	char what[SCAN_WHAT_MAX] = "";

	if (!scan_file(packing->scanner, fd, path, what))
		return pack_found(packing, path, what, err);
	if (begin_entry(packing, path, st, extents, err) != 0)
		return -1;
	struct scan *scan = is_private ? NULL : scan_begin(packing->scanner);
	int rc = put_extents(packing, path, fd, st, extents, scan, err);
	if (scan && !scan_end(&scan, what) && rc == 0)
		rc = pack_found(packing, path, what, err);
	return rc;
}

int pack_contents(struct packing *packing, const char *path, int fd, const struct stat *st,
    bool is_private, struct error *err)
{
	struct extents extents;
	int rc = -1;

	if (st->st_size <= PACK_BUFFER) {
		if (check_room(packing, path, (uint64_t)st->st_size, err) != 0)
			return -1;
		return pack_small(packing, path, fd, st, err);
	}
	if (extents_read(fd, st, &extents, err) == 0 &&
	    check_room(packing, path, (uint64_t)extents.bytes, err) == 0)
		rc = pack_large(packing, path, fd, st, &extents, is_private, err);
	extents_free(&extents);
	return rc;
}

static int pack_plain(struct packing *packing, const struct walk_item *item, int fd,
    const struct stat *st, struct error *err)
{
	struct stat after;

	if (pack_contents(packing, item->path, fd, st, false, err) != 0)
		return -1;
	packing->has_changed |= fstat(fd, &after) != 0 || !pack_is_same(st, &after);
	return 0;
}

/* A hole of a terabyte with a database's first bytes is none. */
static bool is_copied(const struct stat *st, struct database_look look)
{
	return look.is_database && (uint64_t)st->st_size / 2 <= survey_data_bytes(st) + (16 << 20);
}

int pack_file(struct packing *packing, const struct walk_item *item, struct error *err)
{
	struct stat st;
	scoped_fd int fd = pack_open(item->folder, item->name, &st);
	const char *first;

	if (fd < 0) {
		packing->report->said.skipped++;
		return 0;
	}
	if (st.st_nlink > 1 && (first = links_find(packing->links, st.st_ino)) &&
	    strcmp(first, item->path) != 0)
		return pack_entry(packing, item, first, err);
	int rc = is_copied(&st, database_look(fd)) ? pack_database(packing, item, fd, &st, err)
						   : pack_plain(packing, item, fd, &st, err);
	/* one that is saved again would be another file than its other names are */
	if (rc == 0 && st.st_nlink > 1 && !packing->has_changed)
		links_add(packing->links, st.st_ino, item->path);
	return rc;
}
