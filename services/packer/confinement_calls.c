#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>

#include "common/confine.h"
#include "services/packer/confinement.h"

static const char *const always[] = {
    /* descriptors that are open */
    "read",
    "readv",
    "pread64",
    "preadv",
    "write",
    "writev",
    "pwrite64",
    "lseek",
    "_llseek",
    "close",
    "fstat",
    "fstat64",
    "fcntl",
    "fcntl64",
    "ftruncate",
    "ftruncate64",
    "fadvise64",
    "fsync",
    "fdatasync",
    "fstatfs",
    "fstatfs64",
    "getdents64",
    "dup",
    /* names, looked at */
    "stat",
    "lstat",
    "newfstatat",
    "fstatat64",
    "statx",
    "readlink",
    "readlinkat",
    "access",
    "faccessat",
    "faccessat2",
    "getcwd",
    "chdir",
    "fchdir",
    "umask",
    /* memory and threads */
    "munmap",
    "mremap",
    "madvise",
    "brk",
    "memfd_create",
    "futex",
    "set_robust_list",
    "rseq",
    "sched_yield",
    "sched_getaffinity",
    "get_robust_list",
    "membarrier",
    "exit",
    "exit_group",
    "restart_syscall",
    /* time, chance, oneself */
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "getrandom",
    "getpid",
    "gettid",
    "tgkill",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "uname",
    "sysinfo",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "getrlimit",
    "ugetrlimit",
};
/* what libarchive calls to make files, and nothing of owners, devices or attributes */
static const char *const unpacking[] = {
    "open",
    "openat",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "rmdir",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "chmod",
    "fchmod",
    "fchmodat",
    "utimensat",
    "utimes",
    "futimesat",
    "syncfs",
};
/* a sanitizer's: its own stacks, its report, the search for leaks */
static const char *const sanitized[] = {"clone", "wait4", "ptrace", "prctl", "kill",
    "process_vm_readv", "sched_setaffinity", "prlimit64", "mmap", "mprotect", "tkill", "getppid",
    "openat", "sigreturn", "pipe2", "gettid"};

static int allow_all(scmp_filter_ctx list, const char *const *names, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);
		/* an old library does not know the newest calls, a new machine has not the oldest */
		if (number != __NR_SCMP_ERROR)
			rc = seccomp_rule_add(list, SCMP_ACT_ALLOW, number, 0);
		if (rc == -EDOM)
			rc = 0;
	}
	return rc;
}

static int allow_if(scmp_filter_ctx list, int number, struct scmp_arg_cmp is)
{
	int rc = seccomp_rule_add(list, SCMP_ACT_ALLOW, number, 1, is);

	return rc == -EDOM ? 0 : rc;
}

/* Those whose arguments say what they do. */
static int allow_bounded(scmp_filter_ctx list)
{
	const scmp_datum_t writes = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;
	int rc = allow_if(list, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	if (rc == 0)
		rc = allow_if(list, SCMP_SYS(mmap2), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (rc == 0)
		rc = allow_if(list, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* threads only; glibc does without clone3, whose flags no filter sees */
	if (rc == 0)
		rc = allow_if(
		    list, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (rc == 0)
		rc = seccomp_rule_add(list, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (rc == 0)
		rc = allow_if(list, SCMP_SYS(openat), SCMP_A2(SCMP_CMP_MASKED_EQ, writes, 0));
	/* to whom the socket is connected */
	if (rc == 0)
		rc = allow_if(list, SCMP_SYS(sendto), SCMP_A4(SCMP_CMP_EQ, 0));
	/* reading a limit */
	if (rc == 0)
		rc = allow_if(list, SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0));
	return rc;
}

static int fill(scmp_filter_ctx list, bool is_unpacking)
{
	int rc = seccomp_attr_set(list, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (rc == 0)
		rc = seccomp_attr_set(list, SCMP_FLTATR_CTL_TSYNC, 1);
	if (rc == 0)
		rc = allow_all(list, always, ARRAY_LEN(always));
	if (rc == 0 && is_unpacking)
		rc = allow_all(list, unpacking, ARRAY_LEN(unpacking));
	if (rc == 0 && confine_is_sanitized())
		rc = allow_all(list, sanitized, ARRAY_LEN(sanitized));
	if (rc == 0)
		rc = allow_bounded(list);
	return rc;
}

int confinement_calls(bool is_unpacking, struct error *err)
{
	scmp_filter_ctx list = seccomp_init(SCMP_ACT_ERRNO(EPERM));

	if (!list)
		return error_set(err, ERR_INTERNAL, "confinement: seccomp_init failed");
	int rc = fill(list, is_unpacking);
	if (rc == 0)
		rc = seccomp_load(list);
	seccomp_release(list);
	if (rc != 0)
		return error_set(err, ERR_INTERNAL, "confinement: seccomp: %s", strerror(-rc));
	return 0;
}
