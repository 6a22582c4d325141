/* adopt_secrets - the folder of secrets of a container that is found alive, to wipe it when it ends. */
#ifndef WARDEN_ADOPT_SECRETS_H
#define WARDEN_ADOPT_SECRETS_H

/* A writable descriptor of its /run/secrets, which the container itself has read-only; or -1. */
int adopt_secrets(int pidfd);

#endif
