#include "tests/unit/secret-vault/postgres_server.h"

#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/error.h"
#include "tests/unit/common/scratch.h"

#define START_MS 30000
#define CHILDREN_MAX 64

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

/* Where Debian has initdb and postgres: the newest. */
static void find_program(const char *name, char *path, size_t size)
{
	glob_t found;
	char pattern[64];

	snprintf(pattern, sizeof(pattern), "/usr/lib/postgresql/*/bin/%s", name);
	bug_if(glob(pattern, 0, NULL, &found) != 0 || found.gl_pathc == 0);
	snprintf(path, size, "%s", found.gl_pathv[found.gl_pathc - 1]);
	globfree(&found);
}

/* In the child. PostgreSQL refuses root. The signal that tells of the parent's death is forgotten when the user changes: it comes last. */
static void become_postgres(pid_t parent)
{
	if (geteuid() == 0) {
		const struct passwd *user = getpwnam("postgres");
		bug_if(!user || setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 ||
		       setuid(user->pw_uid) != 0);
	}
	bug_if(chdir("/") != 0 || prctl(PR_SET_PDEATHSIG, SIGQUIT) != 0);
	if (getppid() != parent)
		_exit(1);
}

static pid_t spawn(const struct postgres_server *server, const char *const *argv)
{
	pid_t parent = getpid(), pid = fork();
	char path[96], log[64];

	bug_if(pid < 0);
	if (pid > 0)
		return pid;
	find_program(argv[0], path, sizeof(path));
	become_postgres(parent);
	snprintf(log, sizeof(log), "%s/log", server->dir);
	int null = open("/dev/null", O_RDONLY),
	    out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	bug_if(dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0);
	union {
		const char *const *in;
		char *const *out;
	} u = {.in = argv};
	execv(path, u.out);
	_exit(127);
}

static bool has_ended(pid_t pid)
{
	int status;

	return waitpid(pid, &status, WNOHANG) == pid;
}

void postgres_server_again(struct postgres_server *server)
{
	char data[64], socket[80];
	const char *const argv[] = {"postgres", "-D", data, "-c", socket, "-c",
	    "listen_addresses=", "-c", "max_connections=20", "-c", "shared_buffers=8MB", NULL};
	uint64_t until = clock_boot_ms() + START_MS;

	snprintf(data, sizeof(data), "%s/data", server->dir);
	snprintf(socket, sizeof(socket), "unix_socket_directories=%s", server->dir);
	server->pid = spawn(server, argv);
	while (PQping(server->conninfo) != PQPING_OK) {
		/* the memory of one that was killed is in use until its last child has seen that */
		if (has_ended(server->pid))
			server->pid = spawn(server, argv);
		bug_if(clock_boot_ms() > until);
		nap();
	}
}

void postgres_server_start(struct postgres_server *server)
{
	char data[64];
	const char *const argv[] = {"initdb", "-D", data, "-U", "vault", "-A", "trust", "-E",
	    "UTF8", "--locale=C", "--no-sync", "--no-instructions", NULL};
	int status;

	*server = (struct postgres_server){.dir = "/tmp/mc-unit-pg-XXXXXX"};
	bug_if(!mkdtemp(server->dir));
	if (geteuid() == 0) {
		const struct passwd *user = getpwnam("postgres");
		bug_if(!user || chown(server->dir, user->pw_uid, user->pw_gid) != 0);
	}
	snprintf(data, sizeof(data), "%s/data", server->dir);
	snprintf(server->conninfo, sizeof(server->conninfo), "host=%s user=vault dbname=postgres",
	    server->dir);
	snprintf(server->where, sizeof(server->where), "postgres:%s", server->conninfo);
	pid_t pid = spawn(server, argv);
	bug_if(waitpid(pid, &status, 0) != pid || status != 0);
	postgres_server_again(server);
}

/* The server's own processes, which it starts in sessions of their own. */
static size_t children_of(pid_t pid, pid_t children[CHILDREN_MAX])
{
	char path[64], word[16];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	FILE *file = fopen(path, "r");
	bug_if(!file);
	while (n < CHILDREN_MAX && fscanf(file, "%15s", word) == 1)
		children[n++] = (pid_t)strtol(word, NULL, 10);
	fclose(file);
	return n;
}

void postgres_server_freeze(const struct postgres_server *server, bool is_frozen)
{
	pid_t children[CHILDREN_MAX];
	int signal = is_frozen ? SIGSTOP : SIGCONT;

	/* the parent first, or it would start others */
	kill(server->pid, signal);
	for (size_t i = 0, n = children_of(server->pid, children); i < n; i++)
		kill(children[i], signal);
}

void postgres_server_kill(struct postgres_server *server)
{
	pid_t children[CHILDREN_MAX];

	kill(server->pid, SIGSTOP);
	for (size_t i = 0, n = children_of(server->pid, children); i < n; i++)
		kill(children[i], SIGKILL);
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	server->pid = 0;
}

void postgres_server_stop(struct postgres_server *server)
{
	if (server->pid > 0) {
		kill(server->pid, SIGQUIT);
		waitpid(server->pid, NULL, 0);
		server->pid = 0;
	}
	if (server->dir[0])
		scratch_remove(server->dir);
	server->dir[0] = '\0';
}

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

void postgres_server_say(const struct postgres_server *server, const char *sql)
{
	PGconn *conn = PQconnectdb(server->conninfo);

	PQsetNoticeReceiver(conn, ignore_notice, NULL);
	PGresult *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);
	bug_if(status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK);
	PQclear(result);
	PQfinish(conn);
}

void postgres_server_empty(const struct postgres_server *server)
{
	postgres_server_say(server, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
}
