#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/reboot.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sandbox/probe.h"

/* Arguments as the kernel takes them. Where one is forbidden, the others are harmless: should it be allowed after all, nothing happens to the machine. */
struct attempt {
	const char *name;
	long number, arg[6];
	long (*run)(void);
};

static char bytes[4096], word[] = "x", none[] = "/nonexistent", root[] = "/", tmp[] = "/tmp",
			 kind[] = "tmpfs";
static char block[] = "/tmp/block", zero[] = "/tmp/mem", old[] = "/data",
	    cmdline[] = "/proc/1/cmdline";
static unsigned long long clone3_flags[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
static struct iovec io = {bytes, 8};
static struct {
	unsigned size, kind;
	int pid;
} handle = {8, 1, 0};
#define P(pointer) ((long)(pointer))

/* ---- what needs more than one call */

static long setns_of(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/1/ns/%s", name);
	int fd = open(path, O_RDONLY);
	/* one's own are as good for the filter */
	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	return syscall(SYS_setns, fd >= 0 ? fd : open(path, O_RDONLY), 0);
}
#define SETNS(name) \
	static long setns_##name(void) \
	{ \
		return setns_of(#name); \
	}
SETNS(user)
SETNS(mnt)
SETNS(pid)
SETNS(net)
SETNS(ipc)
SETNS(uts)
SETNS(cgroup)

static long setns_pidfd(void)
{
	return syscall(SYS_setns, syscall(SYS_pidfd_open, 1, 0), CLONE_NEWNET | CLONE_NEWNS);
}

static long pidfd_getfd_of_1(void)
{
	return syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, 1, 0), 0, 0);
}

static long ptrace_child(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit((pause(), 0));
	long got = syscall(SYS_ptrace, PTRACE_SEIZE, child, 0, 0);
	int error = errno;
	kill(child, SIGKILL);
	errno = error;
	return got;
}

#ifdef __x86_64__
static long int_80(void)
{
	long got = 20; /* getpid */

	__asm__ volatile("int $0x80" : "+a"(got) : : "memory", "cc", "r8", "r9", "r10", "r11");
	return got;
}
#endif

static long core_limit(void)
{
	struct rlimit limit = {1, 1};

	return setrlimit(RLIMIT_CORE, &limit);
}

static long root_again(void)
{
	return setresuid(0, 0, 0);
}

static long root_group(void)
{
	gid_t groups[] = {0};

	return syscall(SYS_setgroups, 1, groups);
}

static long raise_capabilities(void)
{
	unsigned head[2] = {0x20080522, 0}, data[6] = {1u << 21, 1u << 21, 0, 0, 0, 0};

	return syscall(SYS_capset, head, data);
}

static long ambient(void)
{
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0);
}

static long drop_filter(void)
{
	return prctl(PR_SET_SECCOMP, 0, 0, 0, 0);
}

static long new_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
}

static long become_root_by_a_file(void)
{
	struct stat st;

	/* the image has it setuid and root's; whoever runs it must stay who they are */
	if (stat("/setuid-probe", &st) != 0)
		return -1;
	if (!(st.st_mode & S_ISUID))
		return errno = EPERM, -1;
	return 0;
}

static long setuid_of_ours(void)
{
	char path[] = "/data/setuid-XXXXXX";
	int fd = mkstemp(path);
	struct stat st;

	unlink(path);
	if (fd < 0 || fchown(fd, 0, 0) != 0)
		return -1;
	return fchmod(fd, 04755) == 0 && fstat(fd, &st) == 0 ? 0 : -1;
}

static long lower_oom(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);

	return fd < 0 ? -1 : write(fd, "-500", 4);
}

static long lower_nice(void)
{
	return setpriority(PRIO_PROCESS, 0, -20);
}

static long realtime(void)
{
	struct sched_param param = {1};

	return sched_setscheduler(0, SCHED_FIFO, &param);
}

#define SOCKET(family, type, protocol) SYS_socket, {family, type, protocol}, NULL
#define RUN(function) 0, {0}, function
#define UNSHARE(name) \
	{ \
		"unshare " #name, SYS_unshare, {CLONE_NEW##name}, NULL \
	}
#define CLONE(name) \
	{ \
		"clone " #name, SYS_clone, {CLONE_NEW##name | SIGCHLD}, NULL \
	}

static const struct attempt attempts[] = {
    UNSHARE(USER),
    UNSHARE(NS),
    UNSHARE(PID),
    UNSHARE(NET),
    UNSHARE(IPC),
    UNSHARE(UTS),
    UNSHARE(CGROUP),
    {"unshare TIME", SYS_unshare, {0x80}, NULL},
    CLONE(USER),
    CLONE(NS),
    CLONE(PID),
    CLONE(NET),
    CLONE(IPC),
    CLONE(UTS),
    CLONE(CGROUP),
    {"clone USER and NET", SYS_clone, {CLONE_NEWUSER | CLONE_NEWNET | SIGCHLD}, NULL},
    {"clone3 USER", SYS_clone3, {P(clone3_flags), sizeof(clone3_flags)}, NULL},
    {"setns user", RUN(setns_user)},
    {"setns mnt", RUN(setns_mnt)},
    {"setns pid", RUN(setns_pid)},
    {"setns net", RUN(setns_net)},
    {"setns ipc", RUN(setns_ipc)},
    {"setns uts", RUN(setns_uts)},
    {"setns cgroup", RUN(setns_cgroup)},
    {"setns pidfd", RUN(setns_pidfd)},
    {"mount", SYS_mount, {P(word), P(tmp), P(kind), 0, 0}, NULL},
    {"mount bind", SYS_mount, {P(root), P(tmp), 0, MS_BIND, 0}, NULL},
    {"mount remount", SYS_mount, {0, P(root), 0, MS_REMOUNT | MS_BIND, 0}, NULL},
    {"umount", SYS_umount2, {P(tmp), MNT_DETACH}, NULL},
    {"pivot_root", SYS_pivot_root, {P(tmp), P(old)}, NULL},
    {"chroot", SYS_chroot, {P(tmp)}, NULL},
    {"move_mount", SYS_move_mount, {AT_FDCWD, P(tmp), AT_FDCWD, P(old), 0}, NULL},
    {"fsopen", SYS_fsopen, {P(kind), 0}, NULL},
    {"fsmount", SYS_fsmount, {-1, 0, 0}, NULL},
    {"fspick", SYS_fspick, {AT_FDCWD, P(root), 0}, NULL},
    {"open_tree", SYS_open_tree, {AT_FDCWD, P(root), 1}, NULL},
    {"mount_setattr", SYS_mount_setattr, {AT_FDCWD, P(root), 0, P(bytes), 32}, NULL},
    {"mknod block", SYS_mknodat, {AT_FDCWD, P(block), S_IFBLK | 0600, 0xfe00}, NULL},
    {"mknod mem", SYS_mknodat, {AT_FDCWD, P(zero), S_IFCHR | 0600, 0x101}, NULL},
    {"ptrace 1", SYS_ptrace, {PTRACE_SEIZE, 1, 0, 0}, NULL},
    {"ptrace child", RUN(ptrace_child)},
    {"ptrace traceme", SYS_ptrace, {PTRACE_TRACEME, 0, 0, 0}, NULL},
    {"process_vm_readv", SYS_process_vm_readv, {1, P(&io), 1, P(&io), 1, 0}, NULL},
    {"process_vm_writev", SYS_process_vm_writev, {1, P(&io), 1, P(&io), 1, 0}, NULL},
    {"pidfd_getfd", RUN(pidfd_getfd_of_1)},
    {"kcmp", SYS_kcmp, {1, 1, 0, 0, 0}, NULL},
    {"keyctl", SYS_keyctl, {0, -3, 1}, NULL},
    {"add_key", SYS_add_key, {P("user"), P("x"), P(bytes), 1, -3}, NULL},
    {"request_key", SYS_request_key, {P("user"), P("x"), 0, -3}, NULL},
    {"bpf", SYS_bpf, {0, P(bytes), 48}, NULL},
    {"perf_event_open", SYS_perf_event_open, {P(bytes), 0, -1, -1, 0}, NULL},
    {"userfaultfd", SYS_userfaultfd, {1}, NULL},
    {"io_uring_setup", SYS_io_uring_setup, {4, P(bytes)}, NULL},
    {"io_uring_enter", SYS_io_uring_enter, {-1, 0, 0, 0, 0}, NULL},
    {"io_uring_register", SYS_io_uring_register, {-1, 0, 0, 0}, NULL},
    {"kexec_load", SYS_kexec_load, {0, 1, 0, 0}, NULL},
    {"kexec_file_load", SYS_kexec_file_load, {-1, -1, 0, 0, 0}, NULL},
    {"init_module", SYS_init_module, {P(bytes), 8, P(root)}, NULL},
    {"finit_module", SYS_finit_module, {-1, P(root), 0}, NULL},
    {"delete_module", SYS_delete_module, {P(none), 0}, NULL},
    {"reboot", SYS_reboot, {(long)LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, 0, 0}, NULL},
    {"swapon", SYS_swapon, {P(none), 0}, NULL},
    {"swapoff", SYS_swapoff, {P(none)}, NULL},
    {"settimeofday", SYS_settimeofday, {0, 0}, NULL},
    {"clock_settime", SYS_clock_settime, {0, 0}, NULL},
    {"adjtimex", SYS_adjtimex, {P(bytes)}, NULL},
    {"sethostname", SYS_sethostname, {P(word), 1}, NULL},
    {"setdomainname", SYS_setdomainname, {P(word), 1}, NULL},
    {"personality", SYS_personality, {0x0400000}, NULL}, /* READ_IMPLIES_EXEC */
    {"quotactl", SYS_quotactl, {0x800001, 0, 0, 0}, NULL},
    {"acct", SYS_acct, {P(none)}, NULL},
    {"syslog", SYS_syslog, {3, P(bytes), 10}, NULL},
    {"vhangup", SYS_vhangup, {0}, NULL},
    {"name_to_handle_at", SYS_name_to_handle_at, {AT_FDCWD, P(root), P(&handle), P(bytes), 0},
	NULL},
    {"open_by_handle_at", SYS_open_by_handle_at, {AT_FDCWD, P(&handle), O_RDONLY}, NULL},
    {"fanotify_init", SYS_fanotify_init, {0x200, O_RDONLY}, NULL},
    {"lookup_dcookie", 212, {0, 0, 0}, NULL},
    {"memfd_secret", SYS_memfd_secret, {0}, NULL},
    {"vmsplice", SYS_vmsplice, {1, P(&io), 0, 0}, NULL},
    {"move_pages", SYS_move_pages, {1, 0, 0, 0, 0, 0}, NULL},
    {"migrate_pages", SYS_migrate_pages, {1, 0, 0, 0}, NULL},
    {"process_madvise", SYS_process_madvise, {-1, P(&io), 1, 0, 0}, NULL},
    {"unknown system call", 1000, {0}, NULL},
#ifdef __x86_64__
    {"iopl", SYS_iopl, {3}, NULL},
    {"ioperm", SYS_ioperm, {0, 1, 1}, NULL},
    {"modify_ldt", SYS_modify_ldt, {0, P(bytes), 16}, NULL},
    {"uselib", SYS_uselib, {P(none)}, NULL},
    {"int 0x80", RUN(int_80)},
    {"x32 getpid", 0x40000000 | SYS_getpid, {0}, NULL},
#endif
    {"socket packet", SOCKET(AF_PACKET, SOCK_RAW, 0)},
    {"socket packet dgram", SOCKET(AF_PACKET, SOCK_DGRAM, 0)},
    {"socket vsock", SOCKET(AF_VSOCK, SOCK_STREAM, 0)},
    {"socket alg", SOCKET(AF_ALG, SOCK_SEQPACKET, 0)},
    {"socket netlink route", SOCKET(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)},
    {"socket netlink netfilter", SOCKET(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER)},
    {"socket netlink audit", SOCKET(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT)},
    {"socket netlink diag", SOCKET(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG)},
    {"socket netlink uevent", SOCKET(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT)},
    {"socket netlink xfrm", SOCKET(AF_NETLINK, SOCK_RAW, NETLINK_XFRM)},
    {"socket bluetooth", SOCKET(AF_BLUETOOTH, SOCK_RAW, 0)},
    {"socket can", SOCKET(AF_CAN, SOCK_RAW, 1)},
    {"socket tipc", SOCKET(AF_TIPC, SOCK_STREAM, 0)},
    {"socket xdp", SOCKET(44, SOCK_RAW, 0)},
    {"socket rds", SOCKET(21, SOCK_SEQPACKET, 0)},
    {"socket key", SOCKET(AF_KEY, SOCK_RAW, 2)},
    {"socket ax25", SOCKET(3, SOCK_DGRAM, 0)},
    {"socket raw", SOCKET(AF_INET, SOCK_RAW, 1)},
    {"socket raw all", SOCKET(AF_INET, SOCK_RAW, 255)},
    {"socket raw6", SOCKET(AF_INET6, SOCK_RAW, 58)},
    {"core limit", RUN(core_limit)},
    {"setresuid 0", RUN(root_again)},
    {"setgroups 0", RUN(root_group)},
    {"capset", RUN(raise_capabilities)},
    {"ambient capability", RUN(ambient)},
    {"drop the filter", RUN(drop_filter)},
    {"drop no_new_privs", RUN(new_privileges)},
    {"setuid file of the image", RUN(become_root_by_a_file)},
    {"setuid file for root", RUN(setuid_of_ours)},
    {"lower oom score", RUN(lower_oom)},
    {"lower nice", RUN(lower_nice)},
    {"realtime", RUN(realtime)},
    {"open /proc/1/mem", SYS_openat, {AT_FDCWD, P("/proc/1/mem"), O_RDWR}, NULL},
    {"open /proc/1/cmdline", SYS_openat, {AT_FDCWD, P(cmdline), O_RDONLY}, NULL},
    {"kill 1", SYS_kill, {1, 0}, NULL},
};

/* Exit codes are errno, 0 for success. */
static void try_one(const struct attempt *attempt)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		const long *a = attempt->arg;
		errno = 0;
		long got = attempt->run
			       ? attempt->run()
			       : syscall(attempt->number, a[0], a[1], a[2], a[3], a[4], a[5]);
		_exit(got < 0 ? errno : 0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		printf("%s could not try\n", attempt->name);
	else if (WIFSIGNALED(status))
		printf("%s SIG%s\n", attempt->name, sigabbrev_np(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == 0)
		printf("%s ok\n", attempt->name);
	else
		printf("%s %s\n", attempt->name, strerrorname_np(WEXITSTATUS(status)));
	fflush(stdout);
}

int attempts_run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++)
		try_one(&attempts[i]);
	return 0;
}
