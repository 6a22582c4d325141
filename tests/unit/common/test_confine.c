/* What confine takes cannot be given back, so every test runs in a child of its own. */
#include "common/confine.h"

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#include "common/scoped.h"

#define NOBODY "nobody"

/* In a child: ends it with the line that failed. */
#define must(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #cond, strerror(errno)); \
			_exit(1); \
		} \
	} while (0)

static void in_child(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void confined(const char *user, bool may_exec)
{
	struct error err = {0};

	if (confine(user, may_exec, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		_exit(1);
	}
}

static bool is_refused(long rc)
{
	return rc == -1 && errno == EPERM;
}

/* The first number of a field of /proc/self/task/<tid>/status. */
static unsigned long status_of(const char *tid, const char *field, int base)
{
	char path[300], line[256];
	snprintf(path, sizeof(path), "/proc/self/task/%s/status", tid);
	scoped_file FILE *file = fopen(path, "re");

	must(file);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, field, strlen(field)) == 0)
			return strtoul(line + strlen(field) + 1, NULL, base);
	}
	fprintf(stderr, "no %s in %s\n", field, path);
	_exit(1);
}

static void every_thread(void (*check)(const char *tid))
{
	DIR *folder = opendir("/proc/self/task");
	struct dirent *entry;
	int n = 0;

	must(folder);
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		check(entry->d_name);
		n++;
	}
	closedir(folder);
	must(n >= 1);
}

/* A thread that, like libzmq's, was there before and takes no signals. */
static void *old_thread(void *arg)
{
	sigset_t all;

	(void)arg;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (;;)
		sleep(1000);
	return NULL;
}

static void early_body(void)
{
	struct error err = {0};
	struct rlimit core;

	must(confine_early(&err) == 0);
	must(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
	must(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == confine_is_sanitized());
}

static void there_are_no_core_dumps(void **state)
{
	(void)state;
	in_child(early_body);
}

/* Arguments are such that no call does harm if the list fails: it then answers something other than EPERM, or succeeds at nothing. */
static void deny_body(void)
{
	static const char none[] = "/nonexistent";

	/* the checks can fail: before, these work for everybody */
	must(syscall(SYS_personality, 0xffffffffUL) != -1);
	must(syscall(SYS_unshare, 0L) == 0);
	must(!is_refused(syscall(SYS_execve, none, NULL, NULL)));
	must(!is_refused(syscall(SYS_process_vm_readv, getpid(), NULL, 0L, NULL, 0L, 0L)));

	confined("", false);
	must(is_refused(syscall(SYS_personality, 0xffffffffUL)));
	must(is_refused(syscall(SYS_unshare, 0L)));
	must(is_refused(syscall(SYS_execve, none, NULL, NULL)));
	must(is_refused(syscall(SYS_execveat, -1L, none, NULL, NULL, 0L)));
	must(is_refused(syscall(SYS_process_vm_readv, getpid(), NULL, 0L, NULL, 0L, 0L)));
	must(is_refused(syscall(SYS_process_vm_writev, getpid(), NULL, 0L, NULL, 0L, 0L)));
	must(is_refused(syscall(SYS_setns, -1L, 0L)));
	must(is_refused(syscall(SYS_mount, none, none, none, 0L, NULL)));
	must(is_refused(syscall(SYS_umount2, none, 0L)));
	must(is_refused(syscall(SYS_chroot, none)));
	must(is_refused(syscall(SYS_pivot_root, none, none)));
	must(is_refused(syscall(SYS_keyctl, -1L)));
	must(is_refused(syscall(SYS_add_key, NULL, NULL, NULL, 0L, 0L)));
	must(is_refused(syscall(SYS_bpf, -1L, NULL, 0L)));
	must(is_refused(syscall(SYS_userfaultfd, -1L)));
	must(is_refused(syscall(SYS_perf_event_open, NULL, 0L, 0L, 0L, 0L)));
	must(is_refused(syscall(SYS_io_uring_setup, 0L, NULL)));
	must(is_refused(syscall(SYS_finit_module, -1L, NULL, 0L)));
	must(is_refused(syscall(SYS_kexec_file_load, -1L, -1L, 0L, NULL, 0L)));
	must(is_refused(syscall(SYS_swapon, none, 0L)));
	must(is_refused(syscall(SYS_reboot, 0L, 0L, 0L, NULL)));
	must(is_refused(syscall(SYS_mknodat, -1L, none, 0L, 0L)));
	must(is_refused(syscall(SYS_setresuid, -1L, -1L, -1L)));
	must(is_refused(syscall(SYS_capset, NULL, NULL)));
	/* a thread, or the rule against processes would answer instead */
	must(is_refused(
	    syscall(SYS_clone, (long)(CLONE_NEWUSER | CLONE_THREAD), NULL, NULL, NULL, NULL)));
	must(is_refused(ioctl(-1, TIOCSTI, "x")));
	must(syscall(SYS_clone3, NULL, 0L) == -1 && errno == ENOSYS);
	if (!confine_is_sanitized()) {
		must(is_refused(fork()));
		must(is_refused(ptrace(PTRACE_PEEKUSER, getpid(), NULL, NULL)));
	}
}

static void system_calls_nobody_needs_are_refused(void **state)
{
	(void)state;
	in_child(deny_body);
}

static void exec_body(void)
{
	confined("", true);
	execl("/bin/true", "true", (char *)NULL);
	_exit(2);
}

static void exec_is_left_to_who_needs_it(void **state)
{
	(void)state;
	in_child(exec_body);
}

static void *personality_refused(void *go)
{
	char byte;

	if (read(*(int *)go, &byte, 1) != 1)
		return "no byte";
	return is_refused(syscall(SYS_personality, 0xffffffffUL)) ? NULL : "allowed";
}

static void tsync_body(void)
{
	pthread_t thread;
	int pipes[2];
	void *result;

	must(pipe(pipes) == 0);
	must(pthread_create(&thread, NULL, personality_refused, &pipes[0]) == 0);
	confined("", false);
	must(write(pipes[1], "x", 1) == 1);
	must(pthread_join(thread, &result) == 0);
	must(result == NULL);
}

static void the_list_holds_in_threads_that_were_there_before(void **state)
{
	(void)state;
	in_child(tsync_body);
}

static void has_nothing(const char *tid)
{
	must(status_of(tid, "CapPrm", 16) == 0);
	must(status_of(tid, "CapEff", 16) == 0);
	must(status_of(tid, "CapAmb", 16) == 0);
	must(status_of(tid, "NoNewPrivs", 10) == 1);
	must(status_of(tid, "Seccomp", 10) == 2);
}

static unsigned long bounding_set(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%d", getpid());
	return status_of(path, "CapBnd", 16);
}

static void capabilities_body(void)
{
	pthread_t thread;
	struct error err = {0};

	must(confine_capabilities(&err) == 0);
	must(pthread_create(&thread, NULL, old_thread, NULL) == 0);
	confined("", false);
	every_thread(has_nothing);
	must(geteuid() != 0 || bounding_set() == 0);
}

static void no_thread_keeps_a_capability(void **state)
{
	(void)state;
	in_child(capabilities_body);
}

static void is_nobody(const char *tid)
{
	must(status_of(tid, "Uid", 10) == getpwnam(NOBODY)->pw_uid);
	has_nothing(tid);
}

static void become_body(void)
{
	pthread_t thread;

	must(pthread_create(&thread, NULL, old_thread, NULL) == 0);
	confined(NOBODY, false);
	every_thread(is_nobody);
	must(geteuid() == getpwnam(NOBODY)->pw_uid && getgroups(0, NULL) == 1);
	must(setuid(0) == -1);
}

static void root_becomes_the_user_in_every_thread(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	in_child(become_body);
}

static void ordinary_body(void)
{
	struct passwd *nobody = getpwnam(NOBODY);
	struct error err = {0};

	must(nobody);
	if (geteuid() == 0)
		must(setgroups(0, NULL) == 0 &&
		     setresuid(nobody->pw_uid, nobody->pw_uid, nobody->pw_uid) == 0);
	must(confine_early(&err) == 0);
	must(confine_group("root", &err) == 0);
	must(confine("root", false, &err) == -1 && err.code == ERR_DENIED);
	confined(getpwuid(geteuid())->pw_name, false);
	every_thread(has_nothing);
}

static void parent_body(void)
{
	struct error err = {0};
	int signal_at_end = 0;

	must(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
	must(confine_group(NOBODY, &err) == 0);
	confined(NOBODY, false);
	must(prctl(PR_GET_PDEATHSIG, &signal_at_end) == 0 && signal_at_end == SIGUSR1);
}

static void it_still_ends_with_its_parent_as_another_user(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	in_child(parent_body);
}

static void an_ordinary_user_stays_who_it_is(void **state)
{
	(void)state;
	in_child(ordinary_body);
}

static void unknown_user_body(void)
{
	struct error err = {0};

	must(confine("no-such-user-here", false, &err) == -1 && err.code == ERR_NOT_FOUND);
	must(confine_group("no-such-user-here", &err) == -1);
}

static void an_unknown_user_stops_the_start(void **state)
{
	(void)state;
	in_child(unknown_user_body);
}

static void group_body(void)
{
	char path[] = "/tmp/confine-test-XXXXXX";
	struct error err = {0};
	struct stat st;

	must(confine_group(NOBODY, &err) == 0);
	int fd = mkstemp(path);
	must(fd >= 0 && fstat(fd, &st) == 0);
	must(unlink(path) == 0);
	must(st.st_gid == getpwnam(NOBODY)->pw_gid && st.st_uid == 0);
}

static void what_is_made_before_belongs_to_the_users_group(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	in_child(group_body);
}

static void curl_resolves(void)
{
	CURL *easy = curl_easy_init();

	curl_easy_setopt(easy, CURLOPT_URL, "http://localhost:1/");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 5000L);
	must(curl_easy_perform(easy) == CURLE_COULDNT_CONNECT);
	curl_easy_cleanup(easy);
}

static void zmq_talks(void *context, const char *address)
{
	void *a = zmq_socket(context, ZMQ_PAIR), *b = zmq_socket(context, ZMQ_PAIR);
	char text[8];

	must(zmq_bind(a, address) == 0 && zmq_connect(b, address) == 0);
	must(zmq_send(b, "x", 1, 0) == 1 && zmq_recv(a, text, sizeof(text), 0) == 1);
	zmq_close(a);
	zmq_close(b);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	event_base_loopbreak(arg);
}

static void libraries_body(void)
{
	void *context = zmq_ctx_new();
	struct event_base *base = event_base_new();
	struct timeval soon = {0, 1000};
	char address[64];

	snprintf(address, sizeof(address), "ipc:///tmp/confine-test-%d", getpid());
	zmq_talks(context, address); /* its threads are there before */
	confined("", false);
	zmq_talks(context, address);
	curl_resolves();
	must(event_base_once(base, -1, EV_TIMEOUT, on_timer, base, &soon) == 0);
	must(event_base_dispatch(base) == 0);
	zmq_ctx_term(context);
	event_base_free(base);
}

static void our_libraries_go_on_working(void **state)
{
	(void)state;
	in_child(libraries_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(there_are_no_core_dumps),
	    cmocka_unit_test(system_calls_nobody_needs_are_refused),
	    cmocka_unit_test(exec_is_left_to_who_needs_it),
	    cmocka_unit_test(the_list_holds_in_threads_that_were_there_before),
	    cmocka_unit_test(no_thread_keeps_a_capability),
	    cmocka_unit_test(root_becomes_the_user_in_every_thread),
	    cmocka_unit_test(it_still_ends_with_its_parent_as_another_user),
	    cmocka_unit_test(an_ordinary_user_stays_who_it_is),
	    cmocka_unit_test(an_unknown_user_stops_the_start),
	    cmocka_unit_test(what_is_made_before_belongs_to_the_users_group),
	    cmocka_unit_test(our_libraries_go_on_working),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
