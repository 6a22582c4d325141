#include "services/agent-wallet/operations.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"

#define FIELDS 17 /* of the script, besides the id */
#define ARGS_MAX 12

__asm__(".pushsection .rodata\n"
	"operations_script:\n"
	".incbin \"services/agent-wallet/operations.lua\"\n"
	".byte 0\n"
	".popsection\n");
extern const char operations_script[] __attribute__((visibility("hidden")));

/* ---- what is sent */

struct args {
	int n;
	const char *text[ARGS_MAX];
	size_t len[ARGS_MAX];
	size_t nnumbers;
	char number[4][24];
};

static void add_bytes(struct args *args, const void *bytes, size_t len)
{
	bug_if(args->n == ARGS_MAX);
	args->text[args->n] = bytes;
	args->len[args->n++] = len;
}

static void add(struct args *args, const char *text)
{
	add_bytes(args, text, strlen(text));
}

static void add_u64(struct args *args, uint64_t n)
{
	bug_if(args->nnumbers == ARRAY_LEN(args->number));
	char *text = args->number[args->nnumbers++];
	snprintf(text, sizeof(args->number[0]), "%" PRIu64, n);
	add(args, text);
}

/* ---- what comes back; Redis may have been written by somebody else */

static bool take_bytes(const redisReply *r, void *bytes, size_t max, size_t *len_r)
{
	if (r->type != REDIS_REPLY_STRING || r->len > max)
		return false;
	memcpy(bytes, r->str, r->len);
	*len_r = r->len;
	return true;
}

static bool take_text(const redisReply *r, char *text, size_t size)
{
	size_t len;
	if (!take_bytes(r, text, size - 1, &len) || memchr(text, '\0', len))
		return false;
	text[len] = '\0';
	return true;
}

static bool take_u64(const redisReply *r, uint64_t *n_r)
{
	if (r->type != REDIS_REPLY_STRING || r->len > 20)
		return false;
	*n_r = 0;
	for (size_t i = 0; i < r->len; i++) {
		if (r->str[i] < '0' || r->str[i] > '9' || __builtin_mul_overflow(*n_r, 10, n_r) ||
		    __builtin_add_overflow(*n_r, (uint64_t)(r->str[i] - '0'), n_r))
			return false;
	}
	return true;
}

static bool take_flag(const redisReply *r, bool *flag_r)
{
	*flag_r = r->type == REDIS_REPLY_STRING && r->len == 1 && r->str[0] == '1';
	return r->type == REDIS_REPLY_STRING;
}

static bool take_row(redisReply *const *r, size_t n, struct operation *op)
{
	memset(op, 0, sizeof(*op));
	return n == 1 + FIELDS && take_text(r[0], op->id, sizeof(op->id)) &&
	       take_text(r[1], op->asset, sizeof(op->asset)) &&
	       take_text(r[2], op->wallet, sizeof(op->wallet)) && take_u64(r[3], &op->slot) &&
	       take_text(r[4], op->operation, sizeof(op->operation)) &&
	       take_text(r[5], op->state, sizeof(op->state)) &&
	       take_bytes(r[6], op->built, sizeof(op->built), &op->built_len) &&
	       take_u64(r[7], &op->last_valid) && take_u64(r[8], &op->built_ms) &&
	       take_bytes(r[9], op->sent, sizeof(op->sent), &op->sent_len) &&
	       take_text(r[10], op->signature, sizeof(op->signature)) &&
	       take_u64(r[11], &op->sent_ms) && take_text(r[12], op->error, sizeof(op->error)) &&
	       take_u64(r[13], &op->landed) && take_text(r[14], op->least, sizeof(op->least)) &&
	       take_text(r[15], op->most, sizeof(op->most)) && take_flag(r[16], &op->differ) &&
	       take_flag(r[17], &op->accepted);
}

static int malformed(struct error *err)
{
	return error_set(err, ERR_UNAVAILABLE, "operations: malformed answer");
}

/* ---- the calls */

struct call {
	operations_done done;
	operations_accepted accepted;
	operations_claimed claimed;
	void *arg;
	struct operation op; /* of put */
};

static struct call *call_new(void *arg)
{
	struct call *call = calloc(1, sizeof(*call));
	bug_if(!call);
	call->arg = arg;
	return call;
}

static void send_call(
    struct redis *redis, const struct args *args, redis_done on_answer, struct call *call)
{
	redis_script(
	    redis, NULL, operations_script, args->n, args->text, args->len, on_answer, call);
}

static void on_put(void *arg, const redisReply *reply, const struct error *err)
{
	scoped_free struct call *call = arg;
	struct error bad;
	if (!err && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1 ||
			!take_u64(reply->element[0], &call->op.built_ms))) {
		malformed(&bad);
		err = &bad;
	}
	call->done(call->arg, err ? NULL : &call->op, err);
}

void operations_put(struct redis *redis, const struct operation *op, uint64_t ttl_ms, uint64_t max,
    operations_done done, void *arg)
{
	struct call *call = call_new(arg);
	struct args args = {0};
	call->done = done;
	call->op = *op;
	add(&args, "put");
	add(&args, op->id);
	add(&args, op->asset);
	add(&args, op->wallet);
	add_u64(&args, op->slot);
	add(&args, op->operation);
	add_bytes(&args, op->built, op->built_len);
	add_u64(&args, op->last_valid);
	add_u64(&args, ttl_ms);
	add_u64(&args, max);
	send_call(redis, &args, on_put, call);
}

static void on_row(void *arg, const redisReply *reply, const struct error *err)
{
	scoped_free struct call *call = arg;
	struct error bad;
	bool none = !err && reply->type == REDIS_REPLY_ARRAY && reply->elements == 0;
	if (!err && !none &&
	    (reply->type != REDIS_REPLY_ARRAY ||
		!take_row(reply->element, reply->elements, &call->op))) {
		malformed(&bad);
		err = &bad;
	}
	call->done(call->arg, err || none ? NULL : &call->op, err);
}

void operations_get(struct redis *redis, const char *id, operations_done done, void *arg)
{
	struct call *call = call_new(arg);
	struct args args = {0};
	call->done = done;
	add(&args, "get");
	add(&args, id);
	send_call(redis, &args, on_row, call);
}

static void on_accept(void *arg, const redisReply *reply, const struct error *err)
{
	scoped_free struct call *call = arg;
	struct error bad;
	char word[16] = "";
	if (!err && (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 ||
			!take_text(reply->element[0], word, sizeof(word)) ||
			(reply->elements > 1 &&
			    !take_row(reply->element + 1, reply->elements - 1, &call->op)) ||
			(reply->elements == 1) != (strcmp(word, "unknown") == 0))) {
		malformed(&bad);
		err = &bad;
	}
	bool has_row = !err && reply->elements > 1;
	call->accepted(call->arg, err ? NULL : word, has_row ? &call->op : NULL, err);
}

void operations_accept(struct redis *redis, const struct operation *op, uint64_t keep_ms,
    uint64_t again_ms, operations_accepted done, void *arg)
{
	struct call *call = call_new(arg);
	struct args args = {0};
	call->accepted = done;
	add(&args, "accept");
	add(&args, op->id);
	add(&args, op->asset);
	add(&args, op->wallet);
	add_bytes(&args, op->sent, op->sent_len);
	add(&args, op->signature);
	add_u64(&args, keep_ms);
	add_u64(&args, again_ms);
	send_call(redis, &args, on_accept, call);
}

static void on_claim(void *arg, const redisReply *reply, const struct error *err)
{
	scoped_free struct call *call = arg;
	scoped_free struct operation *ops = calloc(OPERATIONS_CLAIM_MAX, sizeof(*ops));
	struct error bad;
	uint8_t signature[SIGNATURE_LEN];
	size_t n = 0;
	bug_if(!ops);
	if (!err && (reply->type != REDIS_REPLY_ARRAY || reply->elements > OPERATIONS_CLAIM_MAX)) {
		malformed(&bad);
		err = &bad;
	}
	/* one that cannot be read does not hold up the others */
	for (size_t i = 0; !err && i < reply->elements; i++) {
		const redisReply *r = reply->element[i];
		n += r->type == REDIS_REPLY_ARRAY && take_row(r->element, r->elements, &ops[n]) &&
		     base58_decode(ops[n].signature, signature, sizeof(signature)) == 0;
	}
	call->claimed(call->arg, ops, n, err);
}

void operations_claim(struct redis *redis, uint64_t lease_ms, operations_claimed done, void *arg)
{
	struct call *call = call_new(arg);
	struct args args = {0};
	call->claimed = done;
	add(&args, "claim");
	add_u64(&args, OPERATIONS_CLAIM_MAX);
	add_u64(&args, lease_ms);
	send_call(redis, &args, on_claim, call);
}

void operations_note(
    struct redis *redis, const struct operation_note *note, operations_done done, void *arg)
{
	struct call *call = call_new(arg);
	struct args args = {0};
	call->done = done;
	add(&args, "note");
	add(&args, note->id);
	add(&args, note->state);
	add(&args, note->error);
	add_u64(&args, note->landed);
	add(&args, note->least);
	add(&args, note->most);
	add(&args, note->differ ? "1" : "");
	add(&args, note->accepted ? "1" : "");
	add_u64(&args, note->again_ms);
	send_call(redis, &args, on_row, call);
}
