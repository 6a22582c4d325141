/* Those who ask in earnest: libc (getent) and node (libc's way and c-ares' way), in a network namespace whose resolv.conf names the resolver. */
#include "tests/unit/sandbox/resolver_world.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scoped.h"

#define RESOLVER "127.0.0.53"

static struct world world;
static bool is_inside;

/* With an address that is not loopback's, or AI_ADDRCONFIG takes the host for one without IPv4. */
static bool bring_lo_up(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP}, more = {.ifr_name = "lo:1"};
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0ad50003)};
	scoped_fd int fd = socket(AF_INET, SOCK_DGRAM, 0);
	memcpy(&more.ifr_addr, &address, sizeof(address));
	return ioctl(fd, SIOCSIFFLAGS, &lo) == 0 && ioctl(fd, SIOCSIFADDR, &more) == 0;
}

static bool replace_resolv_conf(void)
{
	char path[] = "/tmp/multiclaw-resolv-XXXXXX";
	scoped_fd int fd = mkstemp(path);
	dprintf(fd, "nameserver " RESOLVER "\n");
	fchmod(fd, 0644);
	bool is_done = mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) == 0 &&
		       mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0;
	unlink(path);
	return is_done;
}

static int enter(void **state)
{
	(void)state;
	is_inside =
	    unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 && bring_lo_up() && replace_resolv_conf();
	return 0;
}

static int open_world(void **state)
{
	(void)state;
	if (is_inside)
		world_open_at(&world, NULL, RESOLVER, 53);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	if (is_inside)
		world_close(&world);
	return 0;
}

struct run {
	int fd;
	size_t len;
	char text[1024];
	int status;
};

static void on_output(evutil_socket_t fd, short what, void *arg)
{
	struct run *run = arg;
	ssize_t n = read(fd, run->text + run->len, sizeof(run->text) - 1 - run->len);
	(void)what;
	if (n <= 0)
		event_base_loopbreak(world.base);
	else
		run->len += (size_t)n;
}

/* Runs a command while the resolver serves it. */
static struct run run(const char *const argv[])
{
	struct run run = {0};
	int pipes[2];
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pipes[1], 1);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(pipes[1]);
	struct event *output =
	    event_new(world.base, pipes[0], EV_READ | EV_PERSIST, on_output, &run);
	event_add(output, NULL);
	event_base_dispatch(world.base);
	event_free(output);
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &run.status, 0), pid);
	run.status = WIFEXITED(run.status) ? WEXITSTATUS(run.status) : -1;
	return run;
}

static void libc_is_content(void **state)
{
	(void)state;
	static const struct {
		const char *database, *name, *address; /* NULL: there is none */
	} cases[] = {
	    {"ahosts", "plain.example", "8.8.8.8"},
	    {"ahostsv4", "chain.example", "9.9.9.9"},
	    {"hosts", "plain.example", "8.8.8.8"},
	    {"ahosts", "many.example", "8.8.8.7"},
	    {"ahostsv6", "plain.example", NULL},
	    {"ahosts", "nothing.example", NULL},
	    {"ahosts", "absent.example", NULL},
	    {"ahosts", "private.example", NULL},
	    {"ahosts", "broken.example", NULL},
	};
	if (!is_inside)
		skip();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t begin = clock_boot_ms();
		struct run got =
		    run((const char *[]){"getent", cases[i].database, cases[i].name, NULL});
		if (got.status != (cases[i].address ? 0 : 2) ||
		    (cases[i].address && !strstr(got.text, cases[i].address)))
			fail_msg(
			    "%s %s: %d %s", cases[i].database, cases[i].name, got.status, got.text);
		assert_true(
		    clock_boot_ms() - begin < 4000); /* it did not wait for another answer */
	}
	assert_int_equal(world_count(&world, "malformed"), 0);
}

#define LOOKUP(name) "d.lookup('" name "',{all:true}).then(a=>a.map(x=>x.address).join(' '))"

static void node_is_content(void **state)
{
	(void)state;
	static const struct {
		const char *what, *answer;
	} cases[] = {
	    {LOOKUP("plain.example"), "8.8.8.8"},
	    {LOOKUP("absent.example"), "ENOTFOUND"},
	    {LOOKUP("private.example"), "ENOTFOUND"},
	    {"d.resolve4('chain.example')", "9.9.9.9"},
	    {"d.resolve4('many.example').then(a=>a[0])", "8.8.8.1"},
	    {"d.resolve6('plain.example')", "ENODATA"},
	    {"d.resolveTxt('plain.example')", "ENODATA"},
	    {"d.resolve4('absent.example')", "ENOTFOUND"},
	    {"d.resolve4('broken.example')", "ESERVFAIL"},
	};
	static char script[4096];
	char expected[512] = "";
	size_t len = (size_t)snprintf(
	    script, sizeof(script), "const d=require('dns').promises;(async()=>{for(const f of[");
	if (!is_inside || run((const char *[]){"node", "-e", "0", NULL}).status != 0)
		skip();
	for (size_t i = 0, at = 0; i < ARRAY_LEN(cases); i++) {
		len +=
		    (size_t)snprintf(script + len, sizeof(script) - len, "()=>%s,", cases[i].what);
		at +=
		    (size_t)snprintf(expected + at, sizeof(expected) - at, "%s\n", cases[i].answer);
	}
	snprintf(script + len, sizeof(script) - len,
	    "])console.log(String(await f().catch(e=>e.code)))})()");
	struct run got = run((const char *[]){"node", "-e", script, NULL});
	assert_string_equal(got.text, expected);
	assert_int_equal(world_count(&world, "malformed"), 0);
}

static void a_refusal_is_final_to_both(void **state)
{
	(void)state;
	if (!is_inside)
		skip();
	world.open = world.narrowed;
	uint64_t begin = clock_boot_ms();
	assert_int_equal(
	    run((const char *[]){"getent", "ahosts", "chain.example", NULL}).status, 2);
	struct run got = run((const char *[]){"getent", "ahosts", "plain.example", NULL});
	assert_non_null(strstr(got.text, "8.8.8.8"));
	assert_true(clock_boot_ms() - begin < 4000);
	assert_true(world_count(&world, "refused") > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(libc_is_content, open_world, close_world),
	    cmocka_unit_test_setup_teardown(node_is_content, open_world, close_world),
	    cmocka_unit_test_setup_teardown(a_refusal_is_final_to_both, open_world, close_world),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, enter, NULL);
}
