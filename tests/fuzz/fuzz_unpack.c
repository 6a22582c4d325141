/* What a packer is given to unpack. The first byte chooses the layer that the rest is: the sealed stream as it is, what is sealed with the right key (zstd), or what is in that (tar). Nothing appears
 * outside the tree, and what was refused is said to be damaged. */
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "common/scoped.h"
#include "services/packer/sealed.h"
#include "services/packer/unpack.h"
#include "tests/unit/common/scratch.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define AGENT "abcdefghijklmnopqrstuvwxyz234567"

static int home; /* where its own files are */
static char above[] = "/tmp/fuzz-unpack.XXXXXX";

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	signal(SIGPIPE, SIG_IGN);
	home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return home < 0 || sodium_init() < 0 || !mkdtemp(above) ? -1 : 0;
}

static struct warden_archive archive_named(void)
{
	struct warden_archive archive = {.number = 1, .boot = "b", .wallet = "w", .period = 2};

	memset(archive.key, 'k', sizeof(archive.key));
	return archive;
}

static void put(int fd, const uint8_t *bytes, size_t len, uint8_t layer)
{
	struct warden_archive archive = archive_named();
	uint8_t digest[SEALED_DIGEST];
	struct error err;
	uint64_t wire;

	if (layer == 0) {
		(void)!write(fd, bytes, len);
		return;
	}
	size_t room = ZSTD_compressBound(len);
	scoped_free uint8_t *folded = malloc(room);
	if (layer == 2) {
		len = ZSTD_compress(folded, room, bytes, len, 1);
		bytes = folded;
	}
	struct sealed_writer *writer = sealed_writer_new(fd, AGENT, &archive);
	if (sealed_write(writer, bytes, len, &err) != 0 ||
	    sealed_finish(writer, digest, &wire, &err) != 0)
		abort();
	sealed_writer_destroy(&writer);
}

static void check(const struct report *report, uint8_t layer)
{
	const struct packer_report *said = &report->said;

	/* nobody has the key who could make one that opens */
	if (layer == 0 && said->outcome == WARDEN_MADE)
		abort();
	if (said->is_damaged && said->outcome != WARDEN_NOT_SAVED)
		abort();
	if (said->bytes > 1 << 20)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct order order;
	struct report report;

	if (size < 1)
		return 0;
	scoped_fd int archive = memfd_create("archive", MFD_CLOEXEC);
	put(archive, bytes + 1, size - 1, bytes[0] % 3);
	lseek(archive, 0, SEEK_SET);
	if (chdir(above) != 0 || mkdir("tree", 0700) != 0 || chdir("tree") != 0)
		abort();
	scoped_fd int root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	order.said = (struct packer_order){
	    .is_unpacking = true, .bytes_max = 1 << 20, .agent = AGENT, .archive = archive_named()};
	report_open(&report, -1);
	unpack_run(&order, root, archive, &report);
	check(&report, bytes[0] % 3);
	if (chdir(above) != 0 || scratch_remove("tree") != 0)
		abort();
	/* the tree was all that there was */
	if (rmdir(above) != 0 || mkdir(above, 0700) != 0 || fchdir(home) != 0)
		abort();
	return 0;
}
