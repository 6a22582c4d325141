/* ledger - the shared state in Redis and the one script (ledger.lua) through which every deciding
 * step goes. This header is the C side: typed calls, parsed replies. Rules by number:
 * ARCHITECTURE.md, "Ownership and revocation".
 *
 * Every done callback is called exactly once and never from inside the call; *out is borrowed for
 * the call and NULL when err is set. Every reply names the history it was served in.
 */
#ifndef COMMON_LEDGER_H
#define COMMON_LEDGER_H

#include <string.h>

#include "common/base58.h"
#include "common/redis.h"

#define HISTORY_MAX 40
#define EVENT_ID_MAX 42
#define JTI_LEN 32 /* hex of 128 random bits */
#define SESSION_SECONDS 604800u
#define TICKET_MS 30000u
#define LEDGER_NOBODY "nobody"
/* The "asset" of an event that concerns the operators' own LLM keys: nobody's session, agent or period, so not "*", after which every one of those is
 * looked at. An address, because all readers of events take nothing else, and the System Program's, which is no asset and will be none. */
#define LEDGER_OPERATORS "11111111111111111111111111111111"

/* A stream id, comparable. {0, 0} is before every event. */
struct event_id {
	uint64_t ms, seq;
};
int event_id_parse(const char *text, struct event_id *id_r); /* 0, or -1 */
char *event_id_text(struct event_id id, char buf[EVENT_ID_MAX + 1]);
static inline int event_id_compare(struct event_id a, struct event_id b)
{
	if (a.ms != b.ms)
		return a.ms < b.ms ? -1 : 1;
	return a.seq < b.seq ? -1 : a.seq > b.seq;
}

#define LEDGER_EPOCH_MAX 40
#define LEDGER_PLACE_MAX 64

struct ledger_event {
	struct event_id id;
	char history[HISTORY_MAX + 1];
	char asset[PUBKEY_TEXT_MAX + 1]; /* or "*" */
	/* for people: transfer session logout revoked replaced banned lost reset key
	 * agent snapshot secret */
	char kind[16];
};
/* The one place where a kind decides: true but for those that end no session and no ownership (session agent snapshot secret), after which a reset would only
 * cut what an owner is doing. An unknown kind ends. */
bool ledger_event_ends(const struct ledger_event *event);

struct ledger_chain {
	bool known;     /* a sweep has counted */
	uint64_t slot;  /* of the last sweep that counted */
	uint64_t at_ms; /* Redis' clock when that sweep began */
	char genesis[PUBKEY_TEXT_MAX + 1];
};

struct ledger_follow {
	char history[HISTORY_MAX + 1];
	uint64_t settling_ms; /* of this history; 0: settled */
	uint64_t now_ms;      /* Redis' clock */
	bool restart;         /* start over: events after the cursor are not all known (rule 12) */
	struct event_id head;
	/* that the head was added in; "" if there is no event yet */
	char head_history[HISTORY_MAX + 1];
	struct ledger_chain chain;
	size_t nevents; /* after the cursor, oldest first; empty if restart */
	const struct ledger_event *events;
};

/* clang-format off */
#define LEDGER_VERDICTS(X) X(GOOD, "good") X(ENDED, "ended") X(BANNED, "banned") \
	X(HISTORY, "history") X(SETTLING, "settling") X(CHAIN, "chain") X(NOT_OWNER, "not_owner")
/* clang-format on */
enum ledger_verdict {
#define LEDGER_VERDICT_ENUM(name, text) LEDGER_##name,
	LEDGER_VERDICTS(LEDGER_VERDICT_ENUM)
#undef LEDGER_VERDICT_ENUM
};

struct ledger_look {
	char history[HISTORY_MAX + 1];
	struct event_id position; /* the head at that moment */
	/* GOOD, ENDED or BANNED; the rest is filled in only if a session was found */
	enum ledger_verdict verdict;
	char asset[PUBKEY_TEXT_MAX + 1], wallet[PUBKEY_TEXT_MAX + 1];
	uint64_t slot, iat_ms, exp_ms;
	char aud[48], name[64 + 1];
};

struct ledger_record {
	char history[HISTORY_MAX + 1];
	bool changed; /* an event was added */
	struct event_id event;
	char owner[PUBKEY_TEXT_MAX + 1]; /* "" : not watched, nothing written */
	uint64_t seen_slot, other_slot;
};

struct ledger_mint {
	const char *asset, *wallet, *history, *jti, *aud, *name, *ip, *agent, *kid;
	const char *previous; /* "" or a jti */
	uint64_t slot, iat_ms, exp_ms;
};
struct ledger_child {       /* of a console's session; what else it is, it has of its parent */
	const char *parent; /* jti */
	const char *history, *jti, *aud, *ip, *agent, *kid;
	uint64_t iat_ms;
};
struct
    ledger_ended { /* answer of mint, mint_child, end, end_all, end_everything, ban, announce, reset */
	char history[HISTORY_MAX + 1];
	enum ledger_verdict verdict; /* of mint and mint_child; GOOD elsewhere */
	bool changed;                /* event is set */
	struct event_id event;
};
struct ledger_session {
	char jti[JTI_LEN + 1];
	uint64_t iat_ms, exp_ms, seen_ms;
	char ip[46], agent[128 + 1];
};
struct ledger_list {
	char history[HISTORY_MAX + 1];
	size_t len;
	const struct ledger_session *session;
};
struct ledger_limit { /* a token bucket: mc:rate:<kind>:<key> */
	const char *kind, *key;
	uint64_t per_minute, burst;
};
struct ledger_wait {
	char history[HISTORY_MAX + 1];
	uint64_t wait_ms; /* 0: allowed (and, for issue and ticket, stored) */
};
struct ledger_taken {
	char history[HISTORY_MAX + 1];
	char stored_history[HISTORY_MAX + 1]; /* "": no such nonce or ticket */
	const char *value;
	size_t len;
};

/* Who was seen to own an asset, for what is held for longer than a request (rule 14, I5). */
struct ledger_owner {
	char history[HISTORY_MAX + 1];
	struct event_id position;        /* the head at that moment */
	char owner[PUBKEY_TEXT_MAX + 1]; /* "": no record; nobody knows */
	uint64_t seen_slot, other_slot;
	char place[LEDGER_PLACE_MAX + 1]; /* which host has the agent; "": none */
	/* another one once all sessions of the asset were ended; "": its owner is banned */
	char epoch[LEDGER_EPOCH_MAX + 1];
};
/* Does the record vouch for this wallet since that slot (I1 for what carries no session)? */
static inline bool ledger_owner_vouches(
    const struct ledger_owner *record, const char *wallet, uint64_t slot)
{
	return record->owner[0] && strcmp(record->owner, wallet) == 0 && slot > record->other_slot;
}

/* An event, and the history it was added in. */
#define LEDGER_KNOWN_MAX 5
struct ledger_known {
	struct event_id id;
	char history[HISTORY_MAX + 1];
};

/* What its reader has enforced (rule 15): everything it has read, or what comes before open. */
struct ledger_progress {
	const struct event_id *open; /* NULL: all */
	uint64_t age_ms;             /* since it is so far */
};

#define LEDGER_REPLICAS_MAX 256
/* clang-format off */
#define LEDGER_PROGRESS(X) X(DONE, "done") X(OPEN, "open") X(SILENT, "silent")
/* clang-format on */
enum ledger_enforcing {
#define LEDGER_PROGRESS_ENUM(name, text) LEDGER_##name,
	LEDGER_PROGRESS(LEDGER_PROGRESS_ENUM)
#undef LEDGER_PROGRESS_ENUM
};
struct ledger_replica {
	char name[LEDGER_PLACE_MAX + 1], role[16];
	enum ledger_enforcing state; /* SILENT: not heard of for 5 s */
	uint64_t silent_ms;
	uint64_t ms; /* DONE: from the event until it was enforced there, by Redis' clock */
};
struct ledger_enforced {
	char history[HISTORY_MAX + 1];
	uint64_t settling_ms; /* not 0: nothing is done yet */
	bool known;           /* false: the event was lost */
	uint64_t slot;        /* of the chain, as last swept */
	size_t len;
	const struct ledger_replica *replica;
	uint64_t waited_for; /* of them: who is open, and who is silent and may hold something */
};

#define LEDGER_OWNED_MAX 1024
struct ledger_owned {
	char history[HISTORY_MAX + 1];
	uint64_t cursor; /* for the next part; 0: that was all */
	size_t len;
	char (*asset)[PUBKEY_TEXT_MAX + 1];
};

typedef void (*ledger_follow_done)(
    void *arg, const struct ledger_follow *out, const struct error *err);
typedef void (*ledger_look_done)(void *arg, const struct ledger_look *out, const struct error *err);
typedef void (*ledger_record_done)(
    void *arg, const struct ledger_record *out, const struct error *err);
typedef void (*ledger_owner_done)(
    void *arg, const struct ledger_owner *out, const struct error *err);
typedef void (*ledger_ended_done)(
    void *arg, const struct ledger_ended *out, const struct error *err);
typedef void (*ledger_list_done)(void *arg, const struct ledger_list *out, const struct error *err);
typedef void (*ledger_wait_done)(void *arg, const struct ledger_wait *out, const struct error *err);
typedef void (*ledger_taken_done)(
    void *arg, const struct ledger_taken *out, const struct error *err);
typedef void (*ledger_enforced_done)(
    void *arg, const struct ledger_enforced *out, const struct error *err);
typedef void (*ledger_owned_done)(
    void *arg, const struct ledger_owned *out, const struct error *err);
typedef void (*ledger_word_done)(void *arg, const char *word, const struct error *err);

/* history "": none yet; cursor NULL: none yet. known: events that Redis must have (rule 17), LEDGER_KNOWN_MAX at most. */
void ledger_follow(struct redis *redis, const char *name, const char *role, const char *history,
    const struct event_id *cursor, const struct ledger_known *known, size_t nknown,
    const struct ledger_progress *progress, ledger_follow_done done, void *arg);
/* Which replicas have enforced an event (rule 15). */
void ledger_enforced(struct redis *redis, struct event_id event, const char *history,
    ledger_enforced_done done, void *arg);
/* Assets whose record names wallet, in parts. cursor 0: from the beginning. */
void ledger_owned(
    struct redis *redis, const char *wallet, uint64_t cursor, ledger_owned_done done, void *arg);
/* A replica that is no more, nor is what it held. word: "1" if it was listed */
void ledger_unlist(struct redis *redis, const char *name, ledger_word_done done, void *arg);
void ledger_look(struct redis *redis, const char *jti, ledger_look_done done, void *arg);
void ledger_observe(struct redis *redis, const char *asset, const char *owner, uint64_t slot,
    bool watch, ledger_record_done done, void *arg);
/* word: counted, behind, other_chain */
void ledger_chain(struct redis *redis, uint64_t slot, uint64_t age_ms, const char *genesis,
    ledger_word_done done, void *arg);
/* word: "1" if not watched any more; "0" while a session lives or something is held, or until a sweep has passed what
 * the record had seen */
void ledger_forget(struct redis *redis, const char *asset, ledger_word_done done, void *arg);
/* The asset's record, as it is. */
void ledger_owner(struct redis *redis, const char *asset, ledger_owner_done done, void *arg);
/* The same, and notes that holder ("vault", "sandbox:<host>") has something of the asset, so that it stays watched (rule 2). To be said again
 * at each start and on each new history. */
void ledger_hold(
    struct redis *redis, const char *asset, const char *holder, ledger_owner_done done, void *arg);
/* holder has nothing of the asset any more. word: "1" if it was noted */
void ledger_release(
    struct redis *redis, const char *asset, const char *holder, ledger_word_done done, void *arg);
/* Which host has the asset's agent; claim: this one, if nobody has it yet. word: the host's name, "" if nobody has it */
void ledger_place(struct redis *redis, const char *asset, const char *host, bool claim,
    ledger_word_done done, void *arg);
/* Nobody has it any more, if host had it. word: "1" if so */
void ledger_unplace(
    struct redis *redis, const char *asset, const char *host, ledger_word_done done, void *arg);
/* to has it from now on, if from had it: out->changed. */
void ledger_move(struct redis *redis, const char *asset, const char *from, const char *to,
    ledger_ended_done done, void *arg);
void ledger_reset(struct redis *redis, const char *asset, ledger_ended_done done, void *arg);
void ledger_limit(struct redis *redis, const struct ledger_limit *limits, size_t nlimits,
    ledger_wait_done done, void *arg);
void ledger_issue(struct redis *redis, const char *nonce, const void *value, size_t len,
    const struct ledger_limit *limits, size_t nlimits, ledger_wait_done done, void *arg);
void ledger_take(struct redis *redis, const char *nonce, ledger_taken_done done, void *arg);
/* As issue and take, for TICKET_MS; hash: hex, of what is handed out. */
void ledger_ticket(struct redis *redis, const char *hash, const void *value, size_t len,
    const struct ledger_limit *limits, size_t nlimits, ledger_wait_done done, void *arg);
void ledger_redeem(struct redis *redis, const char *hash, ledger_taken_done done, void *arg);
void ledger_mint(
    struct redis *redis, const struct ledger_mint *mint, ledger_ended_done done, void *arg);
void ledger_mint_child(
    struct redis *redis, const struct ledger_child *child, ledger_ended_done done, void *arg);
void ledger_list(struct redis *redis, const char *asset, ledger_list_done done, void *arg);
void ledger_end(struct redis *redis, const char *asset, const char *jti, const char *kind,
    ledger_ended_done done, void *arg);
void ledger_end_all(
    struct redis *redis, const char *asset, const char *kind, ledger_ended_done done, void *arg);
void ledger_end_everything(struct redis *redis, ledger_ended_done done, void *arg);
void ledger_ban(
    struct redis *redis, const char *wallet, bool banned, ledger_ended_done done, void *arg);
void ledger_announce(struct redis *redis, const char *kind, ledger_ended_done done, void *arg);
void ledger_announce_asset(
    struct redis *redis, const char *asset, const char *kind, ledger_ended_done done, void *arg);

#endif
