/* confine - privileges dropped before the loop: no new privileges, no core dumps, not traceable, ids changed, capabilities gone, a seccomp list of
 * system calls no daemon of ours needs (exec, ptrace, mount, namespaces, keyctl, bpf, module loading ...). */
#ifndef COMMON_CONFINE_H
#define COMMON_CONFINE_H

#include <stdbool.h>

#include "common/error.h"

/* First thing in main: no core dumps, PR_SET_DUMPABLE 0 (kept 1 under a sanitizer, whose leak check must trace). */
int confine_early(struct error *err);
/* Before the loop. user "": keep the ids. */
int confine(const char *user, bool may_exec, struct error *err);

#endif
