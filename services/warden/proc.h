/* proc - what /proc says of a process. */
#ifndef WARDEN_PROC_H
#define WARDEN_PROC_H

#include <stdint.h>
#include <sys/types.h>

/* Field 22 of its stat: with the id, which process it is, among all that had the id. 0: there is none. */
uint64_t proc_started_at(pid_t pid);

#endif
