#include "common/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/confine_calls.h"

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED true
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED false
#endif

static int failed(struct error *err, const char *what)
{
	return error_set(err, ERR_INTERNAL, "confine: %s: %s", what, strerror(errno));
}

bool confine_is_sanitized(void)
{
	return IS_SANITIZED;
}

/* A change of ids sets the flag back to the system's default, so this is said twice. */
static int deny_tracing(struct error *err)
{
	if (!IS_SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return failed(err, "dumpable");
	return 0;
}

int confine_early(struct error *err)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return failed(err, "core dumps");
	return deny_tracing(err);
}

/* A process that may not drop from its bounding set cannot gain from it either: no capability is left, and no new privileges come. */
static int drop_bounding_set(struct error *err)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno != EPERM)
			return failed(err, "bounding set");
	}
	return 0;
}

int confine_capabilities(struct error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	if (drop_bounding_set(err) != 0)
		return -1;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
		return failed(err, "ambient capabilities");
	if (syscall(SYS_capset, &header, none) != 0)
		return failed(err, "capabilities");
	return 0;
}

static int find_user(const char *name, struct passwd *user_r, struct error *err)
{
	char text[4096];
	struct passwd *found;
	int rc = getpwnam_r(name, user_r, text, sizeof(text), &found);

	if (rc != 0 || !found)
		return error_set(
		    err, ERR_NOT_FOUND, "user %s: %s", name, rc ? strerror(rc) : "not known");
	return 0;
}

/* With an id the kernel forgets that this process is to end with its parent. */
struct parent {
	pid_t pid;
	int signal_at_end;
};

static struct parent parent_now(void)
{
	struct parent parent = {.pid = getppid()};

	bug_if(prctl(PR_GET_PDEATHSIG, &parent.signal_at_end) != 0);
	return parent;
}

static void end_with(const struct parent *parent)
{
	bug_if(prctl(PR_SET_PDEATHSIG, (unsigned long)parent->signal_at_end) != 0);
	if (parent->signal_at_end && getppid() != parent->pid)
		raise(parent->signal_at_end);
}

int confine_group(const char *name, struct error *err)
{
	struct passwd user;

	if (find_user(name, &user, err) != 0)
		return -1;
	const struct parent parent = parent_now();
	if (geteuid() == 0 && setegid(user.pw_gid) != 0)
		return failed(err, "group");
	end_with(&parent);
	return 0;
}

/* glibc changes the ids of every thread, and the kernel takes each one's capabilities with them. */
static int become(const char *name, struct error *err)
{
	struct passwd user;

	if (find_user(name, &user, err) != 0)
		return -1;
	if (geteuid() != 0) {
		if (user.pw_uid == geteuid())
			return 0;
		return error_set(err, ERR_DENIED, "only root can become user %s", name);
	}
	const struct parent parent = parent_now();
	if (setgroups(1, &user.pw_gid) != 0 ||
	    setresgid(user.pw_gid, user.pw_gid, user.pw_gid) != 0 ||
	    setresuid(user.pw_uid, user.pw_uid, user.pw_uid) != 0)
		return failed(err, name);
	end_with(&parent);
	if (user.pw_uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
		return error_set(err, ERR_INTERNAL, "user %s can become root again", name);
	return 0;
}

int confine(const char *user, bool may_exec, struct error *err)
{
	if (*user && (drop_bounding_set(err) != 0 || become(user, err) != 0))
		return -1;
	if (confine_capabilities(err) != 0 || deny_tracing(err) != 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return failed(err, "no new privileges");
	return confine_calls(may_exec, IS_SANITIZED, err);
}
