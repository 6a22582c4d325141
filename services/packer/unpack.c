#include "services/packer/unpack.h"

#include <archive.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "services/packer/archive_in.h"
#include "services/packer/walk.h"

#define FLAGS \
	(ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_SECURE_SYMLINKS | \
	    ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS)

struct unpacking {
	struct archive_in *in;
	struct archive *disk;
	struct report *report;
	uint64_t bytes_max;
	char path[WALK_PATH_MAX];
};

/* The disk's trouble is none of the archive's. */
static int disk_failed(struct unpacking *unpacking, struct error *err)
{
	int number = archive_errno(unpacking->disk);
	const char *text = archive_error_string(unpacking->disk);

	if (number == ENOSPC || number == EDQUOT)
		return error_set(err, ERR_BUSY, "the volume has no room for it");
	if (number == EIO || number == EROFS || number == ENOMEM || number == EACCES ||
	    number == EMFILE)
		return error_set(err, ERR_INTERNAL, "the volume: %s", strerror(number));
	return error_set(
	    err, ERR_INVALID, "the archive's contents: refused: %.60s", text ? text : "?");
}

static int refuse(struct error *err, const char *why)
{
	return error_set(err, ERR_INVALID, "the archive's contents: %s", why);
}

static int check_names(struct unpacking *unpacking, struct archive_entry *entry, struct error *err)
{
	const char *path = archive_entry_pathname(entry), *link = archive_entry_hardlink(entry);
	size_t len = path ? strlen(path) : 0;

	if (len == 0 || len >= sizeof(unpacking->path))
		return refuse(err, "a name is empty or too long");
	memcpy(unpacking->path, path, len + 1);
	/* tar ends a folder's name with a slash */
	if (len > 1 && path[len - 1] == '/' && archive_entry_filetype(entry) == AE_IFDIR)
		unpacking->path[len - 1] = '\0';
	if (!path_is_plain(unpacking->path))
		return refuse(err, "a name is absolute or has \"..\" or an empty part");
	if (link && !path_is_plain(link))
		return refuse(err, "a link's target is absolute or has \"..\" or an empty part");
	archive_entry_copy_pathname(entry, unpacking->path);
	return 0;
}

static int check_entry(struct unpacking *unpacking, struct archive_entry *entry, struct error *err)
{
	mode_t kind = archive_entry_filetype(entry);

	if (check_names(unpacking, entry, err) != 0)
		return -1;
	if (!archive_entry_hardlink(entry) && kind != AE_IFREG && kind != AE_IFDIR &&
	    kind != AE_IFLNK)
		return refuse(err, "something is no file, folder or link");
	archive_entry_set_mode(entry, kind | (archive_entry_mode(entry) & 0777));
	archive_entry_unset_atime(entry);
	archive_entry_unset_ctime(entry);
	archive_entry_unset_birthtime(entry);
	return 0;
}

static int write_piece(
    struct unpacking *unpacking, const void *bytes, size_t len, int64_t offset, struct error *err)
{
	if (unpacking->report->said.bytes + len > unpacking->bytes_max)
		return error_set(
		    err, ERR_CONFLICT, "the archive's files are larger than they may be");
	if (len > 0 && archive_write_data_block(unpacking->disk, bytes, len, offset) < ARCHIVE_OK)
		return disk_failed(unpacking, err);
	report_bytes(unpacking->report, len);
	return 0;
}

static int write_contents(struct unpacking *unpacking, struct error *err)
{
	const void *bytes;
	int64_t offset;
	size_t len;
	int rc;

	while ((rc = archive_in_bytes(unpacking->in, &bytes, &len, &offset, err)) > 0)
		if (write_piece(unpacking, bytes, len, offset, err) != 0)
			return -1;
	return rc;
}

static int write_entry(struct unpacking *unpacking, struct archive_entry *entry, struct error *err)
{
	if (check_entry(unpacking, entry, err) != 0)
		return -1;
	if (archive_write_header(unpacking->disk, entry) != ARCHIVE_OK)
		return disk_failed(unpacking, err);
	if (archive_entry_filetype(entry) == AE_IFREG && archive_entry_size(entry) > 0 &&
	    write_contents(unpacking, err) != 0)
		return -1;
	if (archive_write_finish_entry(unpacking->disk) != ARCHIVE_OK)
		return disk_failed(unpacking, err);
	unpacking->report->said.files += archive_entry_filetype(entry) != AE_IFDIR;
	return 0;
}

static int write_all(struct unpacking *unpacking, int root, struct error *err)
{
	struct archive_entry *entry;
	int rc;

	while ((rc = archive_in_entry(unpacking->in, &entry, err)) > 0)
		if (write_entry(unpacking, entry, err) != 0)
			return -1;
	unpacking->path[0] = '\0';
	if (rc == 0 && archive_write_close(unpacking->disk) != ARCHIVE_OK)
		return disk_failed(unpacking, err);
	if (rc == 0 && syncfs(root) != 0)
		return error_set(err, ERR_INTERNAL, "the volume: %s", strerror(errno));
	return rc;
}

static int run(
    struct unpacking *unpacking, struct order *order, int root, int archive, struct error *err)
{
	struct packer_report *said = &unpacking->report->said;

	unpacking->in = archive_in_new(archive, order->said.agent, &order->said.archive, err);
	unpacking->disk = archive_write_disk_new();
	bug_if(!unpacking->disk);
	archive_write_disk_set_options(unpacking->disk, FLAGS);
	int rc = unpacking->in ? write_all(unpacking, root, err) : -1;
	if (rc == 0)
		archive_in_digest(unpacking->in, said->digest, &said->stored_bytes);
	archive_write_free(unpacking->disk);
	archive_in_destroy(&unpacking->in);
	return rc;
}

void unpack_run(struct order *order, int root, int archive, struct report *report)
{
	struct unpacking unpacking = {.report = report, .bytes_max = order->said.bytes_max};
	struct error err = {0};

	if (run(&unpacking, order, root, archive, &err) == 0) {
		report_end(report, WARDEN_MADE, NULL, "");
		return;
	}
	report->said.is_damaged = err.code == ERR_INVALID;
	report_end(report, err.code == ERR_CONFLICT ? WARDEN_TOO_LARGE : WARDEN_NOT_SAVED,
	    unpacking.path, err.text);
}
