#include "services/packer/archive_in.h"

#include <archive.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "services/packer/archive_out.h"
#include "services/packer/relay.h"

struct archive_in {
	struct archive *tar;
	struct error err; /* of the layers below tar; code ERR_NONE: none */
	struct relay *plain;
	pthread_t opening;
	bool is_opening;
	/* of the thread that opens, until it is joined */
	ZSTD_DCtx *zstd;
	struct sealed_reader *sealed;
	struct error open_err;
	ZSTD_inBuffer compressed;
	bool is_frame_done, has_ended;
};

static int refill(struct archive_in *in)
{
	const uint8_t *bytes;
	ssize_t len = sealed_read(in->sealed, &bytes, &in->open_err);

	if (len < 0)
		return -1;
	in->has_ended = len == 0;
	in->compressed = (ZSTD_inBuffer){len > 0 ? bytes : NULL, (size_t)len, 0};
	if (in->is_frame_done && !in->has_ended)
		return error_set(&in->open_err, ERR_INVALID, "the archive goes on after its end");
	if (!in->is_frame_done && in->has_ended)
		return error_set(&in->open_err, ERR_INVALID, "the archive's contents are cut off");
	return 0;
}

/* As much as there is room for; less at the end of the frame alone. */
static int unfold(struct archive_in *in, uint8_t *bytes_r, size_t *len_r)
{
	ZSTD_outBuffer out = {bytes_r, RELAY_BLOCK, 0};

	while (out.pos < out.size && !in->is_frame_done) {
		size_t before = out.pos;
		size_t left = ZSTD_decompressStream(in->zstd, &out, &in->compressed);
		if (ZSTD_isError(left))
			return error_set(&in->open_err, ERR_INVALID,
			    "the archive's contents: zstd: %s", ZSTD_getErrorName(left));
		in->is_frame_done = left == 0;
		/* what was taken in may have more to give, so that is asked for before there is more to take */
		if (out.pos == before && !in->is_frame_done && refill(in) != 0)
			return -1;
	}
	*len_r = out.pos;
	return 0;
}

/* What follows the last byte: nothing but the end of each layer, and that has to be there. */
static int check_end(struct archive_in *in)
{
	if (in->compressed.pos < in->compressed.size)
		return error_set(&in->open_err, ERR_INVALID, "the archive goes on after its end");
	return in->has_ended ? 0 : refill(in);
}

static void *open_all(void *arg)
{
	struct archive_in *in = arg;
	uint8_t *room;
	size_t len = 0;

	while (!in->is_frame_done && (room = relay_room(in->plain))) {
		if (unfold(in, room, &len) != 0)
			break;
		if (len > 0)
			relay_put(in->plain, len);
	}
	if (in->is_frame_done)
		check_end(in);
	relay_end(in->plain);
	return NULL;
}

static int join(struct archive_in *in)
{
	if (in->is_opening)
		bug_if(pthread_join(in->opening, NULL) != 0);
	in->is_opening = false;
	if (in->open_err.code == ERR_NONE)
		return 0;
	in->err = in->open_err;
	return -1;
}

static la_ssize_t get(struct archive *tar, void *arg, const void **bytes_r)
{
	struct archive_in *in = arg;
	const uint8_t *bytes;
	size_t len = relay_take(in->plain, &bytes);

	if (len == 0 && join(in) != 0) {
		archive_set_error(tar, EIO, "%s", in->err.text);
		return ARCHIVE_FATAL;
	}
	*bytes_r = len > 0 ? bytes : NULL;
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

static int set_up(struct archive_in *in, struct error *err)
{
	if (ZSTD_isError(ZSTD_DCtx_setParameter(in->zstd, ZSTD_d_windowLogMax, ARCHIVE_WINDOW_LOG)))
		return error_set(err, ERR_INTERNAL, "zstd has no such window");
	int rc = pthread_create(&in->opening, NULL, open_all, in);
	in->is_opening = rc == 0;
	if (rc != 0)
		return error_set(err, ERR_INTERNAL, "no thread: %s", strerror(rc));
	if (archive_read_support_format_tar(in->tar) != ARCHIVE_OK ||
	    archive_read_open(in->tar, in, NULL, get, NULL) != ARCHIVE_OK)
		return failed(in, err);
	return 0;
}

struct archive_in *archive_in_new(
    int fd, const char *agent, struct warden_archive *archive, struct error *err)
{
	struct archive_in *in = calloc(1, sizeof(*in));

	bug_if(!in);
	in->sealed = sealed_reader_new(fd, agent, archive);
	in->plain = relay_new();
	in->zstd = ZSTD_createDCtx();
	in->tar = archive_read_new();
	bug_if(!in->zstd || !in->tar);
	if (set_up(in, err) != 0)
		archive_in_destroy(&in);
	return in;
}

void archive_in_destroy(struct archive_in **in)
{
	if (!*in)
		return;
	relay_stop((*in)->plain);
	join(*in);
	if ((*in)->tar)
		archive_read_free((*in)->tar);
	ZSTD_freeDCtx((*in)->zstd);
	sealed_reader_destroy(&(*in)->sealed);
	relay_destroy(&(*in)->plain);
	free(*in);
	*in = NULL;
}

/* After the last entry there is nothing. */
static int check_rest(struct archive_in *in, struct error *err)
{
	const uint8_t *bytes;

	if (relay_take(in->plain, &bytes) > 0)
		return error_set(err, ERR_INVALID, "the archive goes on after its last file");
	return join(in) == 0 ? 0 : failed(in, err);
}

int archive_in_entry(struct archive_in *in, struct archive_entry **entry_r, struct error *err)
{
	int rc = archive_read_next_header(in->tar, entry_r);

	if (rc == ARCHIVE_EOF && in->err.code == ERR_NONE)
		return check_rest(in, err);
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
