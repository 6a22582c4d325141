/* confine - privileges dropped before the loop: no new privileges, no core dumps, not traceable, ids changed, capabilities gone, a seccomp list of
 * system calls no daemon of ours needs (exec, ptrace, mount, namespaces, keyctl, bpf, module loading ...). */
#ifndef COMMON_CONFINE_H
#define COMMON_CONFINE_H

#include <stdbool.h>

#include "common/error.h"

/* First thing in main: no core dumps, PR_SET_DUMPABLE 0 (kept 1 under a sanitizer, whose leak check must trace). */
int confine_early(struct error *err);
/* Drops every capability of this thread and of those it will start. For a process that keeps its ids (user ""): before its first thread, because
 * a later call cannot reach the threads that exist. With a user, the change of ids takes them from all threads. */
int confine_capabilities(struct error *err);
/* For a process that will become user: what it creates until then belongs to that user's group. Nothing happens if it is not root. */
int confine_group(const char *user, struct error *err);
/* Before the loop. user "": keep the ids. The seccomp list holds for every thread. */
int confine(const char *user, bool may_exec, struct error *err);

bool confine_is_sanitized(void); /* built with AddressSanitizer */

#endif
