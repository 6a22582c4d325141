/* The whole skeleton with a service of a few lines, against a real Redis. Each service runs in a child process that ends as daemons do, so that a
 * leak or a capability kept shows. */
#include "common/service.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/confine.h"
#include "common/scoped.h"
#include "common/status.h"

#define PASSWORD "0123456789abcdef0123456789abcdef"
#define COLLECTION "11111111111111111111111111111111"
#define PATIENCE_MS 10000

/* ---- the service ---- */

struct tiny {
	struct process *process;
	char *greeting;
	bool unwell, started;
	unsigned restarts;
};

static const struct setting tiny_settings[] = {
    {"TINY_GREETING", SETTING_STR, offsetof(struct tiny, greeting), 1, 16, "hello",
	"What it says."},
};

static int tiny_open(void *self, struct error *err)
{
	struct tiny *tiny = self;

	if (strcmp(tiny->greeting, "refuse") == 0)
		return error_set(err, ERR_INVALID, "told to refuse");
	return tiny->process->bus ? error_set(err, ERR_INTERNAL, "bound before open") : 0;
}

static void on_look(void *arg, const struct ledger_look *out, const struct error *err)
{
	struct tiny *tiny = arg;

	/* asks until it is refused for good: the callback of a process that stops must find everything in its place */
	(void)out;
	if (!err || tiny->started)
		ledger_look(
		    tiny->process->redis, "00000000000000000000000000000000", on_look, tiny);
}

static int tiny_start(void *self, struct error *err)
{
	struct tiny *tiny = self;

	tiny->started = true;
	ledger_look(tiny->process->redis, "00000000000000000000000000000000", on_look, tiny);
	return tiny->process->follower ? 0 : error_set(err, ERR_INTERNAL, "no follower");
}

static void tiny_stop(void *self)
{
	((struct tiny *)self)->started = false;
}

static void tiny_reload(void *self)
{
	struct tiny *tiny = self;

	tiny->unwell = !tiny->unwell;
}

static void tiny_on_restart(void *self, const char *history, struct event_id head)
{
	(void)history, (void)head;
	((struct tiny *)self)->restarts++;
}

static bool tiny_is_well(void *self, char *why, size_t size)
{
	const struct tiny *tiny = self;

	snprintf(why, size, "%s, %u restarts", tiny->greeting, tiny->restarts);
	return !tiny->unwell && tiny->restarts > 0;
}

static const struct service tiny_service = {
    .name = "auth",
    .role = ROLE_AUTH,
    .about = "Says hello.",
    .self_size = sizeof(struct tiny),
    .settings = tiny_settings,
    .nsettings = ARRAY_LEN(tiny_settings),
    .adds_events = true,
    .open = tiny_open,
    .start = tiny_start,
    .stop = tiny_stop,
    .reload = tiny_reload,
    .follow = {.on_restart = tiny_on_restart},
    .ready = {{"tiny", tiny_is_well}},
};

/* ---- a state folder, Redis, a child ---- */

struct fixture {
	char folder[32];
	pid_t redis, service;
};

static void write_file(const struct fixture *f, const char *name, mode_t mode, const char *fmt, ...)
{
	char path[128];
	va_list ap;

	snprintf(path, sizeof(path), "%s/%s", f->folder, name);
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
	assert_true(fd >= 0);
	va_start(ap, fmt);
	assert_true(vdprintf(fd, fmt, ap) > 0);
	va_end(ap);
	close(fd);
}

static void make_key(const struct fixture *f, const char *name, char public[41])
{
	char path[64], secret[41];

	assert_int_equal(zmq_curve_keypair(public, secret), 0);
	snprintf(path, sizeof(path), "keys/curve/%s.key", name);
	write_file(f, path, 0600, "public %s\nsecret %s\n", public, secret);
}

static int set_up(void **state)
{
	static const char *const folders[] = {"run", "keys", "keys/curve", "keys/redis"};
	struct fixture *f = calloc(1, sizeof(*f));
	char path[128], service[41], operator[41];

	snprintf(f->folder, sizeof(f->folder), "/tmp/service-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->folder, folders[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	make_key(f, "auth", service);
	make_key(f, "operator", operator);
	write_file(f, "keys/curve/peers", 0644, "auth %s\noperator-read %s\n", service, operator);
	write_file(f, "keys/redis/auth.password", 0600, "%s\n", PASSWORD);
	write_file(f, "users.acl", 0600,
	    "user default off resetpass ~* &* +@all\nuser auth on >%s ~* &* +@all\n", PASSWORD);
	write_file(f, "suite.conf", 0600, "MULTICLAW_STATE_DIR=%s\nMULTICLAW_COLLECTION=%s\n",
	    f->folder, COLLECTION);
	*state = f;
	return 0;
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void start_redis(struct fixture *f)
{
	f->redis = fork();
	assert_true(f->redis >= 0);
	if (f->redis == 0) {
		if (chdir(f->folder) != 0)
			_exit(1);
		int null = open("/dev/null", O_RDWR);
		dup2(null, 1);
		dup2(null, 2);
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket",
		    "run/redis.sock", "--unixsocketperm", "777", "--aclfile", "users.acl", "--save",
		    "", "--appendonly", "no", (char *)NULL);
		_exit(127);
	}
}

static void stop_redis(struct fixture *f)
{
	if (f->redis <= 0)
		return;
	kill(f->redis, SIGKILL);
	waitpid(f->redis, NULL, 0);
	f->redis = 0;
}

static int run_service(const struct fixture *f, const char *const *options, size_t noptions)
{
	char conf[64], *argv[16] = {"multiclaw-auth", "-c", conf};
	int argc = 3;

	snprintf(conf, sizeof(conf), "%s/suite.conf", f->folder);
	for (size_t i = 0; i < noptions; i++)
		argv[argc++] = (char *)(uintptr_t)options[i];
	optind = 1;
	return service_main(argc, argv, &tiny_service);
}

/* The child's standard error goes to <folder>/log, standard output to <folder>/out. */
static pid_t start_child(const struct fixture *f, const char *const *options, size_t noptions)
{
	char log[64], out[64];

	snprintf(log, sizeof(log), "%s/log", f->folder);
	snprintf(out, sizeof(out), "%s/out", f->folder);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(open(log, O_CREAT | O_WRONLY | O_TRUNC, 0600), 2);
		dup2(open(out, O_CREAT | O_WRONLY | O_TRUNC, 0600), 1);
		exit(run_service(f, options, noptions));
	}
	return pid;
}

static void start_service(struct fixture *f)
{
	f->service = start_child(f, NULL, 0);
}

static char *read_file(const struct fixture *f, const char *name)
{
	static char text[65536];
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", f->folder, name);
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static int end_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Ends the service as systemd does. */
static void stop_service(struct fixture *f, int signo)
{
	uint64_t began = clock_boot_ms();

	assert_int_equal(kill(f->service, signo), 0);
	int status = end_of(f->service);
	f->service = 0;
	if (status != 0)
		fail_msg("exit %d: %s", status, read_file(f, "log"));
	if (!confine_is_sanitized())
		assert_true(clock_boot_ms() - began < 2000);
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st, (void)what, (void)ftw;
	return remove(path);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->service > 0) {
		kill(f->service, SIGKILL);
		waitpid(f->service, NULL, 0);
	}
	stop_redis(f);
	assert_int_equal(nftw(f->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(f);
	return 0;
}

/* Asks the listener; returns the whole answer, "" if nobody listens yet. */
static const char *ask(const struct fixture *f, const char *path)
{
	static char text[65536];
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	scoped_fd int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	size_t len = 0;
	ssize_t n;

	snprintf(at.sun_path, sizeof(at.sun_path), "%s/run/auth-1.ops", f->folder);
	text[0] = '\0';
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		return text;
	dprintf(fd, "GET %s HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n", path);
	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return text;
}

static bool answers(const struct fixture *f, const char *path, const char *part)
{
	return strstr(ask(f, path), part) != NULL;
}

static void wait_for(const struct fixture *f, const char *path, const char *part)
{
	uint64_t until = clock_boot_ms() + PATIENCE_MS;

	while (!answers(f, path, part)) {
		if (clock_boot_ms() > until)
			fail_msg(
			    "%s: no %s in %s\n%s", path, part, ask(f, path), read_file(f, "log"));
		sleep_ms(10);
	}
}

static void wait_logged(const struct fixture *f, const char *part)
{
	uint64_t until = clock_boot_ms() + PATIENCE_MS;

	while (!strstr(read_file(f, "log"), part)) {
		if (clock_boot_ms() > until)
			fail_msg("no %s in %s", part, read_file(f, "log"));
		sleep_ms(10);
	}
}

/* ---- tests ---- */

static void lives_without_redis_and_is_ready_when_it_comes(void **state)
{
	struct fixture *f = *state;

	start_service(f);
	wait_for(f, "/healthz", "200 OK");
	assert_true(answers(f, "/readyz", "503 Service Unavailable"));
	assert_true(answers(f, "/readyz", "{\"name\":\"redis\",\"ok\":false"));
	assert_true(
	    answers(f, "/readyz", "\"ready\":false,\"service\":\"auth\",\"replica\":\"auth-1\""));
	start_redis(f);
	wait_for(f, "/readyz", "200 OK");
	assert_true(answers(f, "/readyz", "{\"name\":\"lease\",\"ok\":true"));
	assert_true(answers(f, "/readyz", "\"why\":\"hello, 1 restarts\""));
	wait_logged(f, "msg=ready ms=");
	stop_redis(f);
	wait_for(f, "/readyz", "503 Service Unavailable");
	wait_logged(f, "msg=\"not ready\" check=redis");
	assert_true(answers(f, "/healthz", "200 OK"));
	start_redis(f);
	wait_for(f, "/readyz", "200 OK");
	wait_logged(f, "msg=\"ready again\"");
	stop_service(f, SIGTERM);
}

static void ends_cleanly_whatever_goes_on(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT};
	struct fixture *f = *state;

	/* without Redis, with it, and with one that has stopped answering */
	start_service(f);
	wait_for(f, "/healthz", "200 OK");
	stop_service(f, SIGTERM);
	start_redis(f);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		start_service(f);
		wait_for(f, "/readyz", "200 OK");
		stop_service(f, signals[i]);
	}
	start_service(f);
	wait_for(f, "/readyz", "200 OK");
	kill(f->redis, SIGSTOP);
	stop_service(f, SIGTERM);
	wait_logged(f, "msg=stopped");
	assert_string_equal(ask(f, "/healthz"), "");
}

static void shows_metrics(void **state)
{
	static const char build[] =
	    "multiclaw_build_info{version=\"" MULTICLAW_VERSION "\",service=\"auth\"} 1\n";
	static const char *const lines[] = {build, "# TYPE process_start_time_seconds gauge",
	    "\nprocess_start_time_seconds 1", "\nprocess_resident_memory_bytes ",
	    "\nmulticlaw_ready 0\n"};
	struct fixture *f = *state;

	start_service(f);
	wait_for(f, "/healthz", "200 OK");
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (!answers(f, "/metrics", lines[i]))
			fail_msg("no %s in %s", lines[i], ask(f, "/metrics"));
	assert_true(answers(f, "/nothing", "404 Not Found"));
	stop_service(f, SIGTERM);
}

static void reloads_on_sighup(void **state)
{
	struct fixture *f = *state;

	start_redis(f);
	start_service(f);
	wait_for(f, "/readyz", "200 OK");
	kill(f->service, SIGHUP);
	wait_for(f, "/readyz", "{\"name\":\"tiny\",\"ok\":false");
	kill(f->service, SIGHUP);
	wait_for(f, "/readyz", "200 OK");
	stop_service(f, SIGTERM);
}

static void assert_status(const struct fixture *f, const char *line)
{
	char path[64], text[4096];

	snprintf(path, sizeof(path), "/proc/%d/status", f->service);
	scoped_fd int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	if (!strstr(text, line))
		fail_msg("no %s in %s", line, text);
}

static void is_confined(void **state)
{
	struct fixture *f = *state;

	start_service(f);
	wait_for(f, "/healthz", "200 OK");
	assert_status(f, "NoNewPrivs:\t1\n");
	assert_status(f, "Seccomp:\t2\n");
	assert_status(f, "CapPrm:\t0000000000000000\n");
	assert_status(f, "CapEff:\t0000000000000000\n");
	stop_service(f, SIGTERM);
}

/* Secrets stay root's: they are read before. */
static void give_to(const struct fixture *f, const struct passwd *user)
{
	static const struct {
		const char *folder;
		mode_t mode;
		bool given;
	} folders[] = {{".", 0700, true}, {"run", 0770, true}, {"keys", 0755, false},
	    {"keys/curve", 0755, false}};
	char path[64];

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->folder, folders[i].folder);
		assert_int_equal(chmod(path, folders[i].mode), 0);
		if (folders[i].given)
			assert_int_equal(chown(path, user->pw_uid, user->pw_gid), 0);
	}
}

/* Started as root, its sockets must be reached by the others of the same user and go away with it. */
static void becomes_the_user_it_is_told(void **state)
{
	const struct passwd *nobody = getpwnam("nobody");
	struct fixture *f = *state;
	char path[64];
	struct stat st;

	if (geteuid() != 0 || !nobody) {
		skip();
		return;
	}
	give_to(f, nobody);
	start_redis(f);
	setenv("MULTICLAW_USER", "nobody", 1);
	start_service(f);
	unsetenv("MULTICLAW_USER");
	wait_for(f, "/readyz", "200 OK");
	snprintf(path, sizeof(path), "Uid:\t%u\t%u\t%u\t%u\n", nobody->pw_uid, nobody->pw_uid,
	    nobody->pw_uid, nobody->pw_uid);
	assert_status(f, path);
	assert_status(f, "CapPrm:\t0000000000000000\n");
	snprintf(path, sizeof(path), "%s/run/auth-1.bus", f->folder);
	assert_true(stat(path, &st) == 0 && st.st_gid == nobody->pw_gid);
	assert_int_equal(st.st_mode & 0777, 0770);
	snprintf(path, sizeof(path), "%s/run/auth-1.ops", f->folder);
	assert_true(stat(path, &st) == 0 && st.st_gid == nobody->pw_gid);
	assert_int_equal(st.st_mode & 0777, 0660);
	stop_service(f, SIGTERM);
	assert_int_equal(access(path, F_OK), -1);
}

static int notify_socket(const struct fixture *f, char *path, size_t size)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(path, size, "%s/notify", f->folder);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void expect_notice(int fd, const char *expected)
{
	char text[64] = "";
	struct timeval patience = {PATIENCE_MS / 1000, 0};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text, expected);
}

static void tells_systemd(void **state)
{
	struct fixture *f = *state;
	char path[64];
	scoped_fd int fd = notify_socket(f, path, sizeof(path));

	setenv("NOTIFY_SOCKET", path, 1);
	start_service(f);
	unsetenv("NOTIFY_SOCKET");
	expect_notice(fd, "READY=1");
	start_redis(f);
	expect_notice(fd, "STATUS=ready");
	stop_service(f, SIGTERM);
	expect_notice(fd, "STOPPING=1");
}

static void options_end_at_once(void **state)
{
	static const struct {
		const char *option, *shown;
	} shown[] = {{"-h", "Says hello."}, {"-V", "multiclaw-auth " MULTICLAW_VERSION "\n"},
	    {"-S", "TINY_GREETING"}, {"-S", "MULTICLAW_COLLECTION"}, {"-n", ""}};
	static const char *const wrong[] = {"-x", "word"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
		pid_t pid = start_child(f, &shown[i].option, 1);
		assert_int_equal(end_of(pid), 0);
		assert_non_null(strstr(read_file(f, "out"), shown[i].shown));
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(end_of(start_child(f, &wrong[i], 1)), 2);
}

static void assert_start_fails(const struct fixture *f, const char *why)
{
	int status = end_of(start_child(f, NULL, 0));

	assert_true(status == 1 || confine_is_sanitized());
	assert_int_not_equal(status, 0);
	wait_logged(f, why);
}

static void what_is_wrong_stops_the_start(void **state)
{
	struct fixture *f = *state;

	setenv("MULTICLAW_PUBLIC_URL", "http://claw.example", 1);
	assert_start_fails(f, "https");
	unsetenv("MULTICLAW_PUBLIC_URL");
	setenv("TINY_GREETING", "refuse", 1);
	assert_start_fails(f, "told to refuse");
	unsetenv("TINY_GREETING");
	setenv("MULTICLAW_USER", "no-such-user-here", 1);
	assert_start_fails(f, "no-such-user-here");
	unsetenv("MULTICLAW_USER");
	setenv("MULTICLAW_STATE_DIR", "/nonexistent", 1);
	assert_start_fails(f, "MULTICLAW_STATE_DIR");
	unsetenv("MULTICLAW_STATE_DIR");
	char path[64];
	snprintf(path, sizeof(path), "%s/keys/redis/auth.password", f->folder);
	assert_int_equal(chmod(path, 0644), 0);
	assert_start_fails(f, "auth.password");
	unlink(path);
	assert_start_fails(f, "auth.password");
}

struct asked {
	struct event_base *base;
	struct service_status_rsp rsp;
	bool answered;
};

static void on_status(void *arg, const void *rsp, const struct error *err)
{
	struct asked *asked = arg;

	if (err)
		fprintf(stderr, "%s\n", err->text);
	if (rsp) {
		asked->rsp = *(const struct service_status_rsp *)rsp;
		asked->answered = true;
	}
	event_base_loopbreak(asked->base);
}

static void tells_operators_how_it_is(void **state)
{
	struct fixture *f = *state;
	char keys[64], address[80];
	struct error err = {0};
	struct asked asked = {.base = event_base_new()};
	struct service_status_req req;

	start_redis(f);
	start_service(f);
	wait_for(f, "/readyz", "200 OK");
	snprintf(keys, sizeof(keys), "%s/keys", f->folder);
	snprintf(address, sizeof(address), "ipc://%s/run/auth-1.bus", f->folder);
	struct metrics *metrics = metrics_new();
	struct keyring *keyring = keyring_open(keys, "operator", &err);
	assert_non_null(keyring);
	struct bus *bus = bus_new(asked.base, keyring, metrics, &err);
	struct bus_client *client =
	    bus_client_new(bus, "auth", ROLE_AUTH, (const char *const[]){address}, 1, &err);
	assert_non_null(client);
	bus_send(client, &service_status_call, &req, clock_unix_ms() + PATIENCE_MS, "", on_status,
	    &asked);
	event_base_dispatch(asked.base);
	assert_true(asked.answered);
	assert_string_equal(asked.rsp.service, "auth");
	assert_string_equal(asked.rsp.replica, "auth-1");
	assert_true(asked.rsp.ready && asked.rsp.lease_ms > 0 && asked.rsp.lease_ms <= 2000);
	assert_int_equal(asked.rsp.checks.len, 4);
	assert_string_equal(asked.rsp.checks.item[3].name, "tiny");
	assert_true(asked.rsp.chain_age_ms == UINT64_MAX && asked.rsp.chain_slot == 0);
	assert_true(asked.rsp.history[0] != '\0');
	bus_client_destroy(&client);
	bus_destroy(&bus);
	keyring_destroy(&keyring);
	metrics_destroy(&metrics);
	event_base_free(asked.base);
	stop_service(f, SIGTERM);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(lives_without_redis_and_is_ready_when_it_comes),
	    TEST(ends_cleanly_whatever_goes_on),
	    TEST(shows_metrics),
	    TEST(reloads_on_sighup),
	    TEST(is_confined),
	    TEST(becomes_the_user_it_is_told),
	    TEST(tells_systemd),
	    TEST(options_end_at_once),
	    TEST(what_is_wrong_stops_the_start),
	    TEST(tells_operators_how_it_is),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
