/* confinement - what the packer gives up before it looks at anything an agent wrote. common/confine is for daemons that become a named user and know what they may not
 * call; here there is one job, so what may be called is listed. */
#ifndef PACKER_CONFINEMENT_H
#define PACKER_CONFINEMENT_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

/* Closes all descriptors but the order's and stderr, makes PACKER_ROOT the root and working folder, becomes the ids, and keeps no capability but, to read, CAP_DAC_READ_SEARCH. From root. */
int confinement_enter(uid_t uid, gid_t gid, bool is_unpacking, struct error *err);
/* The list of system calls: no socket, no exec, no process, no id, no memory that is to be executed (so nothing that a library would load from the agent's folders runs), and,
 * unless it unpacks, no call that changes a file by its name or opens one for writing. */
int confinement_calls(bool is_unpacking, struct error *err);

#endif
