#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/sandbox/probe.h"

/* What processes say of themselves is their own. */
static int is_of_a_process(const char *path)
{
	static const char *const own[] = {"/proc/self", "/proc/thread-self"};

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (strncmp(path, own[i], strlen(own[i])) == 0)
			return 1;
	return strncmp(path, "/proc/", 6) == 0 && isdigit((unsigned char)path[6]);
}

static int visit(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	char name[4200];

	(void)where;
	if (is_of_a_process(path))
		return FTW_SKIP_SUBTREE;
	if (kind == FTW_D || kind == FTW_DNR) {
		snprintf(name, sizeof(name), "%s/.try", path);
		int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
		if (fd < 0)
			return FTW_CONTINUE;
		close(fd);
		unlink(name);
		printf("folder %s\n", path);
		/* what is in a folder of its own is its own */
		return strcmp(path, "/") == 0 ? FTW_CONTINUE : FTW_SKIP_SUBTREE;
	}
	if (kind == FTW_F && S_ISREG(st->st_mode)) {
		int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
		if (fd >= 0 && close(fd) == 0)
			printf("file %s\n", path);
	}
	return FTW_CONTINUE;
}

int walk_run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return nftw("/", visit, 32, FTW_PHYS | FTW_ACTIONRETVAL);
}
