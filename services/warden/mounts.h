/* mounts - what a START mounts, in a mount namespace of its job alone. Paths are of the job's work folder, a tmpfs that only that namespace has. */
#ifndef WARDEN_MOUNTS_H
#define WARDEN_MOUNTS_H

#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

/* A mount namespace of this process's own, whose mounts nobody else sees, and a tmpfs at folder, whatever is there. */
int mounts_enter(const char *folder, struct error *err);
/* Another one for this process, with the same mounts; folder and all below are unmounted from the namespace that it leaves behind, which only the processes
 * started so far stay in: they see, and hold on to, nothing of what is mounted later. */
int mounts_leave_behind(const char *folder, struct error *err);

/* The folder at descriptor source, read-only, nosuid, nodev, at path. */
int mounts_bind_image(int source, const char *path, struct error *err);
/* A tmpfs for secrets at path: size and files bounded, 0500 and owner's, never swapped where the kernel can promise that. Returns a descriptor of its root, writable
 * for as long as it is open, or -1. */
int mounts_secrets(
    const char *path, uint64_t bytes, uint64_t files, uid_t owner, struct error *err);
/* A mount of its own of what is mounted at path, read-only and attached nowhere: it is there for as long as the descriptor is open. Returns its root, or -1. */
int mounts_view(const char *path, struct error *err);
/* What is mounted at from, at to too, with ids 0..65535 on disk shown as uid_base.. . Returns an O_PATH descriptor of its root, or -1. */
int mounts_bind_shifted(const char *from, const char *to, uid_t uid_base, struct error *err);

#endif
