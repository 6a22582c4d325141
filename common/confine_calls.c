#include "common/confine_calls.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static const char *const denied[] = {
    /* reading and driving other processes */
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "kcmp",
    "pidfd_getfd",
    /* mounts and namespaces */
    "mount",
    "umount",
    "umount2",
    "move_mount",
    "mount_setattr",
    "open_tree",
    "open_tree_attr",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "pivot_root",
    "chroot",
    "unshare",
    "setns",
    "quotactl",
    "quotactl_fd",
    "swapon",
    "swapoff",
    /* large doors into the kernel */
    "bpf",
    "userfaultfd",
    "perf_event_open",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "keyctl",
    "add_key",
    "request_key",
    "fanotify_init",
    "open_by_handle_at",
    "name_to_handle_at",
    "lookup_dcookie",
    "personality",
    "modify_ldt",
    "vm86",
    "vm86old",
    "uselib",
    "vmsplice",
    "nfsservctl",
    "_sysctl",
    "sysfs",
    "ustat",
    /* the machine */
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "query_module",
    "get_kernel_syms",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "acct",
    "syslog",
    "vhangup",
    "iopl",
    "ioperm",
    "settimeofday",
    "stime",
    "clock_settime",
    "clock_settime64",
    "clock_adjtime",
    "clock_adjtime64",
    "adjtimex",
    "sethostname",
    "setdomainname",
    /* ids, devices: all of that is over now */
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setfsuid",
    "setfsgid",
    "setgroups",
    "capset",
    "mknod",
    "mknodat",
};
static const char *const processes[] = {"execve", "execveat", "fork", "vfork"};

static int add(scmp_filter_ctx list, uint32_t action, const char *name)
{
	int number = seccomp_syscall_resolve_name(name);

	/* an old library does not know the newest calls, a new machine has not the oldest */
	if (number == __NR_SCMP_ERROR)
		return 0;
	int rc = seccomp_rule_add(list, action, number, 0);
	return rc == -EDOM ? 0 : rc;
}

static int add_all(scmp_filter_ctx list, const char *const *names, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = add(list, SCMP_ACT_ERRNO(EPERM), names[i]);
	return rc;
}

/* clone() may start threads only, and none of them in namespaces of its own. clone3 has its flags in memory, where no filter sees them:
 * glibc goes on with clone if there is no such call. */
static int add_clone(scmp_filter_ctx list, bool threads_only)
{
	static const uint64_t spaces[] = {CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER,
	    CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP, CLONE_NEWTIME};
	int rc = add(list, SCMP_ACT_ERRNO(ENOSYS), "clone3");

	for (size_t i = 0; i < ARRAY_LEN(spaces) && rc == 0; i++)
		rc = seccomp_rule_add(list, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, spaces[i], spaces[i]));
	if (threads_only && rc == 0)
		rc = seccomp_rule_add(list, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	return rc;
}

/* Typing into the terminal that started us. */
static int add_ioctl(scmp_filter_ctx list)
{
	return seccomp_rule_add(list, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
	    SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCSTI));
}

static int fill(scmp_filter_ctx list, bool may_exec, bool may_trace)
{
	/* calls of another architecture (x32, i386) are not looked up in this list, so none of them exists */
	int rc = seccomp_attr_set(list, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));

	if (rc == 0)
		rc = seccomp_attr_set(list, SCMP_FLTATR_CTL_TSYNC, 1);
	if (rc == 0)
		rc = add_all(list, denied, ARRAY_LEN(denied));
	if (rc == 0 && !may_exec)
		rc = add_all(list, processes, ARRAY_LEN(processes));
	if (rc == 0 && !may_trace)
		rc = add(list, SCMP_ACT_ERRNO(EPERM), "ptrace");
	if (rc == 0)
		rc = add_clone(list, !may_exec && !may_trace);
	if (rc == 0)
		rc = add_ioctl(list);
	return rc;
}

int confine_calls(bool may_exec, bool may_trace, struct error *err)
{
	scmp_filter_ctx list = seccomp_init(SCMP_ACT_ALLOW);

	if (!list)
		return error_set(err, ERR_INTERNAL, "confine: seccomp_init failed");
	int rc = fill(list, may_exec, may_trace);
	if (rc == 0)
		rc = seccomp_load(list);
	seccomp_release(list);
	if (rc != 0)
		return error_set(err, ERR_INTERNAL, "confine: seccomp: %s", strerror(-rc));
	return 0;
}
