#include "services/warden/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "common/scoped.h"
#include "services/warden/loop.h"
#include "services/warden/mounts.h"
#include "services/warden/proc.h"
#include "services/warden/spawn.h"

#define FILE_NAME "data.ext4"
#define NEW_NAME "data.new"
#define OPEN_MS 20000
#define MKFS_MS 120000
#define FREE_PERCENT_MIN 5

static int failed(struct error *err, const char *what)
{
	return error_set(err, ERR_UNAVAILABLE, "volume: %s: %s", what, strerror(errno));
}

/* ---- its folder ---- */

static int enter(int at, const char *name, bool make)
{
	if (at == -1 || (make && mkdirat(at, name, 0700) != 0 && errno != EEXIST))
		return -1;
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* -1 with errno. */
static int open_folder(const struct volume_name *name, bool make)
{
	char period[24];
	scoped_fd int all = enter(AT_FDCWD, name->volumes, make);
	scoped_fd int agent = enter(all, name->agent, make);
	scoped_fd int wallet = enter(agent, name->wallet, make);

	snprintf(period, sizeof(period), "%" PRIu64, name->period);
	return enter(wallet, period, make);
}

static int check_space(int folder, struct error *err)
{
	struct statvfs about;

	if (fstatvfs(folder, &about) != 0)
		return failed(err, "statvfs");
	if (about.f_bavail < about.f_blocks / 100 * FREE_PERCENT_MIN)
		return error_set(err, ERR_BUSY,
		    "less than %d %% of the host's disk is free: nothing is started",
		    FREE_PERCENT_MIN);
	return 0;
}

static int lock_folder(const struct volume_name *name, bool must_exist, struct error *err)
{
	int folder = open_folder(name, !must_exist);

	if (must_exist &&
	    (folder < 0 ? errno == ENOENT : faccessat(folder, FILE_NAME, F_OK, 0) != 0)) {
		if (folder >= 0)
			close(folder);
		return error_set(err, ERR_NOT_FOUND, "there is no volume on this host");
	}
	if (folder < 0)
		return failed(err, "its folder");
	if (flock(folder, LOCK_EX | LOCK_NB) == 0) {
		unlinkat(folder, NEW_NAME, 0);
		return folder;
	}
	if (errno == EWOULDBLOCK)
		error_set(err, ERR_CONFLICT, "the volume is still open");
	else
		failed(err, "flock");
	close(folder);
	return -1;
}

/* ---- gocryptfs ---- */

static int send_key(int to, const uint8_t key[VOLUME_KEY_LEN])
{
	char hex[2 * VOLUME_KEY_LEN + 2];

	sodium_bin2hex(hex, sizeof(hex), key, VOLUME_KEY_LEN);
	hex[2 * VOLUME_KEY_LEN] = '\n';
	ssize_t len = write(to, hex, 2 * VOLUME_KEY_LEN + 1);
	sodium_memzero(hex, sizeof(hex));
	return len == 2 * VOLUME_KEY_LEN + 1 ? 0 : -1;
}

/* It inherits the locked folder, so the lock lives exactly as long as it does. */
static int start_gocryptfs(
    struct volume *volume, int cgroup_fd, const uint8_t *key, struct error *err)
{
	static const char cipher[] = "/proc/self/fd/3";
	char self[16];
	const char *const argv[] = {"/usr/bin/gocryptfs", "-q", "-nosyslog", "-plaintextnames",
	    "-fg", "-notifypid", self, "-masterkey=stdin", cipher, volume->clear, NULL};
	sigset_t told;
	int input[2];

	snprintf(self, sizeof(self), "%d", (int)getpid());
	sigemptyset(&told);
	sigaddset(&told, SIGUSR1);
	sigaddset(&told, SIGCHLD);
	sigprocmask(SIG_BLOCK, &told, NULL);
	if (pipe2(input, O_CLOEXEC) != 0)
		return failed(err, "pipe");
	scoped_fd int from = input[0], to = input[1];
	struct spawn spawn = {.argv = argv,
	    .cgroup_fd = cgroup_fd,
	    .fds = {from, -1, -1, volume->folder},
	    .nfds = 4,
	    /* it opens with a quarter less work so, and holds less memory */
	    .setting = "GOMAXPROCS=1"};
	volume->gocryptfs = spawn_exec(&spawn, err);
	if (volume->gocryptfs < 0)
		return -1;
	return send_key(to, key) == 0 ? 0 : failed(err, "sending the key");
}

int volume_begin(struct volume *volume, const struct volume_order *order,
    const uint8_t key[VOLUME_KEY_LEN], struct error *err)
{
	const char *work = order->work;

	*volume = (struct volume){.root = -1};
	snprintf(volume->clear, sizeof(volume->clear), "%s/clear", work);
	snprintf(volume->plain, sizeof(volume->plain), "%s/plain", work);
	snprintf(volume->data, sizeof(volume->data), "%s/data", work);
	volume->folder = lock_folder(&order->name, order->must_exist, err);
	if (volume->folder < 0 || check_space(volume->folder, err) != 0)
		return -1;
	if (mkdir(volume->clear, 0700) != 0 || mkdir(volume->plain, 0700) != 0 ||
	    mkdir(volume->data, 0755) != 0)
		return failed(err, "mount points");
	return start_gocryptfs(volume, order->cgroup_fd, key, err);
}

/* It touches its mount once more after the kernel has it; only its signal says that it is done with that. */
int volume_wait(struct volume *volume, struct error *err)
{
	const struct timespec longest = {OPEN_MS / 1000, 0};
	sigset_t wanted;
	int status;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGUSR1);
	sigaddset(&wanted, SIGCHLD);
	for (;;) {
		int signo = sigtimedwait(&wanted, NULL, &longest);
		if (signo == SIGUSR1)
			return 0;
		if (signo < 0 && errno != EINTR)
			return error_set(err, ERR_TIMEOUT,
			    "volume: gocryptfs did not open it within %d s", OPEN_MS / 1000);
		if (waitpid(volume->gocryptfs, &status, WNOHANG) == volume->gocryptfs)
			return error_set(err, ERR_UNAVAILABLE,
			    "volume: gocryptfs ended with status %d", WEXITSTATUS(status));
	}
}

/* ---- the file system ---- */

static int make_file_system(struct volume *volume, int clear, uint64_t bytes, struct error *err)
{
	static const char options[] =
	    "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=1000:1000";
	char path[96];
	const char *const argv[] = {
	    "/sbin/mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-E", options, path, NULL};
	struct spawn spawn = {.argv = argv, .cgroup_fd = -1, .fds = {-1, -1, -1}, .nfds = 3};

	snprintf(path, sizeof(path), "%s/%s", volume->clear, NEW_NAME);
	scoped_fd int file = openat(clear, NEW_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0 || ftruncate(file, (off_t)bytes) != 0)
		return failed(err, "its file");
	pid_t pid = spawn_exec(&spawn, err);
	if (pid < 0 || spawn_wait(pid, "mkfs.ext4", MKFS_MS, err) != 0)
		return -1;
	volume->is_new = true;
	return fsync(file) == 0 ? 0 : failed(err, "its file");
}

static int open_clear(const struct volume *volume, struct error *err)
{
	int clear = open(volume->clear, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return clear >= 0 ? clear : failed(err, "clear");
}

static int take_place(int clear, struct error *err)
{
	return renameat(clear, NEW_NAME, clear, FILE_NAME) == 0 ? 0 : failed(err, "its file");
}

/* Nothing is made in place of what cannot be read: that would be the end of somebody's files. */
static int open_file(struct volume *volume, uint64_t bytes, struct error *err)
{
	uint8_t block[4096];
	scoped_fd int clear = open_clear(volume, err);

	if (clear < 0)
		return -1;
	int file = openat(clear, FILE_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0 && errno == ENOENT) {
		if (make_file_system(volume, clear, bytes, err) != 0 || take_place(clear, err) != 0)
			return -1;
		file = openat(clear, FILE_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	}
	if (file < 0)
		return error_set(err, ERR_INVALID,
		    "the volume does not open: it is damaged, or the key is another one (%s)",
		    strerror(errno));
	/* the superblock and its magic number */
	if (pread(file, block, sizeof(block), 0) == (ssize_t)sizeof(block) &&
	    block[1024 + 56] == 0x53 && block[1024 + 57] == 0xef)
		return file;
	close(file);
	return error_set(
	    err, ERR_INVALID, "the volume does not open: it is damaged, or the key is another one");
}

static void tidy_new(const char *plain)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/lost+found", plain);
	rmdir(path);
	(void)!chmod(plain, 0700);
}

static uint64_t whole_blocks(uint64_t bytes)
{
	return (bytes < VOLUME_BYTES_MIN ? VOLUME_BYTES_MIN : bytes) / 4096 * 4096;
}

static int mount_file(struct volume *volume, int file, uid_t uid_base, struct error *err)
{
	char device[32];
	scoped_fd int loop = loop_make(file, device, &volume->major, &volume->minor, err);
	if (loop < 0)
		return -1;
	if (mount(device, volume->plain, "ext4", MS_NOSUID | MS_NODEV | MS_NOATIME,
		"errors=remount-ro") != 0)
		return error_set(err, ERR_INVALID,
		    "the volume's file system does not mount: %s; nothing was changed",
		    strerror(errno));
	if (volume->is_new)
		tidy_new(volume->plain);
	volume->root = mounts_bind_shifted(volume->plain, volume->data, uid_base, err);
	return volume->root >= 0 ? 0 : -1;
}

int volume_mount(struct volume *volume, uint64_t bytes, uid_t uid_base, struct error *err)
{
	scoped_fd int file = open_file(volume, whole_blocks(bytes), err);

	return file < 0 ? -1 : mount_file(volume, file, uid_base, err);
}

/* ---- one that takes another's place ---- */

static int open_new(const struct volume *volume, int *clear_r, struct error *err)
{
	*clear_r = open_clear(volume, err);
	if (*clear_r < 0)
		return -1;
	int file = openat(*clear_r, NEW_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	return file >= 0 ? file : failed(err, "its new file");
}

int volume_mount_new(struct volume *volume, uint64_t bytes, uid_t uid_base, struct error *err)
{
	scoped_fd int clear = open_clear(volume, err);

	if (clear < 0 || make_file_system(volume, clear, whole_blocks(bytes), err) != 0)
		return -1;
	scoped_fd int again = -1;
	scoped_fd int file = open_new(volume, &again, err);
	return file < 0 ? -1 : mount_file(volume, file, uid_base, err);
}

/* From the inside out: the file system to its disk, that to the file, the file's name to the folder. */
int volume_keep(const struct volume *volume, struct error *err)
{
	scoped_fd int clear = -1;
	scoped_fd int file = open_new(volume, &clear, err);
	scoped_fd int root = openat(volume->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (file < 0)
		return -1;
	if (root < 0 || syncfs(root) != 0 || fsync(file) != 0)
		return failed(err, "writing it");
	if (take_place(clear, err) != 0)
		return -1;
	return fsync(volume->folder) == 0 ? 0 : failed(err, "its folder");
}

void volume_drop(const struct volume *volume)
{
	unlinkat(volume->folder, NEW_NAME, 0);
}

void volume_close(struct volume *volume)
{
	if (volume->root >= 0)
		close(volume->root);
	if (volume->folder >= 0)
		close(volume->folder);
	*volume = (struct volume){.root = -1, .folder = -1};
}

/* ---- from outside ---- */

bool volume_is_closed(const struct volume_name *name)
{
	scoped_fd int folder = open_folder(name, false);

	return folder < 0 ? errno == ENOENT : flock(folder, LOCK_EX | LOCK_NB) == 0;
}

/* Not in the caller's own process: it would be left in the other's mount namespace. */
void volume_abort(pid_t pid, const char *work)
{
	char task[PROC_TASK_LEN], clear[80];

	snprintf(clear, sizeof(clear), "%s/clear", work);
	pid_t child = spawn_fork(-1, NULL);
	if (child == 0) {
		int space = proc_mount_space(pid, task);
		if (space >= 0 && setns(space, CLONE_NEWNS) == 0)
			umount2(clear, MNT_FORCE);
		_exit(0);
	}
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

static int remove_folders(const struct volume_name *name, struct error *err)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s/%s/%" PRIu64, name->volumes, name->agent, name->wallet,
	    name->period);
	if (rmdir(path) != 0)
		return failed(err, "removing its folder");
	/* those above only if nothing else is in them */
	for (int i = 0; i < 2; i++) {
		*strrchr(path, '/') = '\0';
		if (rmdir(path) != 0)
			break;
	}
	return 0;
}

int volume_erase(const struct volume_name *name, struct error *err)
{
	static const char *const files[] = {FILE_NAME, NEW_NAME, "gocryptfs.diriv"};
	scoped_fd int folder = open_folder(name, false);

	if (folder < 0)
		return errno == ENOENT ? 0 : failed(err, "its folder");
	if (flock(folder, LOCK_EX | LOCK_NB) != 0)
		return error_set(err, ERR_CONFLICT, "the volume is open");
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (unlinkat(folder, files[i], 0) != 0 && errno != ENOENT)
			return failed(err, "removing its file");
	return remove_folders(name, err);
}
