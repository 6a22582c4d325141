#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "services/packer/scan_internal.h"

#define HEAD 100 /* bytes of the database's header, on the first page */
#define PAGE_MAX ((size_t)64 << 10)
#define PASSES \
	2 /* how many times as many pages as there are may be read along chains: more are in a damaged one only */

enum page_kind { INDEX_INNER = 2, TABLE_INNER = 5, INDEX_LEAF = 10, TABLE_LEAF = 13 };

static uint32_t number16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t number32(const uint8_t *at)
{
	return number16(at) << 16 | number16(at + 2);
}

bool sqlite_pages_open(
    struct sqlite_pages *pages, struct scan *scan, int fd, const uint8_t *first, size_t len)
{
	struct stat st;

	static const char magic[16] = "SQLite format 3";

	if (len < HEAD || memcmp(first, magic, sizeof(magic)) != 0 || fstat(fd, &st) != 0)
		return false;
	uint64_t size = (uint64_t)st.st_size;
	uint32_t page_size = number16(first + 16) == 1 ? PAGE_MAX : number16(first + 16);
	if (page_size < 512 || (page_size & (page_size - 1)) || page_size - first[20] < 480)
		return false;
	*pages = (struct sqlite_pages){.fd = fd,
	    .size = size,
	    .page_size = page_size,
	    .usable = page_size - first[20],
	    .budget = 16 + PASSES * (size / page_size),
	    .page = malloc(PAGE_MAX),
	    .value = scan_new(scan->scanner, scan, 0)};
	bug_if(!pages->page);
	return true;
}

void sqlite_pages_close(struct sqlite_pages *pages)
{
	char what[SCAN_WHAT_MAX];

	free(pages->page);
	if (pages->value)
		scan_end(&pages->value, what);
	pages->page = NULL;
}

/* 0: it does not end within the page. */
static size_t read_varint(const uint8_t *at, const uint8_t *end, uint64_t *value_r)
{
	uint64_t value = 0;

	for (size_t i = 0; i < 9 && at + i < end; i++) {
		if (i == 8) {
			*value_r = value << 8 | at[i];
			return 9;
		}
		value = value << 7 | (at[i] & 0x7f);
		if (!(at[i] & 0x80)) {
			*value_r = value;
			return i + 1;
		}
	}
	return 0;
}

/* Bytes of a payload that are on the page itself. */
static uint64_t local_len(const struct sqlite_pages *pages, uint64_t payload, bool is_table)
{
	uint64_t usable = pages->usable;
	uint64_t most = is_table ? usable - 35 : (usable - 12) * 64 / 255 - 23;
	uint64_t least = (usable - 12) * 32 / 255 - 23;

	if (payload <= most)
		return payload;
	uint64_t len = least + (payload - least) % (usable - 4);
	return len <= most ? len : least;
}

static bool add(struct sqlite_pages *pages, const uint8_t *bytes, size_t len)
{
	char what[SCAN_WHAT_MAX];

	return scan_bytes(pages->value, bytes, len, what);
}

/* From page to page, several in one read where they follow each other. */
static bool follow(struct sqlite_pages *pages, uint32_t next, uint64_t left)
{
	uint32_t first = 0, have = 0; /* pages in pages->page */

	while (left > 0 && next > 0 && pages->budget > 0) {
		uint64_t part = pages->usable - 4, at = (uint64_t)(next - 1) * pages->page_size;

		if (next < first || next - first >= have) {
			uint64_t want = (1 + left / part) * pages->page_size;

			if (at >= pages->size)
				return true;
			ssize_t n = pread(pages->fd, pages->page,
			    want < PAGE_MAX ? (size_t)want : PAGE_MAX, (off_t)at);
			first = next;
			have = n < 0 ? 0 : (uint32_t)((size_t)n / pages->page_size);
			if (have == 0)
				return true;
		}
		const uint8_t *page = pages->page + (size_t)(next - first) * pages->page_size;
		uint64_t len = left < part ? left : part;

		pages->budget--;
		if (!add(pages, page + 4, (size_t)len))
			return false;
		left -= len;
		next = number32(page);
	}
	return true;
}

static bool read_cell(
    struct sqlite_pages *pages, const uint8_t *at, const uint8_t *end, uint8_t kind)
{
	uint64_t payload, rowid;
	bool is_table = kind == TABLE_LEAF;

	at += kind == INDEX_INNER ? 4 : 0;
	if (at >= end)
		return true;
	size_t n = read_varint(at, end, &payload);
	at += n;
	size_t m = n && is_table ? read_varint(at, end, &rowid) : 0;
	at += m;
	if (n == 0 || (is_table && m == 0) || payload > UINT32_MAX)
		return true;
	uint64_t local = local_len(pages, payload, is_table);
	/* what is whole on its page was seen with the page */
	if (local == payload || local + 4 > (uint64_t)(end - at))
		return true;
	if (!add(pages, at, (size_t)local) || !follow(pages, number32(at + local), payload - local))
		return false;
	scan_cut(pages->value);
	return !pages->value->is_found;
}

static bool read_page(struct sqlite_pages *pages, const uint8_t *page, bool is_first)
{
	const uint8_t *head = page + (is_first ? HEAD : 0), *end = page + pages->usable;
	uint8_t kind = head[0];
	uint32_t cells = number16(head + 3);
	const uint8_t *pointers = head + (kind == INDEX_INNER ? 12 : 8);

	if (kind != INDEX_INNER && kind != INDEX_LEAF && kind != TABLE_LEAF)
		return true;
	for (uint32_t i = 0; i < cells && pointers + 2 * i + 2 <= end; i++) {
		uint32_t offset = number16(pointers + 2 * i);

		if (offset < pages->usable && !read_cell(pages, page + offset, end, kind))
			return false;
	}
	return true;
}

bool sqlite_pages_block(
    struct sqlite_pages *pages, const uint8_t *bytes, size_t len, uint64_t offset)
{
	if (offset % pages->page_size != 0)
		return true;
	for (size_t at = 0; len - at >= pages->page_size; at += pages->page_size)
		if (!read_page(pages, bytes + at, offset + at == 0))
			return false;
	return true;
}
