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
#define SANDBOX_MOVE_MS 60000   /* for so long nothing wakes an agent that is moved */

/* clang-format off */
/* ---- the owner's own, with the owner's session, which sandbox checks with session itself ---- */

#define SANDBOX_AGENT(F, M) \
	F(M, STR, host, 0, 64, MAY, "another sandbox has it: ask the one of this name; nothing else is set") \
	F(M, STR, state, 0, 8, MAY, "stopped, starting, running, sleeping or failed") \
	F(M, STR, why, 0, 160, MAY, "in words, of failed and of what a start waits for") \
	F(M, UINT, started_ms, 0, UINT64_MAX, MAY, "Unix milliseconds; while it runs") \
	F(M, STR, boot_id, 0, 32, MAY, "hex; of the last start") \
	F(M, STR, image, 0, 160, MAY, "name@sha256:digest") \
	F(M, UINT, snapshot, 0, UINT64_MAX, MAY, "number of the newest one; 0 or absent: none") \
	F(M, UINT, snapshot_ms, 0, UINT64_MAX, MAY, "Unix milliseconds: when it was made") \
	F(M, STR, snapshot_why, 0, 160, MAY, "why the last try made none")

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

/* ---- snapshots, the owner's own */

#define SANDBOX_ROOTS_MAX 16
#define snapshots_ITEM(F, M) \
	F(M, UINT, id, 1, UINT64_MAX, MUST, "its number") \
	F(M, UINT, created_ms, 1, UINT64_MAX, MUST, "Unix milliseconds") \
	F(M, UINT, bytes, 0, UINT64_MAX, MUST, "of its files") \
	F(M, UINT, stored_bytes, 0, UINT64_MAX, MUST, "in the store: compressed, encrypted") \
	F(M, UINT, files, 0, UINT64_MAX, MUST, "how many") \
	F(M, STR, trigger, 1, 16, MUST, "sleep, stop, timer, demand, move or restore") \
	F(M, STR, boot_id, 0, 32, MAY, "hex; of the start it was taken from") \
	F(M, BOOL, damaged, 0, 1, MAY, "it was found damaged when it was to be restored")
PROTO_ITEM(snapshots)
#define SANDBOX_PROGRESS(F, M) \
	F(M, STR, host, 0, 64, MAY, "another sandbox has it: ask the one of this name; nothing else is set") \
	F(M, STR, doing, 0, 16, MAY, "snapshot, restore or hand_over; absent: nothing is under way") \
	F(M, UINT, done_bytes, 0, UINT64_MAX, MAY, "of its files so far") \
	F(M, UINT, total_bytes, 0, UINT64_MAX, MAY, "as far as known") \
	F(M, UINT, change, 0, UINT64_MAX, MAY, "for the next question's after") \
	F(M, STR, outcome, 0, 16, MAY, "of the last one: made, unchanged, secret_found, empty, too_large, busy, failed, handed_over, nothing_to_save") \
	F(M, STR, why, 0, 160, MAY, "in words, if it was none of made, unchanged and handed_over") \
	F(M, STR, path, 0, 1024, MAY, "secret_found: the file, below /data; never what was found") \
	F(M, STR, kind, 0, 96, MAY, "secret_found: kind/name of the secret and how it was encoded")
#define roots_ITEM(F, M) \
	F(M, STR, root, 1, 255, MUST, "below /data")
PROTO_ITEM(roots)

#define sandbox_snapshots_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, UINT, after, 0, UINT64_MAX, MUST, "change of the reply before; 0: at once") \
	F(M, UINT, wait_ms, 0, SANDBOX_WAIT_MAX_MS, MUST, "for a change")
#define sandbox_snapshots_RSP(F, M) \
	SANDBOX_PROGRESS(F, M) \
	F(M, LIST, snapshots, 0, 64, MAY, "newest first; of the present ownership period") \
	F(M, LIST, roots, 0, SANDBOX_ROOTS_MAX, MAY, "what the owner before handed over, to be accepted or not") \
	F(M, STR, handed_wallet, 0, 44, MAY, "who that was") \
	F(M, UINT, handed_ms, 0, UINT64_MAX, MAY, "Unix milliseconds: when") \
	F(M, UINT, handed_bytes, 0, UINT64_MAX, MAY, "of its files")

#define sandbox_snapshot_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, UINT, wait_ms, 0, SANDBOX_WAIT_MAX_MS, MUST, "for its end; then ask sandbox.snapshots")
#define sandbox_snapshot_RSP(F, M) \
	SANDBOX_PROGRESS(F, M) \
	F(M, UINT, id, 0, UINT64_MAX, MAY, "number of the newest snapshot, if it is done")
#define sandbox_restore_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, UINT, id, 1, UINT64_MAX, MUST, "which one; the agent is stopped, and started from it")
#define sandbox_restore_RSP(F, M) SANDBOX_AGENT(F, M)
#define sandbox_discard_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, UINT, id, 1, UINT64_MAX, MUST, "which one, not the newest")
#define sandbox_discard_RSP(F, M) \
	F(M, STR, host, 0, 64, MAY, "another sandbox has it: ask the one of this name; nothing else is set")
#define sandbox_hand_over_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, LIST, roots, 0, SANDBOX_ROOTS_MAX, MAY, "folders below /data that the next owner may take over; none: nothing any more") \
	F(M, UINT, wait_ms, 0, SANDBOX_WAIT_MAX_MS, MUST, "for its end; then ask sandbox.snapshots")
#define sandbox_hand_over_RSP(F, M) SANDBOX_PROGRESS(F, M)
#define sandbox_accept_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, BOOL, wanted, 0, 1, MUST, "true: put what was handed over into /data, by a restart; false: throw it away")
#define sandbox_accept_RSP(F, M) SANDBOX_AGENT(F, M)

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

/* The first half of a move; the second is session.place, within SANDBOX_MOVE_MS of the last call. */
#define sandbox_move_REQ(F, M) \
	F(M, STR, asset, 32, 44, MUST, "base58 address") \
	F(M, STR, to, 1, 64, MUST, "name of the sandbox that is to have it")
#define sandbox_move_RSP(F, M) \
	F(M, STR, host, 0, 64, MAY, "another sandbox has it: ask the one of this name; nothing else is set") \
	F(M, STR, doing, 0, 16, MAY, "it is under way: ask again") \
	F(M, BOOL, moved, 0, 1, MAY, "it is saved and stopped, and kept so for a while: ready to be placed elsewhere")

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
	C(sandbox, snapshots, ROLE_ROUTER, READ, "Its snapshots, what is under way, and what was handed over.") \
	C(sandbox, snapshot, ROLE_ROUTER, ONCE, "Make one now.") \
	C(sandbox, restore, ROLE_ROUTER, ONCE, "Go back to one: it becomes the newest, and the agent starts from it.") \
	C(sandbox, discard, ROLE_ROUTER, ONCE, "Delete one that is not the newest.") \
	C(sandbox, hand_over, ROLE_ROUTER, ONCE, "Leave some folders to the next owner.") \
	C(sandbox, accept, ROLE_ROUTER, ONCE, "Take or refuse what the owner before left.") \
	C(sandbox, move, ROLE_OPERATOR_REVOKE, ONCE, "Save an agent and stop it, so that another host can be given it.") \
	C(sandbox, agents, ROLE_OPERATOR_READ, READ, "The agents of this host.") \
	C(sandbox, halt, ROLE_OPERATOR_REVOKE, ONCE, "Stop an agent at once; its owner may start it again.") \
	C(sandbox, wake, ROLE_OPERATOR_EXEC, ONCE, "Start an agent that was started here before by its present owner.") \
	C(sandbox, exec, ROLE_OPERATOR_EXEC, ONCE, "Run a program in an agent's container; the owner's audit trail says so.")
SANDBOX_CALLS(PROTO_DECLARE)
/* clang-format on */

#endif
