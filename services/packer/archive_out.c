#include "services/packer/archive_out.h"

#include <archive.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "services/packer/relay.h"

#define TAR_BLOCK (128 * 1024)
#define JOB_BYTES \
	(2 << 20) /* of a worker's task; zstd's own four windows would take 70 MB more in all */
#define WORKERS 2 /* threads of zstd, beside the one that reads and scans and the one that seals */

struct archive_out {
	struct archive *tar;
	ZSTD_CCtx *zstd;
	struct error err; /* of the layers below tar; code ERR_NONE: none */
	struct relay *compressed;
	ZSTD_outBuffer room; /* in it */
	pthread_t sealing;
	bool is_sealing;
	/* of the thread that seals, until it is joined */
	struct sealed_writer *sealed;
	struct error seal_err;
};

static void *seal(void *arg)
{
	struct archive_out *out = arg;
	const uint8_t *bytes;
	size_t len;

	while ((len = relay_take(out->compressed, &bytes)) > 0)
		if (sealed_write(out->sealed, bytes, len, &out->seal_err) != 0)
			relay_stop(out->compressed);
	return NULL;
}

static int join(struct archive_out *out, struct error *err)
{
	if (out->is_sealing)
		bug_if(pthread_join(out->sealing, NULL) != 0);
	out->is_sealing = false;
	if (out->seal_err.code == ERR_NONE)
		return 0;
	*err = out->seal_err;
	return -1;
}

static int make_room(struct archive_out *out)
{
	if (out->room.pos > 0)
		relay_put(out->compressed, out->room.pos);
	out->room = (ZSTD_outBuffer){relay_room(out->compressed), RELAY_BLOCK, 0};
	return out->room.dst ? 0 : join(out, &out->err);
}

static int compress(struct archive_out *out, const void *bytes, size_t len, ZSTD_EndDirective end)
{
	ZSTD_inBuffer in = {bytes, len, 0};
	size_t left;

	do {
		if (out->room.pos == out->room.size && make_room(out) != 0)
			return -1;
		left = ZSTD_compressStream2(out->zstd, &out->room, &in, end);
		if (ZSTD_isError(left))
			return error_set(
			    &out->err, ERR_INTERNAL, "zstd: %s", ZSTD_getErrorName(left));
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
	    ZSTD_isError(ZSTD_CCtx_setParameter(out->zstd, ZSTD_c_nbWorkers, WORKERS)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(out->zstd, ZSTD_c_jobSize, JOB_BYTES)))
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
	    archive_write_set_bytes_per_block(out->tar, TAR_BLOCK) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(out->tar, 1) != ARCHIVE_OK ||
	    archive_write_open(out->tar, out, NULL, put, NULL) != ARCHIVE_OK)
		return error_set(
		    err, ERR_INTERNAL, "libarchive: %s", archive_error_string(out->tar));
	return 0;
}

static int set_up_seal(struct archive_out *out, struct error *err)
{
	int rc = pthread_create(&out->sealing, NULL, seal, out);

	out->is_sealing = rc == 0;
	return rc == 0 ? 0 : error_set(err, ERR_INTERNAL, "no thread: %s", strerror(rc));
}

struct archive_out *archive_out_new(
    int fd, const char *agent, struct warden_archive *archive, int level, struct error *err)
{
	struct archive_out *out = calloc(1, sizeof(*out));

	bug_if(!out);
	out->sealed = sealed_writer_new(fd, agent, archive);
	out->compressed = relay_new();
	if (set_up_zstd(out, level, err) != 0 || set_up_tar(out, err) != 0 ||
	    set_up_seal(out, err) != 0)
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
	relay_stop((*out)->compressed);
	join(*out, &(*out)->err);
	relay_destroy(&(*out)->compressed);
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
	if (out->room.pos > 0)
		relay_put(out->compressed, out->room.pos);
	relay_end(out->compressed);
	if (join(out, err) != 0)
		return -1;
	return sealed_finish(out->sealed, digest_r, len_r, err);
}
