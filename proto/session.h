/* session - calls served by services/session: mints, checks, lists, ends 7-day JWT sessions; alone holds the JWT secret. */
#ifndef PROTO_SESSION_H
#define PROTO_SESSION_H

#include "common/schema.h"

/* clang-format off */
#define session_mint_REQ(F, M) \
	F(M, STR, asset, 32, 44, MUST, "base58 address") \
	F(M, STR, wallet, 32, 44, MUST, "base58 public key that was proven") \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of the fresh read: the slot of proof") \
	F(M, STR, history, 1, 40, MUST, "in which nonce and read were done") \
	F(M, STR, name, 0, 64, MAY, "of the asset: hostile text") \
	F(M, STR, ip, 2, 45, MUST, "client's address") \
	F(M, STR, agent, 0, 128, MAY, "client's User-Agent") \
	F(M, STR, token, 0, 2048, MAY_SECRET, "session presented: of the same asset, it ends")
#define session_mint_RSP(F, M) \
	F(M, STR, token, 1, 2048, SECRET, "the JWT") \
	F(M, STR, jti, 32, 32, MUST, "id of the session") \
	F(M, UINT, exp_ms, 1, UINT64_MAX, MUST, "Unix milliseconds")

#define session_check_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "the JWT as presented")
#define session_check_RSP(F, M) \
	F(M, STR, history, 1, 40, MUST, "in which the look was done") \
	F(M, STR, position, 3, 42, MUST, "newest event at that moment") \
	F(M, STR, asset, 32, 44, MUST, "the subject") \
	F(M, STR, wallet, 32, 44, MUST, "base58 public key") \
	F(M, STR, jti, 32, 32, MUST, "id of the session") \
	F(M, STR, aud, 1, 47, MUST, "console, or agent:<id>") \
	F(M, STR, name, 0, 64, MAY, "of the asset: hostile text") \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of proof") \
	F(M, UINT, iat_ms, 1, UINT64_MAX, MUST, "Unix milliseconds") \
	F(M, UINT, exp_ms, 1, UINT64_MAX, MUST, "Unix milliseconds")

#define sessions_ITEM(F, M) \
	F(M, STR, jti, 32, 32, MUST, "id of the session") \
	F(M, UINT, iat_ms, 1, UINT64_MAX, MUST, "Unix milliseconds") \
	F(M, UINT, exp_ms, 1, UINT64_MAX, MUST, "Unix milliseconds") \
	F(M, UINT, seen_ms, 0, UINT64_MAX, MUST, "Unix milliseconds, to about 5 minutes") \
	F(M, STR, ip, 0, 45, MAY, "where it was opened from") \
	F(M, STR, agent, 0, 128, MAY, "User-Agent it was opened by") \
	F(M, BOOL, current, 0, 1, MUST, "the one that asks")
PROTO_ITEM(sessions)
#define session_list_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "of the owner")
#define session_list_RSP(F, M) \
	F(M, LIST, sessions, 0, 64, MUST, "of the present ownership period")

#define session_end_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "of the owner") \
	F(M, STR, jti, 0, 32, MAY, "which one; absent: the owner's own (logout)") \
	F(M, BOOL, all, 0, 1, MAY, "every session of the asset")
#define session_end_RSP(F, M) \
	F(M, STR, event, 0, 42, MAY, "that tells everybody; absent if there was no such session") \
	F(M, STR, history, 1, 40, MUST, "of that event") \
	F(M, UINT, slot, 0, UINT64_MAX, MAY, "of the chain, as last swept; absent: no sweep has counted")

#define replicas_ITEM(F, M) \
	F(M, STR, replica, 1, 64, MUST, "its name") \
	F(M, STR, role, 1, 15, MUST, "what it is") \
	F(M, STR, state, 4, 6, MUST, "done, open, or silent: not heard of for 5 s") \
	F(M, UINT, silent_ms, 0, UINT64_MAX, MAY, "since it was heard of") \
	F(M, UINT, ms, 0, UINT64_MAX, MAY, "done: from the event until it was enforced there, by Redis' clock")
PROTO_ITEM(replicas)
#define session_enforced_REQ(F, M) \
	F(M, STR, event, 3, 42, MUST, "its id") \
	F(M, STR, history, 1, 40, MUST, "that it was added in") \
	F(M, UINT, wait_ms, 0, 20000, MAY, "answer at once when no replica is open any more, else after this time")
#define session_enforced_RSP(F, M) \
	F(M, BOOL, done, 0, 1, MUST, "every replica that lives has enforced it, kills included, and no sandbox or vault is silent") \
	F(M, BOOL, lost, 0, 1, MUST, "Redis lost it: what it told is to be done again") \
	F(M, BOOL, settling, 0, 1, MUST, "nothing is done while a history settles") \
	F(M, LIST, replicas, 0, 256, MUST, "all that are known")
#define session_unlist_REQ(F, M) \
	F(M, STR, replica, 1, 64, MUST, "name of one that is no more, nor is what it held")
#define session_unlist_RSP(F, M) \
	F(M, BOOL, was_listed, 0, 1, MUST, "false: nobody of that name")

#define session_revoke_REQ(F, M) \
	F(M, STR, asset, 0, 44, MAY, "all of this asset") \
	F(M, STR, jti, 0, 32, MAY, "with asset: this one only") \
	F(M, STR, what, 0, 44, MAY, "instead: an asset, a session's jti or a wallet, whichever it is") \
	F(M, BOOL, everything, 0, 1, MAY, "all sessions there are; then all else is absent")
#define session_ban_REQ(F, M) \
	F(M, STR, wallet, 32, 44, MUST, "base58 public key") \
	F(M, BOOL, banned, 0, 1, MUST, "false lifts the ban")

/* An operator's word on which host has an agent: no host's own right, or one that was taken over could take every agent, and its owner's token with it. */
#define session_place_REQ(F, M) \
	F(M, STR, asset, 32, 44, MUST, "base58 address") \
	F(M, STR, from, 0, 64, MAY, "name of the sandbox that has it; absent: whichever does, which is lost") \
	F(M, STR, to, 1, 64, MUST, "name of the sandbox that has it from now on")
#define session_place_RSP(F, M) \
	F(M, BOOL, moved, 0, 1, MUST, "to has it now; false: nothing has changed") \
	F(M, STR, was, 0, 64, MAY, "name of the sandbox that had it until then; absent: none had")

/* From the console to the agent's own origin (security rule 5): opening -> ticket -> enter. What the first two give is single-use, lives 30 s and is kept
 * as its BLAKE2b-256; state is the BLAKE2b-256 of the cookie that the agent's entry page has set. */
#define session_opening_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the console")
#define session_opening_RSP(F, M) \
	F(M, BIN, opening, 32, 32, SECRET, "for the entry page, behind the # of its address") \
	F(M, STR, asset, 32, 44, MUST, "the subject") \
	F(M, UINT, expires_ms, 1, UINT64_MAX, MUST, "Unix milliseconds")
#define session_ticket_REQ(F, M) \
	F(M, BIN, opening, 32, 32, SECRET, "as above") \
	F(M, STR, agent, 32, 32, MUST, "sandbox id whose origin asks") \
	F(M, BIN, state, 32, 32, MUST, "whose browser it is bound to")
#define session_ticket_RSP(F, M) \
	F(M, BIN, ticket, 32, 32, SECRET, "for session.enter")
#define session_enter_REQ(F, M) \
	F(M, BIN, ticket, 32, 32, SECRET, "from session.ticket") \
	F(M, STR, agent, 32, 32, MUST, "sandbox id whose origin asks") \
	F(M, BIN, state, 32, 32, MUST, "of the browser that asks") \
	F(M, STR, ip, 2, 45, MUST, "client's address") \
	F(M, STR, user_agent, 0, 128, MAY, "client's User-Agent")
#define session_enter_RSP(F, M) \
	F(M, STR, token, 1, 2048, SECRET, "JWT for agent:<id>, child of the console's session: it ends with it") \
	F(M, STR, jti, 32, 32, MUST, "id of the session") \
	F(M, STR, asset, 32, 44, MUST, "the subject") \
	F(M, UINT, exp_ms, 1, UINT64_MAX, MUST, "Unix milliseconds")

#define SESSION_CALLS(C) \
	C(session, mint, ROLE_AUTH, ONCE, "Open a session for a wallet that was proven to own the asset; the ledger judges again.") \
	C(session, check, ROLE_ROUTER | ROLE_AUTH | ROLE_VAULT | ROLE_SANDBOX | ROLE_WALLET, READ, "Is this token good at this moment? One look, no cache.") \
	C(session, opening, ROLE_ROUTER, ONCE, "Begin to bring the owner's browser onto the agent's origin.") \
	C(session, ticket, ROLE_ROUTER, ONCE, "Exchange an opening for a ticket that one browser alone can use.") \
	C(session, enter, ROLE_ROUTER, ONCE, "Exchange a ticket for a session of the agent's origin.") \
	C(session, list, ROLE_ROUTER, READ, "The sessions of the owner's asset.") \
	C(session, end, ROLE_ROUTER, ONCE, "The owner ends one or all sessions of the asset.") \
	C(session, revoke, ROLE_OPERATOR_REVOKE, ONCE, "An operator ends sessions.") \
	C(session, ban, ROLE_OPERATOR_REVOKE, ONCE, "An operator bans a wallet, or lifts it.") \
	C(session, enforced, ROLE_ROUTER | ROLE_OPERATOR_READ | ROLE_OPERATOR_REVOKE, READ, "Which replicas have enforced an event?") \
	C(session, unlist, ROLE_OPERATOR_REVOKE, ONCE, "A replica is not waited for any more.") \
	C(session, place, ROLE_OPERATOR_REVOKE, ONCE, "An operator gives an agent to another host.")
#define session_revoke_RSP session_end_RSP
#define session_ban_RSP session_end_RSP
SESSION_CALLS(PROTO_DECLARE)
/* clang-format on */

#endif
