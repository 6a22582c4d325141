/* session_proc - a session: services/session as it is, its settings aside. */
#ifndef SIM_SESSION_PROC_H
#define SIM_SESSION_PROC_H

#include "tests/sim/proc.h"

void session_proc_serve(
    struct proc *proc, const struct proto_call *call, const void *req, struct bus_request *request);

#endif
