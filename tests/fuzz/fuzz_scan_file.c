/* Files of agents, as the packer looks into them: compressed streams, SQLite, lines of base64. Nothing reads past its bounds, and a secret put in front is found whatever follows. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/scoped.h"
#include "proto/warden.h"
#include "services/packer/scan_internal.h"

#define PATH "llm/KEY"
#define VALUE "sk-test-Jq7Vw2Lx9Tn4Rb6Kd1Ys8Hp3"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static int file_of(const void *bytes, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		abort();
	return fd;
}

static struct scanner *make(void)
{
	const struct warden_file head = {strlen(VALUE), 0400, strlen(PATH)};
	uint8_t bytes[sizeof(head) + sizeof(PATH VALUE) - 1];

	if (sodium_init() < 0)
		abort();
	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), PATH VALUE, sizeof(PATH VALUE) - 1);
	scoped_fd int fd = file_of(bytes, sizeof(bytes));
	struct scanner *scanner = scanner_new(fd, NULL);
	if (!scanner)
		abort();
	scanner->budget = (struct scan_budget){16 << 20, 64, UINT64_MAX / 2, 0};
	return scanner;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct scanner *scanner;
	char what[SCAN_WHAT_MAX];

	if (!scanner)
		scanner = make();
	scoped_fd int fd = file_of(bytes, size);
	scan_file(scanner, fd, "name", what);
	/* in pieces */
	struct scan *scan = scan_begin(scanner);
	for (size_t at = 0, n; at < size; at += n) {
		n = 1 + bytes[at] % 61;
		if (n > size - at)
			n = size - at;
		if (!scan_bytes(scan, bytes + at, n, what))
			break;
	}
	scan_end(&scan, what);
	scan = scan_begin(scanner);
	scan_bytes(scan, VALUE, strlen(VALUE), what);
	scan_bytes(scan, bytes, size, what);
	if (scan_end(&scan, what))
		abort();
	return 0;
}
