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

static int begin_entry(struct packing *packing, const struct pack_source *source,
    const struct extents *extents, struct error *err)
{
	struct archive_entry *entry = archive_entry_clear(packing->entry);
	const struct stat *st = source->st;

	archive_entry_copy_pathname(entry, source->path);
	archive_entry_set_mode(entry, st->st_mode);
	archive_entry_set_mtime(entry, st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	archive_entry_set_size(entry, st->st_size);
	bool has_holes = extents->bytes < st->st_size;
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

static int put_hole(struct packing *packing, int64_t len, struct error *err)
{
	for (int64_t n; len > 0; len -= n) {
		n = len < PACK_BUFFER ? len : PACK_BUFFER;
		if (archive_out_bytes(packing->out, packing->zeros, (size_t)n, err) != 0)
			return -1;
	}
	return 0;
}

static int put_extent(struct packing *packing, const struct pack_source *source,
    const struct extent *extent, struct scan *scan, struct error *err)
{
	char what[SCAN_WHAT_MAX] = "";
	size_t n;

	for (int64_t at = 0; at < extent->len; at += (int64_t)n) {
		n = extent->len - at < PACK_BUFFER ? (size_t)(extent->len - at) : PACK_BUFFER;
		if (fill_buffer(packing, source->fd, n, extent->offset + at, err) != 0)
			return -1;
		if (scan && !scan_bytes(scan, packing->buffer, n, what))
			return pack_found(packing, source->path, what, err);
		if (archive_out_bytes(packing->out, packing->buffer, n, err) != 0)
			return -1;
		report_bytes(packing->report, n);
	}
	return 0;
}

static int put_extents(struct packing *packing, const struct pack_source *source,
    const struct extents *extents, struct scan *scan, struct error *err)
{
	int64_t at = 0;

	for (size_t i = 0; i < extents->n; i++) {
		const struct extent *extent = &extents->extent[i];
		if (put_hole(packing, extent->offset - at, err) != 0 ||
		    put_extent(packing, source, extent, scan, err) != 0)
			return -1;
		at = extent->offset + extent->len;
	}
	return put_hole(packing, source->st->st_size - at, err);
}

static int put_scanned(struct packing *packing, const struct pack_source *source,
    const struct extents *extents, struct error *err)
{
	char what[SCAN_WHAT_MAX] = "";
	struct scan *scan =
	    source->is_private || extents->n == 0 ? NULL : scan_begin(packing->scanner);

	int rc = put_extents(packing, source, extents, scan, err);
	if (scan && !scan_end(&scan, what) && rc == 0)
		rc = pack_found(packing, source->path, what, err);
	return rc;
}

static int put_file(struct packing *packing, const struct pack_source *source,
    const struct extents *extents, struct error *err)
{
	char what[SCAN_WHAT_MAX] = "";

	if (check_room(packing, source->path, (uint64_t)extents->bytes, err) != 0)
		return -1;
	if (source->is_database && !scan_file(packing->scanner, source->fd, source->path, what))
		return pack_found(packing, source->path, what, err);
	if (begin_entry(packing, source, extents, err) != 0)
		return -1;
	return put_scanned(packing, source, extents, err);
}

int pack_contents(struct packing *packing, const struct pack_source *source, struct error *err)
{
	struct extents extents;
	int rc = extents_read(source->fd, source->st, &extents, err);

	if (rc == 0)
		rc = put_file(packing, source, &extents, err);
	extents_free(&extents);
	return rc;
}

static int pack_plain(struct packing *packing, const struct walk_item *item, int fd,
    const struct stat *st, struct error *err)
{
	const struct pack_source source = {.path = item->path, .fd = fd, .st = st};
	struct stat after;

	if (pack_contents(packing, &source, err) != 0)
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
