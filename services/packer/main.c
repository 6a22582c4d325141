/* multiclaw-packer - see proto/packer.h and README.md. Started by warden alone; has no settings. */
#include <fcntl.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <sodium.h>
#include <sys/stat.h>

#include "common/confine.h"
#include "common/log.h"
#include "services/packer/confinement.h"
#include "services/packer/pack.h"
#include "services/packer/unpack.h"

#define PIPE_BYTES (1 << 20)

static void pack(struct order *order, int temporary, struct report *report)
{
	struct error err = {0};
	struct scanner *scanner = scanner_new(PACKER_SECRETS, &err);

	if (!scanner) {
		report_end(report, WARDEN_NOT_SAVED, NULL, err.text);
		return;
	}
	close(PACKER_SECRETS);
	pack_run(order, scanner, PACKER_ROOT, PACKER_ARCHIVE, temporary, report);
	scanner_destroy(&scanner);
}

/* What a library loads by itself it loads now: from here on files are the agent's. */
static void prepare(struct error *err)
{
	log_open("packer", NULL, LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	mallopt(M_ARENA_MAX, 1);
	/* memory that was given back would be asked for again, a page at a time */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	mallopt(M_TOP_PAD, 1 << 20);
	umask(0);
	setlocale(LC_ALL, "C.UTF-8");
	if (confine_early(err) != 0)
		fatal("%s", err->text);
	if (sodium_init() < 0)
		fatal("libsodium does not start");
}

int main(void)
{
	static struct order order;
	struct report report;
	struct error err = {0};
	int temporary = -1;

	prepare(&err);
	if (order_read(&order, &err) != 0 ||
	    confinement_enter(order.said.uid, order.said.gid, order.said.is_unpacking, &err) != 0)
		fatal("%s", err.text);
	/* who reads or writes at the other end is waited for less often; as large as anybody may make it */
	fcntl(PACKER_ARCHIVE, F_SETPIPE_SZ, PIPE_BYTES);
	if (!order.said.is_unpacking)
		temporary = openat(PACKER_ROOT, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (confinement_calls(order.said.is_unpacking, &err) != 0)
		fatal("%s", err.text);
	report_open(&report, PACKER_REPORT);
	if (order.said.is_unpacking)
		unpack_run(&order, PACKER_ROOT, PACKER_ARCHIVE, &report);
	else
		pack(&order, temporary, &report);
	if (report_done(&report, &err) != 0)
		fatal("%s", err.text);
	return report.said.outcome == WARDEN_MADE || report.said.outcome == WARDEN_UNCHANGED ? 0
											     : 1;
}
