/* adopt_mounts - what warden holds of the mounts of a container, opened again for one that is found alive. */
#ifndef WARDEN_ADOPT_MOUNTS_H
#define WARDEN_ADOPT_MOUNTS_H

/* A writable descriptor of its /run/secrets, which the container itself has read-only; or -1. */
int adopt_secrets(int pidfd);
/* A read-only mount of its /data, as mounts_view makes it; or -1. */
int adopt_data(int pidfd);

#endif
