#include "services/packer/archive_in.h"

#include <archive.h>
#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "services/packer/archive_out.h"

#define BLOCK (128 * 1024)

struct archive_in {
	struct archive *tar;
	ZSTD_DCtx *zstd;
	struct sealed_reader *sealed;
	struct error err; /* of the layers below tar; code ERR_NONE: none */
	ZSTD_inBuffer compressed;
	bool is_frame_done, has_ended;
	uint8_t plain[BLOCK];
};

static int refill(struct archive_in *in)
{
	const uint8_t *bytes;
	ssize_t len = sealed_read(in->sealed, &bytes, &in->err);

	if (len < 0)
		return -1;
	in->has_ended = len == 0;
	in->compressed = (ZSTD_inBuffer){len > 0 ? bytes : NULL, (size_t)len, 0};
	if (in->is_frame_done && !in->has_ended)
		return error_set(&in->err, ERR_INVALID, "the archive goes on after its end");
	if (!in->is_frame_done && in->has_ended)
		return error_set(&in->err, ERR_INVALID, "the archive's contents are cut off");
	return 0;
}

static int unfold(struct archive_in *in, size_t *len_r)
{
	ZSTD_outBuffer out = {in->plain, sizeof(in->plain), 0};

	/* what was taken in may have more to give, so that is asked for before there is more to take */
	while (out.pos == 0 && !in->is_frame_done) {
		size_t left = ZSTD_decompressStream(in->zstd, &out, &in->compressed);
		if (ZSTD_isError(left))
			return error_set(&in->err, ERR_INVALID, "the archive's contents: zstd: %s",
			    ZSTD_getErrorName(left));
		in->is_frame_done = left == 0;
		if (out.pos == 0 && !in->is_frame_done && refill(in) != 0)
			return -1;
	}
	*len_r = out.pos;
	return 0;
}

static la_ssize_t get(struct archive *tar, void *arg, const void **bytes_r)
{
	struct archive_in *in = arg;
	size_t len = 0;

	if (in->err.code != ERR_NONE || unfold(in, &len) != 0) {
		archive_set_error(tar, EIO, "%s", in->err.text);
		return ARCHIVE_FATAL;
	}
	*bytes_r = in->plain;
	return (la_ssize_t)len;
}

static int failed(struct archive_in *in, struct error *err)
{
	if (in->err.code == ERR_NONE)
		return error_set(err, ERR_INVALID, "the archive's contents: tar: %.100s",
		    archive_error_string(in->tar) ? archive_error_string(in->tar) : "none");
	*err = in->err;
	return -1;
}

struct archive_in *archive_in_new(
    int fd, const char *agent, struct warden_archive *archive, struct error *err)
{
	struct archive_in *in = calloc(1, sizeof(*in));

	bug_if(!in);
	in->sealed = sealed_reader_new(fd, agent, archive);
	in->zstd = ZSTD_createDCtx();
	in->tar = archive_read_new();
	bug_if(!in->zstd || !in->tar);
	if (ZSTD_isError(
		ZSTD_DCtx_setParameter(in->zstd, ZSTD_d_windowLogMax, ARCHIVE_WINDOW_LOG)) ||
	    archive_read_support_format_tar(in->tar) != ARCHIVE_OK ||
	    archive_read_open(in->tar, in, NULL, get, NULL) != ARCHIVE_OK) {
		failed(in, err);
		archive_in_destroy(&in);
	}
	return in;
}

void archive_in_destroy(struct archive_in **in)
{
	if (!*in)
		return;
	if ((*in)->tar)
		archive_read_free((*in)->tar);
	ZSTD_freeDCtx((*in)->zstd);
	sealed_reader_destroy(&(*in)->sealed);
	free(*in);
	*in = NULL;
}

/* What follows the last entry: nothing but the end of each layer, and that has to be there. */
static int check_end(struct archive_in *in, struct error *err)
{
	size_t len = 0;

	while (!in->is_frame_done) {
		if (unfold(in, &len) != 0)
			return failed(in, err);
		if (len > 0)
			return error_set(
			    err, ERR_INVALID, "the archive goes on after its last file");
	}
	if (in->compressed.pos < in->compressed.size)
		return error_set(err, ERR_INVALID, "the archive goes on after its end");
	if (!in->has_ended && refill(in) != 0)
		return failed(in, err);
	return 0;
}

int archive_in_entry(struct archive_in *in, struct archive_entry **entry_r, struct error *err)
{
	int rc = archive_read_next_header(in->tar, entry_r);

	if (rc == ARCHIVE_EOF && in->err.code == ERR_NONE)
		return check_end(in, err);
	/* warnings are about how a name is to be shown */
	return rc == ARCHIVE_OK || rc == ARCHIVE_WARN ? 1 : failed(in, err);
}

int archive_in_bytes(struct archive_in *in, const void **bytes_r, size_t *len_r, int64_t *offset_r,
    struct error *err)
{
	int rc = archive_read_data_block(in->tar, bytes_r, len_r, offset_r);

	if (rc == ARCHIVE_EOF && in->err.code == ERR_NONE)
		return 0;
	return rc == ARCHIVE_OK ? 1 : failed(in, err);
}

void archive_in_digest(struct archive_in *in, uint8_t digest_r[SEALED_DIGEST], uint64_t *len_r)
{
	sealed_digest(in->sealed, digest_r, len_r);
}
