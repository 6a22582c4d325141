/* scan_internal - what the files of the scan share. */
#ifndef PACKER_SCAN_INTERNAL_H
#define PACKER_SCAN_INTERNAL_H

#include <hs/hs.h>

#include "services/packer/scan.h"
#include "services/packer/scan_values.h"

#define SCAN_BLOCK ((size_t)256 << 10) /* bytes looked at in one go */
#define SCAN_DEPTH 3                   /* streams within streams that are unfolded */
#define SCAN_CHILDREN 4                /* unfolded at one time at each depth */
#define SCAN_CANDIDATES 512            /* beginnings of compressed streams tried in one block */

/* How much may be unfolded: bytes in and out, at all depths. Above it a file counts as one that cannot be looked into. */
struct scan_budget {
	uint64_t file_bytes, file_ratio; /* of one file: file_bytes + file_ratio * its bytes */
	uint64_t all_bytes, all_ratio;   /* of one scanner */
};

struct scanner {
	struct values values;
	hs_database_t *database; /* NULL: nothing to look for */
	hs_scratch_t *scratch;
	struct scan_budget budget;
	uint64_t bytes, work; /* so far */
	uint8_t *joined;      /* SCAN_BLOCK and some: of scan_join, used within one call */
};

/* ids of what begins a compressed stream come after those of the patterns */
enum scan_magic { MAGIC_GZIP, MAGIC_ZIP, MAGIC_ZSTD, MAGIC_XZ, MAGIC_BZIP2, MAGIC_ZLIB, MAGICS };

/* Lines of base64 or hex put together; state from one block to the next. */
struct scan_join {
	hs_stream_t *stream;
	bool is_in_run;
	unsigned breaks; /* characters of the line end that is being passed */
	bool is_escaped; /* it is written as \n */
};

struct unpack;
struct scan {
	struct scanner *scanner;
	struct scan *top; /* the one that is not within another; itself */
	unsigned depth;
	hs_stream_t *stream;
	struct scan_join join;
	uint64_t bytes, work; /* of top: so far, at all depths */
	uint64_t at;          /* bytes before the present block */
	uint8_t head[8];      /* first bytes */
	struct unpack *child[SCAN_CHILDREN];
	struct unpack
	    *zlib; /* git's packs and PDF, in which nothing else marks where streams begin */
	bool is_zlib;
	struct {
		uint8_t magic;
		uint32_t end; /* offset in the block behind the magic */
	} candidate[SCAN_CANDIDATES];
	size_t ncandidates;
	bool is_found;
	char what[SCAN_WHAT_MAX];
};

struct scan *scan_new(struct scanner *scanner, struct scan *top, unsigned depth);
/* One pass of Hyperscan; what it finds is noted in scan. */
void scan_pass(struct scan *scan, hs_stream_t *stream, const uint8_t *bytes, size_t len);
/* Found, with a text of this kind. */
void scan_refuse(struct scan *scan, const char *what);
/* What follows is not a continuation of what was. */
void scan_cut(struct scan *scan);
/* Counts bytes unfolded; false: too many, scan is refused. */
bool scan_spend(struct scan *scan, size_t len);

/* Lines that end after 60 characters or more of base64 (or hex, which are some of these): with LF, CR LF, or these written as \n in a string of JSON. */
void scan_join_bytes(struct scan *scan, const uint8_t *bytes, size_t len);

/* A compressed stream, begun by its magic (which is given here, not to unpack_bytes). */
struct unpack *unpack_new(struct scan *parent, enum scan_magic magic, bool is_start);
void unpack_destroy(struct unpack **unpack);
/* Returns how many bytes it took, 0 if it is none or damaged; is_over_r: it has ended, well or not, and wants no more. */
size_t unpack_bytes(struct unpack *unpack, const uint8_t *bytes, size_t len, bool *is_over_r);
/* Its end or the end of all: what its content still holds is looked at. */
void unpack_end(struct unpack *unpack);
/* The bytes that begin it. */
const uint8_t *unpack_magic(enum scan_magic magic, size_t *len_r);

/* SQLite (sqlite.org/fileformat2.html): values that go on on overflow pages, put together. */
struct sqlite_pages {
	int fd;
	uint64_t size; /* of the file */
	uint32_t page_size, usable;
	uint64_t budget;    /* overflow pages still to be read */
	uint8_t *page;      /* 64 KiB */
	struct scan *value; /* what is put together, one value after the other */
};
/* False: it is none. first: the first len bytes of the file. */
bool sqlite_pages_open(
    struct sqlite_pages *pages, struct scan *scan, int fd, const uint8_t *first, size_t len);
void sqlite_pages_close(struct sqlite_pages *pages);
/* A block of the file, that begins with a page. False: found; it is noted in pages->value. */
bool sqlite_pages_block(
    struct sqlite_pages *pages, const uint8_t *bytes, size_t len, uint64_t offset);

#endif
