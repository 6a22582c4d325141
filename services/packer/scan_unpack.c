#include <bzlib.h>
#include <lzma.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "services/packer/scan_internal.h"

#define OUT_BYTES ((size_t)64 << 10)
#define MEMORY_MAX ((uint64_t)160 << 20) /* xz -9 needs 65 MiB */
#define ZSTD_WINDOW_LOG 27               /* zstd --ultra -22 */
#define ZIP_HEAD 30
#define ZIP_DEFLATED 8

enum step { STEP_ON, STEP_OVER, STEP_BROKEN, STEP_HUGE };

struct unpack {
	struct scan *parent, *scan; /* scan: of what it unfolds to */
	enum scan_magic magic;
	bool is_start; /* the stream above it is this and nothing else */
	bool is_open, is_over, is_broken;
	uint8_t *out;
	union {
		z_stream z;
		lzma_stream xz;
		bz_stream bz;
		ZSTD_DStream *zstd;
	} u;
	/* zip: the local header, then what is skipped before the data */
	uint8_t head[ZIP_HEAD];
	size_t head_len, skip;
};

/* bzip2: any level; the one that is there stands before the magic of its first block, which is looked for */
static const struct {
	const char *bytes;
	size_t len;
} magics[MAGICS] = {
    [MAGIC_GZIP] = {"\x1f\x8b\x08", 3},
    [MAGIC_ZIP] = {"PK\x03\x04", 4},
    [MAGIC_ZSTD] = {"\x28\xb5\x2f\xfd", 4},
    [MAGIC_XZ] = {"\xfd"
		  "7zXZ\0",
	6},
    [MAGIC_BZIP2] = {"1AY&SY", 6},
    [MAGIC_ZLIB] = {"", 0},
};

const uint8_t *unpack_magic(enum scan_magic magic, size_t *len_r)
{
	*len_r = magics[magic].len;
	return (const uint8_t *)magics[magic].bytes;
}

static bool open_stream(struct unpack *unpack)
{
	switch (unpack->magic) {
	case MAGIC_GZIP:
		return inflateInit2(&unpack->u.z, 16 + MAX_WBITS) == Z_OK;
	case MAGIC_ZIP:
		return inflateInit2(&unpack->u.z, -MAX_WBITS) == Z_OK;
	case MAGIC_ZLIB:
		return inflateInit2(&unpack->u.z, MAX_WBITS) == Z_OK;
	case MAGIC_XZ:
		return lzma_stream_decoder(&unpack->u.xz, MEMORY_MAX, 0) == LZMA_OK;
	case MAGIC_BZIP2:
		return BZ2_bzDecompressInit(&unpack->u.bz, 0, 0) == BZ_OK;
	case MAGIC_ZSTD:
		unpack->u.zstd = ZSTD_createDStream();
		return unpack->u.zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(
					     unpack->u.zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG));
	case MAGICS:
		break;
	}
	return false;
}

static void close_stream(struct unpack *unpack)
{
	if (!unpack->is_open)
		return;
	unpack->is_open = false;
	switch (unpack->magic) {
	case MAGIC_GZIP:
	case MAGIC_ZIP:
	case MAGIC_ZLIB:
		inflateEnd(&unpack->u.z);
		break;
	case MAGIC_XZ:
		lzma_end(&unpack->u.xz);
		break;
	case MAGIC_BZIP2:
		BZ2_bzDecompressEnd(&unpack->u.bz);
		break;
	case MAGIC_ZSTD:
		ZSTD_freeDStream(unpack->u.zstd);
		break;
	case MAGICS:
		break;
	}
}

static enum step step_zlib(z_stream *z, const uint8_t **in, size_t *left, uint8_t *out, size_t *n_r)
{
	union {
		const uint8_t *from;
		Bytef *to;
	} next = {.from = *in};

	z->next_in = next.to;
	z->avail_in = (uInt)*left;
	z->next_out = out;
	z->avail_out = OUT_BYTES;
	int rc = inflate(z, Z_NO_FLUSH);
	*in += *left - z->avail_in;
	*left = z->avail_in;
	*n_r = OUT_BYTES - z->avail_out;
	if (rc == Z_STREAM_END)
		return STEP_OVER;
	return rc == Z_OK || rc == Z_BUF_ERROR ? STEP_ON : STEP_BROKEN;
}

static enum step step_xz(
    lzma_stream *xz, const uint8_t **in, size_t *left, uint8_t *out, size_t *n_r)
{
	xz->next_in = *in;
	xz->avail_in = *left;
	xz->next_out = out;
	xz->avail_out = OUT_BYTES;
	lzma_ret rc = lzma_code(xz, LZMA_RUN);
	*in += *left - xz->avail_in;
	*left = xz->avail_in;
	*n_r = OUT_BYTES - xz->avail_out;
	if (rc == LZMA_STREAM_END)
		return STEP_OVER;
	if (rc == LZMA_MEMLIMIT_ERROR)
		return STEP_HUGE;
	return rc == LZMA_OK || rc == LZMA_BUF_ERROR ? STEP_ON : STEP_BROKEN;
}

static enum step step_bzip2(
    bz_stream *bz, const uint8_t **in, size_t *left, uint8_t *out, size_t *n_r)
{
	union {
		const uint8_t *from;
		char *to;
	} next = {.from = *in};

	bz->next_in = next.to;
	bz->avail_in = (unsigned)*left;
	bz->next_out = (char *)out;
	bz->avail_out = OUT_BYTES;
	int rc = BZ2_bzDecompress(bz);
	*in += *left - bz->avail_in;
	*left = bz->avail_in;
	*n_r = OUT_BYTES - bz->avail_out;
	if (rc == BZ_STREAM_END)
		return STEP_OVER;
	return rc == BZ_OK ? STEP_ON : STEP_BROKEN;
}

static enum step step_zstd(
    ZSTD_DStream *zstd, const uint8_t **in, size_t *left, uint8_t *out, size_t *n_r)
{
	ZSTD_inBuffer from = {*in, *left, 0};
	ZSTD_outBuffer to = {out, OUT_BYTES, 0};
	size_t rc = ZSTD_decompressStream(zstd, &to, &from);

	*in += from.pos;
	*left -= from.pos;
	*n_r = to.pos;
	if (ZSTD_isError(rc))
		return ZSTD_getErrorCode(rc) == ZSTD_error_frameParameter_windowTooLarge
			   ? STEP_HUGE
			   : STEP_BROKEN;
	return rc == 0 ? STEP_OVER : STEP_ON;
}

static enum step step(struct unpack *unpack, const uint8_t **in, size_t *left, size_t *n_r)
{
	switch (unpack->magic) {
	case MAGIC_XZ:
		return step_xz(&unpack->u.xz, in, left, unpack->out, n_r);
	case MAGIC_BZIP2:
		return step_bzip2(&unpack->u.bz, in, left, unpack->out, n_r);
	case MAGIC_ZSTD:
		return step_zstd(unpack->u.zstd, in, left, unpack->out, n_r);
	default:
		return step_zlib(&unpack->u.z, in, left, unpack->out, n_r);
	}
}

/* False: found, or more than may be. */
static bool look_at(struct unpack *unpack, size_t n)
{
	char what[SCAN_WHAT_MAX];

	if (n == 0)
		return true;
	if (!unpack->scan)
		unpack->scan = scan_new(
		    unpack->parent->scanner, unpack->parent->top, unpack->parent->depth + 1);
	if (!scan_spend(unpack->parent, n))
		return false;
	if (scan_bytes(unpack->scan, unpack->out, n, what))
		return true;
	scan_refuse(unpack->parent, what);
	return false;
}

static void run(struct unpack *unpack, const uint8_t **in, size_t *left)
{
	enum step step_now = STEP_ON;

	while (step_now == STEP_ON) {
		size_t n = 0, before = *left;

		step_now = step(unpack, in, left, &n);
		if (!scan_spend(unpack->parent, before - *left) || !look_at(unpack, n))
			step_now = STEP_BROKEN;
		else if (step_now == STEP_ON && *left == 0 && n < OUT_BYTES)
			return;
		else if (step_now == STEP_ON && n == 0 && before == *left)
			step_now = STEP_BROKEN;
	}
	if (step_now == STEP_HUGE && unpack->is_start)
		scan_refuse(
		    unpack->parent, "cannot be looked into: takes too much memory to unpack");
	unpack->is_over = true;
	unpack->is_broken = step_now != STEP_OVER;
}

/* The local header of a zip's member: .docx, .jar and the like are such. */
static bool skip_zip_head(struct unpack *unpack, const uint8_t **in, size_t *left)
{
	const uint8_t *head = unpack->head;

	while (*left > 0 && unpack->head_len < ZIP_HEAD) {
		unpack->head[unpack->head_len++] = *(*in)++;
		--*left;
		if (unpack->head_len == ZIP_HEAD) {
			unpack->skip =
			    (size_t)(head[26] | head[27] << 8) + (size_t)(head[28] | head[29] << 8);
			/* what is stored was seen already; what is encrypted is nobody's to read */
			unpack->is_over = (head[8] | head[9] << 8) != ZIP_DEFLATED || head[6] & 1;
		}
	}
	size_t n = *left < unpack->skip ? *left : unpack->skip;
	*in += n, *left -= n;
	unpack->skip -= n;
	return unpack->head_len == ZIP_HEAD && unpack->skip == 0 && !unpack->is_over;
}

struct unpack *unpack_new(struct scan *parent, enum scan_magic magic, bool is_start)
{
	/* what stands before the block's magic that is looked for: the level does not matter to the largest */
	const uint8_t *text =
	    (const uint8_t *)(magic == MAGIC_BZIP2 ? "BZh91AY&SY" : magics[magic].bytes);
	size_t len = magic == MAGIC_BZIP2 ? 10 : magics[magic].len;
	struct unpack *unpack = calloc(1, sizeof(*unpack));
	bool is_over;

	bug_if(!unpack);
	unpack->parent = parent;
	unpack->magic = magic;
	unpack->is_start = is_start;
	unpack->out = malloc(OUT_BYTES);
	bug_if(!unpack->out);
	unpack->is_open = open_stream(unpack);
	if (!unpack->is_open)
		unpack->is_over = true;
	if (len > 0)
		unpack_bytes(unpack, text, len, &is_over);
	return unpack;
}

size_t unpack_bytes(struct unpack *unpack, const uint8_t *bytes, size_t len, bool *is_over_r)
{
	const uint8_t *in = bytes;
	size_t left = len;

	if (!unpack->is_over && (unpack->magic != MAGIC_ZIP || skip_zip_head(unpack, &in, &left)))
		run(unpack, &in, &left);
	*is_over_r = unpack->is_over;
	return unpack->is_broken ? 0 : len - left;
}

void unpack_end(struct unpack *unpack)
{
	char what[SCAN_WHAT_MAX];

	if (unpack->scan && !scan_end(&unpack->scan, what))
		scan_refuse(unpack->parent, what);
}

void unpack_destroy(struct unpack **unpack)
{
	struct unpack *u = *unpack;

	if (!u)
		return;
	*unpack = NULL;
	unpack_end(u);
	close_stream(u);
	sodium_memzero(u->out, OUT_BYTES);
	free(u->out);
	free(u);
}
