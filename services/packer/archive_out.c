#include "services/packer/archive_out.h"

#include <archive.h>
#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#define BLOCK (128 * 1024)
#define WORKERS 2 /* threads of zstd, beside the one that reads and scans */

struct archive_out {
	struct archive *tar;
	ZSTD_CCtx *zstd;
	struct sealed_writer *sealed;
	struct error err; /* of the layers below tar; code ERR_NONE: none */
	uint8_t compressed[BLOCK];
};

static int compress(struct archive_out *out, const void *bytes, size_t len, ZSTD_EndDirective end)
{
	ZSTD_inBuffer in = {bytes, len, 0};
	size_t left;

	do {
		ZSTD_outBuffer got = {out->compressed, sizeof(out->compressed), 0};
		left = ZSTD_compressStream2(out->zstd, &got, &in, end);
		if (ZSTD_isError(left))
			return error_set(
			    &out->err, ERR_INTERNAL, "zstd: %s", ZSTD_getErrorName(left));
		if (sealed_write(out->sealed, out->compressed, got.pos, &out->err) != 0)
			return -1;
	} while (end == ZSTD_e_end ? left > 0 : in.pos < in.size);
	return 0;
}

static la_ssize_t put(struct archive *tar, void *arg, const void *bytes, size_t len)
{
	struct archive_out *out = arg;

	if (out->err.code != ERR_NONE || compress(out, bytes, len, ZSTD_e_continue) != 0) {
		archive_set_error(tar, EPIPE, "%s", out->err.text);
		return -1;
	}
	return (la_ssize_t)len;
}

static int set_up_zstd(struct archive_out *out, int level, struct error *err)
{
	out->zstd = ZSTD_createCCtx();
	bug_if(!out->zstd);
	/* levels up to 19 stay within the window */
	if (ZSTD_isError(ZSTD_CCtx_setParameter(out->zstd, ZSTD_c_compressionLevel, level)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(out->zstd, ZSTD_c_nbWorkers, WORKERS)))
		return error_set(err, ERR_INTERNAL, "zstd has no level %d", level);
	return 0;
}

static int set_up_tar(struct archive_out *out, struct error *err)
{
	out->tar = archive_write_new();
	bug_if(!out->tar);
	/* names are bytes, whatever they mean */
	if (archive_write_set_format_pax_restricted(out->tar) != ARCHIVE_OK ||
	    archive_write_set_format_option(out->tar, "pax", "hdrcharset", "BINARY") !=
		ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(out->tar, BLOCK) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(out->tar, 1) != ARCHIVE_OK ||
	    archive_write_open(out->tar, out, NULL, put, NULL) != ARCHIVE_OK)
		return error_set(
		    err, ERR_INTERNAL, "libarchive: %s", archive_error_string(out->tar));
	return 0;
}

struct archive_out *archive_out_new(
    int fd, const char *agent, struct warden_archive *archive, int level, struct error *err)
{
	struct archive_out *out = calloc(1, sizeof(*out));

	bug_if(!out);
	out->sealed = sealed_writer_new(fd, agent, archive);
	if (set_up_zstd(out, level, err) != 0 || set_up_tar(out, err) != 0)
		archive_out_destroy(&out);
	return out;
}

void archive_out_destroy(struct archive_out **out)
{
	if (!*out)
		return;
	/* nothing more is to be written */
	if ((*out)->err.code == ERR_NONE)
		error_set(&(*out)->err, ERR_INTERNAL, "given up");
	if ((*out)->tar)
		archive_write_free((*out)->tar);
	ZSTD_freeCCtx((*out)->zstd);
	sealed_writer_destroy(&(*out)->sealed);
	free(*out);
	*out = NULL;
}

static int failed(struct archive_out *out, struct error *err)
{
	if (out->err.code == ERR_NONE)
		return error_set(err, ERR_INTERNAL, "tar: %s", archive_error_string(out->tar));
	*err = out->err;
	return -1;
}

int archive_out_entry(struct archive_out *out, struct archive_entry *entry, struct error *err)
{
	return archive_write_header(out->tar, entry) == ARCHIVE_OK ? 0 : failed(out, err);
}

int archive_out_bytes(struct archive_out *out, const void *bytes, size_t len, struct error *err)
{
	return archive_write_data(out->tar, bytes, len) == (la_ssize_t)len ? 0 : failed(out, err);
}

int archive_out_finish(
    struct archive_out *out, uint8_t digest_r[SEALED_DIGEST], uint64_t *len_r, struct error *err)
{
	if (archive_write_close(out->tar) != ARCHIVE_OK || compress(out, NULL, 0, ZSTD_e_end) != 0)
		return failed(out, err);
	return sealed_finish(out->sealed, digest_r, len_r, err);
}
