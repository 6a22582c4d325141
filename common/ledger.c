#include "common/ledger.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/ledger_parse.h"
#include "common/scoped.h"

#define LIMITS_MAX 8
#define ARGS_MAX (4 + 4 * LIMITS_MAX)
#define NUMBERS_MAX (2 * LIMITS_MAX + 4)

/* The script is part of the binary; the path is the compiler's working directory, the project's
 * root. */
__asm__(".pushsection .rodata\n"
	"ledger_script:\n"
	".incbin \"common/ledger.lua\"\n"
	".byte 0\n"
	".popsection\n");
extern const char ledger_script[] __attribute__((visibility("hidden")));

/* ---- what is sent */

struct args {
	int n, nnumbers;
	const char *text[ARGS_MAX];
	size_t len[ARGS_MAX];
	char number[NUMBERS_MAX][EVENT_ID_MAX + 1];
};

static void args_bytes(struct args *args, const void *bytes, size_t len)
{
	bug_if(args->n == ARGS_MAX);
	args->text[args->n] = bytes;
	args->len[args->n++] = len;
}

static void args_text(struct args *args, const char *text)
{
	args_bytes(args, text, strlen(text));
}

static char *args_room(struct args *args)
{
	bug_if(args->nnumbers == NUMBERS_MAX);
	return args->number[args->nnumbers++];
}

static void args_u64(struct args *args, uint64_t n)
{
	char *text = args_room(args);

	snprintf(text, sizeof(args->number[0]), "%" PRIu64, n);
	args_text(args, text);
}

static void args_slot(struct args *args, uint64_t slot)
{
	char *text = args_room(args);

	snprintf(text, sizeof(args->number[0]), "%0*" PRIu64, LEDGER_SLOT_DIGITS, slot);
	args_text(args, text);
}

static void args_id(struct args *args, const struct event_id *id)
{
	args_text(args, id ? event_id_text(*id, args_room(args)) : "");
}

static void args_limits(struct args *args, const struct ledger_limit *limits, size_t nlimits)
{
	bug_if(nlimits > LIMITS_MAX);
	for (size_t i = 0; i < nlimits; i++) {
		bug_if(limits[i].per_minute == 0 || limits[i].burst == 0);
		args_text(args, limits[i].kind);
		args_text(args, limits[i].key);
		args_u64(args, limits[i].per_minute);
		args_u64(args, limits[i].burst);
	}
}

struct call {
	union {
		ledger_follow_done follow;
		ledger_look_done look;
		ledger_record_done record;
		ledger_owner_done owner;
		ledger_ended_done ended;
		ledger_list_done list;
		ledger_wait_done wait;
		ledger_taken_done taken;
		ledger_word_done word;
		ledger_enforced_done enforced;
		ledger_owned_done owned;
	} done;
	void *arg;
};

static void send_call(
    struct redis *redis, const struct args *args, redis_done on_answer, struct call filled)
{
	struct call *call = malloc(sizeof(*call));

	bug_if(!call);
	*call = filled;
	redis_script(redis, NULL, ledger_script, args->n, args->text, args->len, on_answer, call);
}

static const struct error *malformed(struct error *err, const char *what)
{
	error_set(err, ERR_UNAVAILABLE, "ledger: malformed answer (%s)", what);
	return err;
}

bool ledger_event_ends(const struct ledger_event *event)
{
	static const char *const harmless[] = {"session", "agent", "snapshot", "secret"};

	for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
		if (strcmp(event->kind, harmless[i]) == 0)
			return false;
	return true;
}

static void on_follow(void *arg, const redisReply *reply, const struct error *err)
{
	scoped_free struct call *call = arg;
	size_t nevents = err ? 0 : ledger_parse_nevents(reply);
	scoped_free struct ledger_event *events = calloc(nevents + 1, sizeof(*events));
	struct ledger_follow out = {0};
	struct error bad;

	bug_if(!events);
	if (!err && ledger_parse_follow(reply, &out, events) < 0)
		err = malformed(&bad, "follow");
	call->done.follow(call->arg, err ? NULL : &out, err);
}

void ledger_follow(struct redis *redis, const char *name, const char *role, const char *history,
    const struct event_id *cursor, const struct ledger_known *known, size_t nknown,
    const struct ledger_progress *progress, ledger_follow_done done, void *arg)
{
	struct args args = {0};

	bug_if(nknown > LEDGER_KNOWN_MAX || (nknown > 0 && !known));
	args_text(&args, "follow");
	args_text(&args, name);
	args_text(&args, role);
	args_text(&args, history);
	args_id(&args, cursor);
	args_id(&args, progress->open);
	args_u64(&args, progress->age_ms);
	for (size_t i = 0; i < nknown; i++) {
		args_id(&args, &known[i].id);
		args_text(&args, known[i].history);
	}
	send_call(redis, &args, on_follow, (struct call){.done.follow = done, .arg = arg});
}

#define ON_ANSWER(name, shape) \
	static void on_##name(void *arg, const redisReply *reply, const struct error *err) \
	{ \
		scoped_free struct call *call = arg; \
		struct ledger_##shape out = {0}; \
		struct error bad; \
\
		if (!err && ledger_parse_##name(reply, &out) < 0) \
			err = malformed(&bad, #name); \
		call->done.shape(call->arg, err ? NULL : &out, err); \
	}
ON_ANSWER(look, look)
ON_ANSWER(record, record)
ON_ANSWER(owner, owner)
ON_ANSWER(minted, ended)
ON_ANSWER(ended, ended)
ON_ANSWER(wait, wait)
ON_ANSWER(taken, taken)

static void on_word(void *arg, const redisReply *reply, const struct error *err)
{
	scoped_free struct call *call = arg;
	char word[LEDGER_WORD_MAX + 1];
	struct error bad;

	if (!err && ledger_parse_word(reply, word) < 0)
		err = malformed(&bad, "word");
	call->done.word(call->arg, err ? NULL : word, err);
}

static void on_host(void *arg, const redisReply *reply, const struct error *err)
{
	scoped_free struct call *call = arg;
	char host[LEDGER_HOST_MAX + 1];
	struct error bad;

	if (!err && ledger_parse_host(reply, host) < 0)
		err = malformed(&bad, "host");
	call->done.word(call->arg, err ? NULL : host, err);
}

static void on_list(void *arg, const redisReply *reply, const struct error *err)
{
	scoped_free struct call *call = arg;
	struct ledger_session sessions[LEDGER_SESSIONS_MAX];
	struct ledger_list out = {0};
	struct error bad;

	if (!err && ledger_parse_list(reply, &out, sessions) < 0)
		err = malformed(&bad, "list");
	call->done.list(call->arg, err ? NULL : &out, err);
}

static void on_enforced(void *arg, const redisReply *reply, const struct error *err)
{
	scoped_free struct call *call = arg;
	scoped_free struct ledger_replica *replicas =
	    calloc(LEDGER_REPLICAS_MAX, sizeof(*replicas));
	struct ledger_enforced out = {0};
	struct error bad;

	bug_if(!replicas);
	if (!err && ledger_parse_enforced(reply, &out, replicas) < 0)
		err = malformed(&bad, "enforced");
	call->done.enforced(call->arg, err ? NULL : &out, err);
}

static void on_owned(void *arg, const redisReply *reply, const struct error *err)
{
	scoped_free struct call *call = arg;
	struct ledger_owned out = {0};
	struct error bad;
	scoped_free void *assets = out.asset = calloc(LEDGER_OWNED_MAX, sizeof(*out.asset));

	bug_if(!assets);
	if (!err && ledger_parse_owned(reply, &out) < 0)
		err = malformed(&bad, "owned");
	call->done.owned(call->arg, err ? NULL : &out, err);
}

/* ---- the calls, one operation of the script each */

void ledger_look(struct redis *redis, const char *jti, ledger_look_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "look");
	args_text(&args, jti);
	send_call(redis, &args, on_look, (struct call){.done.look = done, .arg = arg});
}

void ledger_observe(struct redis *redis, const char *asset, const char *owner, uint64_t slot,
    bool watch, ledger_record_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "observe");
	args_text(&args, asset);
	args_text(&args, owner);
	args_slot(&args, slot);
	args_text(&args, watch ? "1" : "0");
	send_call(redis, &args, on_record, (struct call){.done.record = done, .arg = arg});
}

void ledger_chain(struct redis *redis, uint64_t slot, uint64_t age_ms, const char *genesis,
    ledger_word_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "chain");
	args_slot(&args, slot);
	args_u64(&args, age_ms);
	args_text(&args, genesis);
	send_call(redis, &args, on_word, (struct call){.done.word = done, .arg = arg});
}

void ledger_forget(struct redis *redis, const char *asset, ledger_word_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "forget");
	args_text(&args, asset);
	send_call(redis, &args, on_word, (struct call){.done.word = done, .arg = arg});
}

void ledger_owner(struct redis *redis, const char *asset, ledger_owner_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "owner");
	args_text(&args, asset);
	send_call(redis, &args, on_owner, (struct call){.done.owner = done, .arg = arg});
}

void ledger_hold(
    struct redis *redis, const char *asset, const char *holder, ledger_owner_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "hold");
	args_text(&args, asset);
	args_text(&args, holder);
	send_call(redis, &args, on_owner, (struct call){.done.owner = done, .arg = arg});
}

void ledger_release(
    struct redis *redis, const char *asset, const char *holder, ledger_word_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "release");
	args_text(&args, asset);
	args_text(&args, holder);
	send_call(redis, &args, on_word, (struct call){.done.word = done, .arg = arg});
}

void ledger_place(struct redis *redis, const char *asset, const char *host, bool claim,
    ledger_word_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "place");
	args_text(&args, asset);
	args_text(&args, host);
	args_text(&args, claim ? "1" : "0");
	send_call(redis, &args, on_host, (struct call){.done.word = done, .arg = arg});
}

void ledger_unplace(
    struct redis *redis, const char *asset, const char *host, ledger_word_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "unplace");
	args_text(&args, asset);
	args_text(&args, host);
	send_call(redis, &args, on_word, (struct call){.done.word = done, .arg = arg});
}

void ledger_enforced(struct redis *redis, struct event_id event, const char *history,
    ledger_enforced_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "enforced");
	args_id(&args, &event);
	args_text(&args, history);
	send_call(redis, &args, on_enforced, (struct call){.done.enforced = done, .arg = arg});
}

void ledger_owned(
    struct redis *redis, const char *wallet, uint64_t cursor, ledger_owned_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "owned");
	args_text(&args, wallet);
	args_u64(&args, cursor);
	send_call(redis, &args, on_owned, (struct call){.done.owned = done, .arg = arg});
}

void ledger_unlist(struct redis *redis, const char *name, ledger_word_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "unlist");
	args_text(&args, name);
	send_call(redis, &args, on_word, (struct call){.done.word = done, .arg = arg});
}

void ledger_limit(struct redis *redis, const struct ledger_limit *limits, size_t nlimits,
    ledger_wait_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "limit");
	args_limits(&args, limits, nlimits);
	send_call(redis, &args, on_wait, (struct call){.done.wait = done, .arg = arg});
}

/* What is stored to be read once: under a nonce, or under a ticket's hash. */
struct once {
	const char *op, *name;
	const void *value;
	size_t len;
};

static void store_once(struct redis *redis, struct once once, const struct ledger_limit *limits,
    size_t nlimits, struct call call)
{
	struct args args = {0};

	args_text(&args, once.op);
	args_text(&args, once.name);
	args_bytes(&args, once.value, once.len);
	args_limits(&args, limits, nlimits);
	send_call(redis, &args, on_wait, call);
}

static void read_once(struct redis *redis, const char *op, const char *name, struct call call)
{
	struct args args = {0};

	args_text(&args, op);
	args_text(&args, name);
	send_call(redis, &args, on_taken, call);
}

void ledger_issue(struct redis *redis, const char *nonce, const void *value, size_t len,
    const struct ledger_limit *limits, size_t nlimits, ledger_wait_done done, void *arg)
{
	store_once(redis, (struct once){"issue", nonce, value, len}, limits, nlimits,
	    (struct call){.done.wait = done, .arg = arg});
}

void ledger_take(struct redis *redis, const char *nonce, ledger_taken_done done, void *arg)
{
	read_once(redis, "take", nonce, (struct call){.done.taken = done, .arg = arg});
}

void ledger_ticket(struct redis *redis, const char *hash, const void *value, size_t len,
    const struct ledger_limit *limits, size_t nlimits, ledger_wait_done done, void *arg)
{
	store_once(redis, (struct once){"ticket", hash, value, len}, limits, nlimits,
	    (struct call){.done.wait = done, .arg = arg});
}

void ledger_redeem(struct redis *redis, const char *hash, ledger_taken_done done, void *arg)
{
	read_once(redis, "redeem", hash, (struct call){.done.taken = done, .arg = arg});
}

void ledger_mint(
    struct redis *redis, const struct ledger_mint *mint, ledger_ended_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "mint");
	args_text(&args, mint->asset);
	args_text(&args, mint->wallet);
	args_slot(&args, mint->slot);
	args_text(&args, mint->history);
	args_text(&args, mint->jti);
	args_u64(&args, mint->iat_ms);
	args_u64(&args, mint->exp_ms);
	args_text(&args, mint->aud);
	args_text(&args, mint->name);
	args_text(&args, mint->ip);
	args_text(&args, mint->agent);
	args_text(&args, mint->kid);
	args_text(&args, mint->previous);
	send_call(redis, &args, on_minted, (struct call){.done.ended = done, .arg = arg});
}

void ledger_mint_child(
    struct redis *redis, const struct ledger_child *child, ledger_ended_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "mint_child");
	args_text(&args, child->parent);
	args_text(&args, child->history);
	args_text(&args, child->jti);
	args_u64(&args, child->iat_ms);
	args_text(&args, child->aud);
	args_text(&args, child->ip);
	args_text(&args, child->agent);
	args_text(&args, child->kid);
	send_call(redis, &args, on_minted, (struct call){.done.ended = done, .arg = arg});
}

void ledger_list(struct redis *redis, const char *asset, ledger_list_done done, void *arg)
{
	struct args args = {0};

	args_text(&args, "list");
	args_text(&args, asset);
	send_call(redis, &args, on_list, (struct call){.done.list = done, .arg = arg});
}

/* Operations of up to three words that add an event, and mostly end sessions. */
static void end_words(
    struct redis *redis, const char *const words[4], ledger_ended_done done, void *arg)
{
	struct args args = {0};

	for (size_t i = 0; i < 4 && words[i]; i++)
		args_text(&args, words[i]);
	send_call(redis, &args, on_ended, (struct call){.done.ended = done, .arg = arg});
}

void ledger_reset(struct redis *redis, const char *asset, ledger_ended_done done, void *arg)
{
	end_words(redis, (const char *const[4]){"reset", asset}, done, arg);
}

void ledger_end(struct redis *redis, const char *asset, const char *jti, const char *kind,
    ledger_ended_done done, void *arg)
{
	end_words(redis, (const char *const[4]){"end", asset, jti, kind}, done, arg);
}

void ledger_end_all(
    struct redis *redis, const char *asset, const char *kind, ledger_ended_done done, void *arg)
{
	end_words(redis, (const char *const[4]){"end_all", asset, kind}, done, arg);
}

void ledger_end_everything(struct redis *redis, ledger_ended_done done, void *arg)
{
	end_words(redis, (const char *const[4]){"end_everything"}, done, arg);
}

void ledger_ban(
    struct redis *redis, const char *wallet, bool banned, ledger_ended_done done, void *arg)
{
	end_words(redis, (const char *const[4]){"ban", wallet, banned ? "1" : "0"}, done, arg);
}

void ledger_announce(struct redis *redis, const char *kind, ledger_ended_done done, void *arg)
{
	end_words(redis, (const char *const[4]){"announce", kind}, done, arg);
}

void ledger_announce_asset(
    struct redis *redis, const char *asset, const char *kind, ledger_ended_done done, void *arg)
{
	end_words(redis, (const char *const[4]){"announce", kind, asset}, done, arg);
}

void ledger_move(struct redis *redis, const char *asset, const char *from, const char *to,
    ledger_ended_done done, void *arg)
{
	end_words(redis, (const char *const[4]){"move", asset, from, to}, done, arg);
}
