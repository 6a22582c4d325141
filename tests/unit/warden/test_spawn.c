/* Programs that are started, and which descriptors they get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/error.h"
#include "services/warden/spawn.h"

#define FIRST 60 /* numbers around those at which spawn keeps them for a while */
#define LAST 80

/* A file of that one letter, at that number. */
static int file_at(int number, char letter)
{
	int fd = memfd_create("letter", 0);

	assert_int_equal(pwrite(fd, &letter, 1, 0), 1);
	assert_int_equal(dup2(fd, number), number);
	close(fd);
	return number;
}

static void each_gets_its_place_whatever_number_it_had(void **state)
{
	static const char *const argv[] = {
	    "/bin/cat", "/dev/fd/3", "/dev/fd/4", "/dev/fd/5", "/dev/fd/6", "/dev/fd/7", NULL};
	struct spawn spawn = {.argv = argv, .cgroup_fd = -1, .fds = {-1, -1, -1}, .nfds = 8};
	struct error err;
	char said[8] = "";
	int pair[2];

	(void)state;
	for (int first = FIRST; first + 8 < LAST; first++) {
		assert_int_equal(pipe(pair), 0);
		spawn.fds[1] = dup2(pair[1], first + 5);
		for (int i = 0; i < 5; i++)
			spawn.fds[3 + i] = file_at(first + 4 - i, (char)('a' + i));
		pid_t pid = spawn_exec(&spawn, &err);
		assert_true(pid > 0);
		close(pair[1]);
		for (int i = 0; i < 6; i++)
			close(first + i);
		assert_int_equal(spawn_wait(pid, "cat", 10000, &err), 0);
		assert_int_equal(read(pair[0], said, sizeof(said)), 5);
		assert_memory_equal(said, "abcde", 5);
		close(pair[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_gets_its_place_whatever_number_it_had)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
