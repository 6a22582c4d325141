/* volume - an agent's files between its runs, /data: volumes/<agent>/<wallet>/<period>/data.ext4 holds a file system that only this owner's key opens.
 *
 * gocryptfs (one process for each open volume) shows the encrypted file in clear, a loop device makes a disk of it, and what is mounted of that shows ids
 * 0..65535 as the agent's own range. An open volume is locked by the process that has it open: never twice, whatever happened to warden.
 */
#ifndef WARDEN_VOLUME_H
#define WARDEN_VOLUME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

#define VOLUME_KEY_LEN 32
#define VOLUME_BYTES_MIN (16u << 20)
#define VOLUME_USER 1000 /* who it belongs to on disk, and in the container */

struct volume_name {
	const char *volumes; /* the folder of all */
	const char *agent, *wallet;
	uint64_t period;
};

/* What it is opened with. */
struct volume_order {
	struct volume_name name;
	const char *work; /* a folder of the job's own, below which it is mounted */
	int cgroup_fd;    /* of its encryption process */
	bool must_exist;
};

struct volume {
	int folder; /* locked */
	pid_t gocryptfs;
	char clear[80], plain[80],
	    data[80]; /* mount points: of the open file, of its file system, of the same with shifted ids */
	bool is_new;
	int root;              /* O_PATH of data, writable, once it is mounted, else -1 */
	unsigned major, minor; /* of its loop device */
};

/* Locks it, made if there is none, and starts to open it: gocryptfs needs a while. The key is not kept. What a filling that was interrupted left is removed.
 * ERR_NOT_FOUND: it must exist and does not; nothing was made. ERR_CONFLICT: it is open. ERR_BUSY: the disk is full. */
int volume_begin(struct volume *volume, const struct volume_order *order,
    const uint8_t key[VOLUME_KEY_LEN], struct error *err);
/* Waits until it shows the file in clear. */
int volume_wait(struct volume *volume, struct error *err);
/* Makes the file system if there is none, of bytes; mounts it at volume->data. ERR_INVALID: damaged, or another key; nothing was changed. */
int volume_mount(struct volume *volume, uint64_t bytes, uid_t uid_base, struct error *err);
/* A new one, mounted there, beside the one there is: volume_keep puts it in its place once what it is to hold is on the disk, and not before; until then the old
 * one is as it was. volume_drop removes it. */
int volume_mount_new(struct volume *volume, uint64_t bytes, uid_t uid_base, struct error *err);
int volume_keep(const struct volume *volume, struct error *err);
void volume_drop(const struct volume *volume);
void volume_close(struct volume *volume);

/* Is nobody using it? A volume that does not exist is not open. */
bool volume_is_closed(const struct volume_name *name);
/* Ends what the process pid shows below work. One that was killed while it had a file of its own mount open waits for its own answer, for ever and
 * deaf to signals: only the end of its connection to the kernel frees it. */
void volume_abort(pid_t pid, const char *work);
/* ERR_CONFLICT: it is open. Nothing happens if there is none. */
int volume_erase(const struct volume_name *name, struct error *err);

#endif
