/* confine_calls - the seccomp list: system calls that no daemon of ours needs answer EPERM, in every thread. A list of what is denied, because the
 * libraries' needs change with their versions; systemd's allow-list (deploy/systemd) stands in front of it. */
#ifndef COMMON_CONFINE_CALLS_H
#define COMMON_CONFINE_CALLS_H

#include <stdbool.h>

#include "common/error.h"

/* No new privileges is set already. may_trace: leave what LeakSanitizer needs at exit. */
int confine_calls(bool may_exec, bool may_trace, struct error *err);

#endif
