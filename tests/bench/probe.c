/* probe - when does each router stop allowing? Polls the decision of one session at several addresses and prints, per address, the Unix
 * microsecond at which the first answer other than 200 came.
 *
 *	probe SECONDS REQUEST-FILE ADDRESS...
 * ADDRESS is unix:PATH. A poll every 50 us or so per address; "polling" is printed once every address has answered 200. Exits 1 if an address
 * never allowed, or still allows after SECONDS.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES_MAX 16

static uint64_t unix_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000;
}

static int connect_to(const char *address)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s",
	    address + (strncmp(address, "unix:", 5) == 0 ? 5 : 0));
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror(address);
		exit(1);
	}
	return fd;
}

static int ask(int fd, const char *request, size_t len)
{
	char buf[8192];
	ssize_t n;

	if (write(fd, request, len) != (ssize_t)len || (n = read(fd, buf, sizeof(buf) - 1)) < 12)
		return 0;
	buf[n] = '\0';
	return (int)strtol(buf + 9, NULL, 10);
}

int main(int argc, char **argv)
{
	static char request[65536];
	int fds[ADDRESSES_MAX], n = argc - 3, left = n;
	uint64_t denied_at[ADDRESSES_MAX] = {0};
	const struct timespec pause = {.tv_nsec = 50000};

	FILE *file = argc >= 4 && n <= ADDRESSES_MAX ? fopen(argv[2], "re") : NULL;
	size_t len = file ? fread(request, 1, sizeof(request), file) : 0;
	if (!len) {
		fprintf(stderr, "usage: probe SECONDS REQUEST-FILE ADDRESS...\n");
		return 2;
	}
	fclose(file);
	for (int i = 0; i < n; i++) {
		fds[i] = connect_to(argv[3 + i]);
		if (ask(fds[i], request, len) != 200) {
			fprintf(stderr, "%s does not allow\n", argv[3 + i]);
			return 1;
		}
	}
	puts("polling");
	fflush(stdout);
	uint64_t until = unix_us() + (uint64_t)(strtod(argv[1], NULL) * 1e6);
	while (left && unix_us() < until) {
		for (int i = 0; i < n; i++) {
			if (denied_at[i] || ask(fds[i], request, len) == 200)
				continue;
			denied_at[i] = unix_us();
			left--;
		}
		nanosleep(&pause, NULL);
	}
	for (int i = 0; i < n; i++)
		printf("%lu\n", denied_at[i]);
	return left != 0;
}
