/* scan_files SECRETS - looks for the secrets in SECRETS (as beside WARDEN_START, proto/warden.h) in the files named on standard input, one a line, and says of each "PATH<tab>what was found", or
 * "PATH<tab>" alone; then, on standard error, how many patterns that were, how long a processor took to prepare them and to look through the files. For tests and measurements. */
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/scoped.h"
#include "services/packer/scan.h"

static double cpu_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static off_t look_at(struct scanner *scanner, const char *path)
{
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char what[SCAN_WHAT_MAX] = "";
	struct stat st = {.st_size = 0};

	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return 0;
	scan_file(scanner, fd, "a file", what);
	printf("%s\t%s\n", path, what);
	fflush(stdout);
	return st.st_size;
}

int main(int argc, char **argv)
{
	struct error err = {0};
	char path[4096];
	off_t bytes = 0;

	scoped_fd int secrets = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	if (secrets < 0 || sodium_init() < 0) {
		fprintf(stderr, "usage: scan_files SECRETS <paths\n");
		return 2;
	}
	double begin = cpu_s();
	struct scanner *scanner = scanner_new(secrets, &err);
	if (!scanner) {
		fprintf(stderr, "scan_files: %s\n", err.text);
		return 1;
	}
	double ready = cpu_s();
	while (fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = '\0';
		bytes += look_at(scanner, path);
	}
	double end = cpu_s();
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	fprintf(stderr,
	    "%zu patterns in %.0f ms; %.1f MB in %.2f s, %.2f GB/s; %ld MiB of memory\n",
	    scanner_patterns(scanner), (ready - begin) * 1e3, (double)bytes / 1e6, end - ready,
	    (double)bytes / 1e9 / (end - ready), usage.ru_maxrss / 1024);
	scanner_destroy(&scanner);
	return 0;
}
