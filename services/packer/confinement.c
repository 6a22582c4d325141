#include "services/packer/confinement.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/confine.h"
#include "proto/packer.h"

#define MEMORY_MAX \
	(UINT64_C(1) \
	    << 30) /* bytes of address space: all libraries, zstd at level 19 with its threads fit in it */
#define FILES_MAX 256 /* a folder for each level that is walked, and a few */

#if defined(__SANITIZE_ADDRESS__)
/* LeakSanitizer would look for /proc, which the folder it is confined to does not have, and end with an error. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static int failed(struct error *err, const char *what)
{
	return error_set(err, ERR_INTERNAL, "confinement: %s: %s", what, strerror(errno));
}

static int close_others(struct error *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    (fcntl(2, F_GETFD) < 0 && dup2(null, 2) < 0))
		return failed(err, "/dev/null");
	if (close_range(PACKER_REPORT + 1, ~0U, 0) != 0)
		return failed(err, "descriptors");
	if (null == PACKER_ORDER || null == PACKER_SECRETS)
		close(null);
	for (int fd = PACKER_ROOT; fd <= PACKER_REPORT; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

static int change_root(struct error *err)
{
	if (fchdir(PACKER_ROOT) != 0 || chroot(".") != 0 || chdir("/") != 0)
		return failed(err, "root folder");
	return 0;
}

static int set_limits(struct error *err)
{
	const struct rlimit none = {0, 0}, files = {FILES_MAX, FILES_MAX};
	const struct rlimit memory = {MEMORY_MAX, MEMORY_MAX};

	/* (a sanitizer reserves terabytes) */
	if (setrlimit(RLIMIT_CORE, &none) != 0 || setrlimit(RLIMIT_NOFILE, &files) != 0 ||
	    (!confine_is_sanitized() && setrlimit(RLIMIT_AS, &memory) != 0))
		return failed(err, "limits");
	return 0;
}

/* With the change of ids capabilities stay, once, so that one of them can be kept. */
static int become(uid_t uid, gid_t gid, struct error *err)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			return failed(err, "bounding set");
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || setgroups(0, NULL) != 0 ||
	    setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
		return failed(err, "ids");
	return 0;
}

static int keep_capability(bool is_unpacking, struct error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct kept[_LINUX_CAPABILITY_U32S_3] = {0};
	const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
				   SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
				   SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

	/* setting the bits needs a capability, so this comes first */
	if (!is_unpacking)
		kept[0].permitted = kept[0].effective = 1U << CAP_DAC_READ_SEARCH;
	struct __user_cap_data_struct one_more[_LINUX_CAPABILITY_U32S_3] = {kept[0], kept[1]};
	one_more[0].permitted |= 1U << CAP_SETPCAP;
	one_more[0].effective |= 1U << CAP_SETPCAP;
	if (syscall(SYS_capset, &header, one_more) != 0 ||
	    prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) != 0 || syscall(SYS_capset, &header, kept) != 0)
		return failed(err, "capabilities");
	return 0;
}

static int check(uid_t uid, struct error *err)
{
	if (setuid(0) == 0 || seteuid(0) == 0 || geteuid() != uid)
		return error_set(err, ERR_INTERNAL, "confinement: it can become root again");
	return 0;
}

int confinement_enter(uid_t uid, gid_t gid, bool is_unpacking, struct error *err)
{
	if (close_others(err) != 0 || change_root(err) != 0 || set_limits(err) != 0 ||
	    become(uid, gid, err) != 0 || keep_capability(is_unpacking, err) != 0 ||
	    check(uid, err) != 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return failed(err, "no new privileges");
	/* a change of ids sets this back */
	if (!confine_is_sanitized() && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return failed(err, "dumpable");
	return 0;
}
