/* housekeeping - what is done by the clock: connections counted, idle agents put to sleep, volumes of former periods erased. */
#ifndef SANDBOX_HOUSEKEEPING_H
#define SANDBOX_HOUSEKEEPING_H

#include "services/sandbox/agent.h"

struct housekeeping *housekeeping_new(struct sandbox *sandbox);
void housekeeping_destroy(struct housekeeping **housekeeping);
/* why: "" if it is erased. The agent may be gone after it. */
void housekeeping_erased(struct agent *agent, const char *why);

#endif
