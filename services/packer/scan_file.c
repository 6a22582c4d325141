#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scoped.h"
#include "services/packer/scan_internal.h"

#define PAGE_MAX ((uint64_t)64 << 10)
#define HOLE_READ ((uint64_t)1 << 20) /* shorter ones are read as what they are, zeros */

struct reading {
	struct scan *scan;
	int fd;
	uint64_t size;
	struct sqlite_pages pages;
	bool is_sqlite;
	uint8_t *block;
};

static ssize_t read_block(int fd, uint8_t *bytes, size_t len, uint64_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, bytes + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Where the next data begins; the size if there is none. A file system without holes has data only. */
static uint64_t data_start(const struct reading *reading, uint64_t at)
{
	off_t data = lseek(reading->fd, (off_t)at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? reading->size : at;
	return (uint64_t)data;
}

static uint64_t data_end(const struct reading *reading, uint64_t at)
{
	off_t hole = lseek(reading->fd, (off_t)at, SEEK_HOLE);

	return hole <= (off_t)at ? reading->size : (uint64_t)hole;
}

static bool look_at(struct reading *reading, size_t len, uint64_t at, char what_r[SCAN_WHAT_MAX])
{
	struct scan *scan = reading->scan;

	if (!scan_bytes(scan, reading->block, len, what_r))
		return false;
	if (at == 0)
		reading->is_sqlite =
		    sqlite_pages_open(&reading->pages, scan, reading->fd, reading->block, len);
	if (!reading->is_sqlite || sqlite_pages_block(&reading->pages, reading->block, len, at))
		return true;
	memcpy(what_r, reading->pages.value->what, SCAN_WHAT_MAX);
	return false;
}

static bool read_range(
    struct reading *reading, uint64_t from, uint64_t end, char what_r[SCAN_WHAT_MAX])
{
	for (uint64_t at = from; at < end;) {
		size_t want = end - at < SCAN_BLOCK ? (size_t)(end - at) : SCAN_BLOCK;
		ssize_t n = read_block(reading->fd, reading->block, want, at);

		if (n < 0) {
			scan_refuse(reading->scan, "cannot be looked into: it cannot be read");
			memcpy(what_r, reading->scan->what, SCAN_WHAT_MAX);
			return false;
		}
		if (n == 0)
			return true;
		if (!look_at(reading, (size_t)n, at, what_r))
			return false;
		at += (uint64_t)n;
	}
	return true;
}

/* Nothing is looked for across a large hole. Ranges are widened to whole pages of the largest kind, for SQLite. */
static bool read_ranges(struct reading *reading, char what_r[SCAN_WHAT_MAX])
{
	for (uint64_t at = 0; at < reading->size;) {
		uint64_t data = data_start(reading, at);

		if (data >= reading->size)
			return true;
		uint64_t end = (data_end(reading, data) + PAGE_MAX - 1) / PAGE_MAX * PAGE_MAX;
		uint64_t from = data - at <= HOLE_READ ? at : data / PAGE_MAX * PAGE_MAX;

		if (from > at)
			scan_cut(reading->scan);
		if (end > reading->size)
			end = reading->size;
		if (!read_range(reading, from, end, what_r))
			return false;
		at = end;
	}
	return true;
}

static bool scan_name(struct scanner *scanner, const char *name, char what_r[SCAN_WHAT_MAX])
{
	struct scan *scan = scan_begin(scanner);
	char what[SCAN_WHAT_MAX];

	scan_bytes(scan, name, strlen(name), what);
	if (scan_end(&scan, what))
		return true;
	snprintf(what_r, SCAN_WHAT_MAX, "%.*s" SCAN_IN_NAME,
	    (int)(SCAN_WHAT_MAX - sizeof(SCAN_IN_NAME)), what);
	return false;
}

bool scan_is_in_name(const char *what)
{
	size_t len = strlen(what), end = strlen(SCAN_IN_NAME);

	return len >= end && strcmp(what + len - end, SCAN_IN_NAME) == 0;
}

bool scan_file(struct scanner *scanner, int fd, const char *name, char what_r[SCAN_WHAT_MAX])
{
	struct stat st;

	if (!scanner->database)
		return true;
	if (!scan_name(scanner, name, what_r))
		return false;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		snprintf(what_r, SCAN_WHAT_MAX, "cannot be looked into: it is no file");
		return false;
	}
	off_t place = lseek(fd, 0, SEEK_CUR);
	scoped_free uint8_t *block = malloc(SCAN_BLOCK);
	bug_if(!block);
	struct reading reading = {
	    .scan = scan_begin(scanner), .fd = fd, .size = (uint64_t)st.st_size, .block = block};
	char end[SCAN_WHAT_MAX];
	bool is_clean = read_ranges(&reading, what_r);
	sqlite_pages_close(&reading.pages);
	if (!scan_end(&reading.scan, end) && is_clean) {
		memcpy(what_r, end, SCAN_WHAT_MAX);
		is_clean = false;
	}
	lseek(fd, place, SEEK_SET);
	return is_clean;
}
