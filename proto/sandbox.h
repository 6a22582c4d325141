/* sandbox - calls served by services/sandbox, one per host: starts, stops and isolates the agents' containers.
 *
 * An agent lives on one host, which the ledger names (mc:place:<asset>). Every call about an agent may be sent to any sandbox: one that has it not
 * answers with the name of the one that has it in host, and nothing else set. Who asks with an owner's token asks the ledger itself and does not
 * follow that name: the host that says it may have been taken over.
 */
#ifndef PROTO_SANDBOX_H
#define PROTO_SANDBOX_H

#include "common/schema.h"

#define SANDBOX_WAIT_MAX_MS 20000
#define SANDBOX_LOG_BYTES 65536 /* of one reply */

/* clang-format off */
/* ---- the owner's own, with the owner's session, which sandbox checks with session itself ---- */

#define SANDBOX_AGENT(F, M) \
	F(M, STR, host, 0, 64, MAY, "another sandbox has it: ask the one of this name; nothing else is set") \
	F(M, STR, state, 0, 8, MAY, "stopped, starting, running, sleeping or failed") \
	F(M, STR, why, 0, 160, MAY, "in words, of failed and of what a start waits for") \
	F(M, UINT, started_ms, 0, UINT64_MAX, MAY, "Unix milliseconds; while it runs") \
	F(M, STR, boot_id, 0, 32, MAY, "hex; of the last start") \
	F(M, STR, image, 0, 160, MAY, "name@sha256:digest")

#define sandbox_state_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner")
#define sandbox_state_RSP(F, M) SANDBOX_AGENT(F, M)
#define sandbox_start_REQ sandbox_state_REQ
#define sandbox_start_RSP sandbox_state_RSP
#define sandbox_stop_REQ sandbox_state_REQ
#define sandbox_stop_RSP sandbox_state_RSP
#define sandbox_restart_REQ sandbox_state_REQ
#define sandbox_restart_RSP sandbox_state_RSP

#define sandbox_reach_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner, of the console or of the agent") \
	F(M, UINT, wait_ms, 0, SANDBOX_WAIT_MAX_MS, MUST, "how long to wait for an agent that starts")
#define sandbox_reach_RSP(F, M) \
	SANDBOX_AGENT(F, M) \
	F(M, STR, upstream, 0, 64, MAY, "address:port while it runs") \
	F(M, STR, agent_token, 0, 128, MAY_SECRET, "what the agent takes as Authorization: Bearer, of this boot") \
	F(M, UINT, good_ms, 0, 60000, MAY, "for how long this may be kept; asking again says that the agent is in use") \
	F(M, BOOL, workers, 0, 1, MAY, "the owner allows service workers")

#define sandbox_logs_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, UINT, after, 0, UINT64_MAX, MUST, "next of the reply before; 0: the last of what there is") \
	F(M, UINT, wait_ms, 0, SANDBOX_WAIT_MAX_MS, MUST, "for something new")
#define sandbox_logs_RSP(F, M) \
	F(M, STR, host, 0, 64, MAY, "another sandbox has it: ask the one of this name; nothing else is set") \
	F(M, BIN, bytes, 0, SANDBOX_LOG_BYTES, MAY_SECRET, "what the agent wrote to its standard output and error: any bytes") \
	F(M, UINT, next, 0, UINT64_MAX, MAY, "to ask for what comes after these") \
	F(M, BOOL, lost, 0, 1, MAY, "bytes between after and these are gone: it wrote faster, or more, than is kept")

/* ---- operators ---- */

#define agents_ITEM(F, M) \
	F(M, STR, agent, 32, 32, MUST, "sandbox id") \
	F(M, STR, asset, 32, 44, MUST, "base58 address") \
	F(M, STR, wallet, 32, 44, MUST, "whose period it is") \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of proof") \
	F(M, STR, state, 1, 8, MUST, "stopped, starting, running, sleeping or failed") \
	F(M, STR, why, 0, 160, MAY, "of failed") \
	F(M, STR, boot_id, 0, 32, MAY, "of the last start") \
	F(M, STR, upstream, 0, 64, MAY, "while it runs") \
	F(M, UINT, started_ms, 0, UINT64_MAX, MAY, "Unix milliseconds") \
	F(M, UINT, restarts, 0, UINT64_MAX, MAY, "after crashes, since the owner's last word")
PROTO_ITEM(agents)
#define sandbox_agents_REQ(F, M) \
	F(M, STR, after, 0, 32, MAY, "sandbox id of the last one known")
#define sandbox_agents_RSP(F, M) \
	F(M, LIST, agents, 0, 256, MUST, "what comes next, by sandbox id") \
	F(M, BOOL, more, 0, 1, MAY, "there are more")

#define sandbox_halt_REQ(F, M) \
	F(M, STR, asset, 32, 44, MUST, "base58 address")
#define sandbox_halt_RSP sandbox_state_RSP
#define sandbox_wake_REQ sandbox_halt_REQ
#define sandbox_wake_RSP sandbox_state_RSP

#define argv_ITEM(F, M) \
	F(M, STR, arg, 0, 1024, MAY, "one argument")
PROTO_ITEM(argv)
#define sandbox_exec_REQ(F, M) \
	F(M, STR, asset, 32, 44, MUST, "base58 address") \
	F(M, LIST, argv, 1, 32, MUST, "the program, by path, and its arguments")
#define sandbox_exec_RSP(F, M) \
	F(M, STR, host, 0, 64, MAY, "another sandbox has it") \
	F(M, UINT, status, 0, 255, MAY, "of the program's exit; 128 and more: a signal") \
	F(M, BIN, output, 0, SANDBOX_LOG_BYTES, MAY_SECRET, "standard output and error, the first of it") \
	F(M, BOOL, cut, 0, 1, MAY, "there was more")

#define SANDBOX_CALLS(C) \
	C(sandbox, state, ROLE_ROUTER, READ, "The agent as it is; wakes nothing.") \
	C(sandbox, start, ROLE_ROUTER, ONCE, "Start it, and let requests wake it from now on.") \
	C(sandbox, stop, ROLE_ROUTER, ONCE, "Stop it until the owner starts it again.") \
	C(sandbox, restart, ROLE_ROUTER, ONCE, "Stop it and start it, with fresh secrets.") \
	C(sandbox, reach, ROLE_ROUTER, READ, "Where its requests go; wakes it if it sleeps. For a request that was allowed.") \
	C(sandbox, logs, ROLE_ROUTER, READ, "What it wrote lately.") \
	C(sandbox, agents, ROLE_OPERATOR_READ, READ, "The agents of this host.") \
	C(sandbox, halt, ROLE_OPERATOR_REVOKE, ONCE, "Stop an agent at once; its owner may start it again.") \
	C(sandbox, wake, ROLE_OPERATOR_EXEC, ONCE, "Start an agent that was started here before by its present owner.") \
	C(sandbox, exec, ROLE_OPERATOR_EXEC, ONCE, "Run a program in an agent's container; the owner's audit trail says so.")
SANDBOX_CALLS(PROTO_DECLARE)
/* clang-format on */

#endif
