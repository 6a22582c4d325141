#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sandbox/probe.h"

#define CHUNK (1u << 20)

__attribute__((noreturn)) static int hog_fork(char **argv)
{
	long n = 0;

	(void)argv;
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		if (fork() < 0 && n++ % 10000 == 0)
			printf("fork %s\n", strerrorname_np(errno)), fflush(stdout);
	}
}

static int hog_memory(char **argv)
{
	(void)argv;
	for (size_t n = 1;; n++) {
		char *at =
		    mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED)
			return printf("mmap %s after %zu MiB\n", strerrorname_np(errno), n), 0;
		memset(at, (int)n, CHUNK);
	}
}

/* One file until no more goes into it; it stays. */
static int hog_disk(char **argv)
{
	static char chunk[CHUNK];
	char path[256];
	size_t all = 0;

	memset(chunk, 'x', sizeof(chunk));
	snprintf(path, sizeof(path), "%s/hog", argv[0]);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t got = 0;
	while (fd >= 0 && (got = write(fd, chunk, sizeof(chunk))) > 0)
		all += (size_t)got;
	return printf("%s after %zu\n", strerrorname_np(errno), all), 0;
}

static int hog_files(char **argv)
{
	char path[256];
	long n = 0;

	for (;; n++) {
		snprintf(path, sizeof(path), "%s/f%ld", argv[0], n);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		if (fd < 0)
			break;
		close(fd);
	}
	return printf("%s after %ld\n", strerrorname_np(errno), n), 0;
}

__attribute__((noreturn)) static int hog_spin(char **argv)
{
	(void)argv;
	for (int i = 0; i < 7 && fork() > 0; i++)
		;
	for (;;)
		__asm__ volatile("");
}

/* Holds every connection that it gets; tries for ever. */
__attribute__((noreturn)) static int hog_connect(char **argv)
{
	struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons((unsigned short)strtoul(argv[1], NULL, 10))};
	long n = 0;

	inet_pton(AF_INET, argv[0], &to.sin_addr);
	for (;;) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (fd < 0) {
			printf("%s after %ld\n", strerrorname_np(errno), n), fflush(stdout);
			for (int i = 3; i < 1024; i++)
				close(i);
			continue;
		}
		(void)connect(fd, (void *)&to, sizeof(to));
		n++;
	}
}

static int hog_log(char **argv)
{
	char line[1024];

	(void)argv;
	memset(line, 'l', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	/* that of the container, not of who started this */
	int fd = open("/proc/1/fd/1", O_WRONLY);
	if (fd < 0)
		fd = STDOUT_FILENO;
	while (write(fd, line, sizeof(line)) > 0 || errno == EAGAIN)
		;
	return printf("log %s\n", strerrorname_np(errno)), 0;
}

int hog_run(int argc, char **argv)
{
	static const struct {
		const char *name;
		int nargs;
		int (*run)(char **argv);
	} hogs[] = {{"fork", 0, hog_fork}, {"memory", 0, hog_memory}, {"disk", 1, hog_disk},
	    {"files", 1, hog_files}, {"spin", 0, hog_spin}, {"connect", 2, hog_connect},
	    {"log", 0, hog_log}};

	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(hogs); i++)
		if (strcmp(argv[1], hogs[i].name) == 0 && argc - 2 == hogs[i].nargs)
			return hogs[i].run(argv + 2);
	return 2;
}
