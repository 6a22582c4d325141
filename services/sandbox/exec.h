/* exec - an operator's program in an agent's container: the owner's audit trail says so first, or it does not run. One at a time for an agent. */
#ifndef SANDBOX_EXEC_H
#define SANDBOX_EXEC_H

#include "services/sandbox/agent.h"

void exec_begin(
    struct agent *agent, const struct sandbox_exec_req *req, struct bus_request *request);
/* output: a memfd, or -1; stays the caller's */
void exec_done(struct agent *agent, int status, bool was_cut, const char *why, int output);
/* What is under way, if anything is, ends. */
void exec_fail(struct agent *agent, const struct error *err);

#endif
