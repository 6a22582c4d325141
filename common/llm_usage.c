#include "common/llm_usage.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"

#define ARGS_MAX 20
#define LIMITS 10
#define FIELDS_MAX (1 + 2 * (1 + 6 * (LLM_USAGE_MODELS_MAX + 512)))

/* As the ledger's: the path is the compiler's working directory, the project's root. */
__asm__(".pushsection .rodata\n"
	"llm_usage_script:\n"
	".incbin \"common/llm_usage.lua\"\n"
	".byte 0\n"
	".popsection\n");
extern const char llm_usage_script[] __attribute__((visibility("hidden")));

/* ---- what is sent */

struct args {
	int n;
	const char *text[ARGS_MAX];
	size_t len[ARGS_MAX];
	char number[ARGS_MAX][24];
};

static void put(struct args *args, const char *text)
{
	bug_if(args->n == ARGS_MAX);
	args->text[args->n] = text;
	args->len[args->n++] = strlen(text);
}

static void put_number(struct args *args, uint64_t n)
{
	bug_if(args->n == ARGS_MAX);
	snprintf(args->number[args->n], sizeof(args->number[0]), "%" PRIu64, n);
	put(args, args->number[args->n]);
}

static void put_who(struct args *args, const struct llm_usage_who *who)
{
	put(args, who->asset);
	put(args, who->wallet);
	put(args, who->provider);
	put(args, who->source);
}

/* In the order of the script's. */
static void limits_numbers(struct llm_usage_limits *limits, uint64_t *number[LIMITS])
{
	uint64_t *const all[LIMITS] = {&limits->agent.requests_minute, &limits->agent.tokens_minute,
	    &limits->agent.requests_day, &limits->agent.tokens_day, &limits->key.requests_minute,
	    &limits->key.tokens_minute, &limits->key.requests_day, &limits->key.tokens_day,
	    &limits->agent_micro, &limits->all_micro};

	memcpy(number, all, sizeof(all));
}

static void put_limits(struct args *args, const struct llm_usage_limits *limits)
{
	struct llm_usage_limits copy = *limits;
	uint64_t *number[LIMITS];

	limits_numbers(&copy, number);
	for (size_t i = 0; i < LIMITS; i++)
		put_number(args, *number[i]);
}

struct call {
	llm_usage_judged_done judged;
	llm_usage_noted_done noted;
	llm_usage_read_done read;
	void *arg;
};

static void send_call(
    struct redis *redis, const struct args *args, redis_done on_answer, struct call filled)
{
	struct call *call = malloc(sizeof(*call));

	bug_if(!call);
	*call = filled;
	redis_script(
	    redis, NULL, llm_usage_script, args->n, args->text, args->len, on_answer, call);
}

/* ---- what is answered: nothing is believed before its form is checked */

static bool is_text(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_STRING && strlen(reply->str) == reply->len;
}

static bool is_list(const redisReply *reply, size_t len)
{
	return reply->type == REDIS_REPLY_ARRAY && reply->elements == len;
}

static bool take_number(const redisReply *reply, uint64_t *n_r)
{
	if (!is_text(reply) || reply->len == 0 || reply->len > 18 ||
	    strspn(reply->str, "0123456789") != reply->len)
		return false;
	*n_r = strtoull(reply->str, NULL, 10);
	return true;
}

static bool take_judged(const redisReply *reply, struct llm_usage_judged *out)
{
	if (!is_list(reply, 5) || !is_text(reply->element[0]) ||
	    reply->element[0]->len >= sizeof(out->which) || !is_text(reply->element[3]) ||
	    event_id_parse(reply->element[3]->str, &out->head) != 0 ||
	    !is_text(reply->element[4]) || reply->element[4]->len > HISTORY_MAX)
		return false;
	snprintf(out->which, sizeof(out->which), "%s", reply->element[0]->str);
	snprintf(out->head_history, sizeof(out->head_history), "%s", reply->element[4]->str);
	return take_number(reply->element[1], &out->wait_s) &&
	       take_number(reply->element[2], &out->day);
}

/* "<provider> <source> <model> <what>" */
static bool take_name(const char *field, struct llm_usage_row *row, char *what_r)
{
	size_t provider = strcspn(field, " ");
	const char *source = field + provider + (field[provider] == ' ');
	size_t source_len = strcspn(source, " ");
	const char *model = source + source_len + (source[source_len] == ' ');
	size_t model_len = strcspn(model, " ");

	if (provider >= sizeof(row->provider) || source_len >= sizeof(row->source) ||
	    model_len >= sizeof(row->model) || model[model_len] != ' ' || !model[model_len + 1] ||
	    model[model_len + 2])
		return false;
	snprintf(row->provider, sizeof(row->provider), "%.*s", (int)provider, field);
	snprintf(row->source, sizeof(row->source), "%.*s", (int)source_len, source);
	snprintf(row->model, sizeof(row->model), "%.*s", (int)model_len, model);
	*what_r = model[model_len + 1];
	return true;
}

struct rows {
	size_t len, first; /* first of the day that is read */
	struct llm_usage_row *row;
};

static struct llm_usage_row *row_of(struct rows *rows, const struct llm_usage_row *name)
{
	for (size_t i = rows->first; i < rows->len; i++) {
		struct llm_usage_row *row = &rows->row[i];
		if (strcmp(row->provider, name->provider) == 0 &&
		    strcmp(row->source, name->source) == 0 && strcmp(row->model, name->model) == 0)
			return row;
	}
	if (rows->len % 64 == 0) {
		rows->row = reallocarray(rows->row, rows->len + 64, sizeof(*rows->row));
		bug_if(!rows->row);
	}
	rows->row[rows->len] = *name;
	return &rows->row[rows->len++];
}

static bool take_field(
    const redisReply *field, const redisReply *value, uint64_t day, struct rows *rows)
{
	static const char whats[] = "rioucn";
	struct llm_usage_row name = {.day = day};
	uint64_t n;
	char what;

	if (!is_text(field) || !take_number(value, &n))
		return false;
	if (strcmp(field->str, "#") == 0)
		return true;
	if (!take_name(field->str, &name, &what))
		return false;
	struct llm_usage_row *row = row_of(rows, &name);
	uint64_t *const members[] = {
	    &row->requests, &row->input, &row->output, &row->unknown, &row->micro, &row->unpriced};
	const char *at = strchr(whats, what);
	if (!at)
		return false;
	*members[at - whats] = n;
	return true;
}

static int by_name(const void *a, const void *b)
{
	const struct llm_usage_row *one = a, *other = b;
	int by = strcmp(one->provider, other->provider);

	by = by ? by : -strcmp(one->source, other->source); /* the user's own first */
	return by ? by : strcmp(one->model, other->model);
}

/* Those of which nothing is left are none. */
static void finish_day(struct rows *rows)
{
	size_t kept = rows->first;

	for (size_t i = rows->first; i < rows->len; i++)
		if (rows->row[i].requests > 0)
			rows->row[kept++] = rows->row[i];
	rows->len = kept;
	if (kept > rows->first)
		qsort(rows->row + rows->first, kept - rows->first, sizeof(*rows->row), by_name);
	rows->first = kept;
}

static bool take_day(const redisReply *reply, struct rows *rows)
{
	uint64_t day;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2 != 1 ||
	    reply->elements > FIELDS_MAX || !take_number(reply->element[0], &day))
		return false;
	for (size_t i = 1; i < reply->elements; i += 2)
		if (!take_field(reply->element[i], reply->element[i + 1], day, rows))
			return false;
	finish_day(rows);
	return true;
}

static bool take_limits(const redisReply *reply, struct llm_usage *out)
{
	uint64_t *number[LIMITS];

	out->has_limits = !is_list(reply, 0);
	limits_numbers(&out->limits, number);
	if (out->has_limits && !is_list(reply, LIMITS))
		return false;
	for (size_t i = 0; out->has_limits && i < LIMITS; i++)
		if (!take_number(reply->element[i], number[i]))
			return false;
	return true;
}

static bool take_used(const redisReply *reply, struct llm_usage_rates *used)
{
	return is_list(reply, 4) && take_number(reply->element[0], &used->requests_minute) &&
	       take_number(reply->element[1], &used->tokens_minute) &&
	       take_number(reply->element[2], &used->requests_day) &&
	       take_number(reply->element[3], &used->tokens_day);
}

static bool take_usage(const redisReply *reply, struct llm_usage *out, struct rows *rows)
{
	if (!is_list(reply, 4) || !take_number(reply->element[0], &out->day) ||
	    !take_used(reply->element[1], &out->used) || !take_limits(reply->element[2], out))
		return false;
	const redisReply *days = reply->element[3];
	if (days->type != REDIS_REPLY_ARRAY || days->elements > LLM_USAGE_DAYS_MAX)
		return false;
	for (size_t i = 0; i < days->elements; i++)
		if (!take_day(days->element[i], rows))
			return false;
	out->nrows = rows->len;
	out->rows = rows->row;
	return true;
}

static const struct error *malformed(struct error *err)
{
	error_set(err, ERR_UNAVAILABLE, "llm_usage: malformed answer");
	return err;
}

static void on_judged(void *arg, const redisReply *reply, const struct error *err)
{
	scoped_free struct call *call = arg;
	struct llm_usage_judged out = {.day = 0};
	struct error bad;

	if (!err && !take_judged(reply, &out))
		err = malformed(&bad);
	call->judged(call->arg, err ? NULL : &out, err);
}

static void on_noted(void *arg, const redisReply *reply, const struct error *err)
{
	scoped_free struct call *call = arg;
	struct error bad;

	if (!err && !is_text(reply))
		err = malformed(&bad);
	call->noted(call->arg, err);
}

static void on_read(void *arg, const redisReply *reply, const struct error *err)
{
	scoped_free struct call *call = arg;
	struct llm_usage out = {.day = 0};
	struct rows rows = {.len = 0};
	struct error bad;

	if (!err && !take_usage(reply, &out, &rows))
		err = malformed(&bad);
	call->read(call->arg, err ? NULL : &out, err);
	free(rows.row);
}

/* ---- the calls */

void llm_usage_judge(struct redis *redis, const struct llm_usage_who *who, uint64_t keep_days,
    const struct llm_usage_limits *limits, llm_usage_judged_done done, void *arg)
{
	struct args args = {0};

	put(&args, "judge");
	put_who(&args, who);
	put_number(&args, keep_days);
	put_limits(&args, limits);
	send_call(redis, &args, on_judged, (struct call){.judged = done, .arg = arg});
}

void llm_usage_note(struct redis *redis, const struct llm_usage_who *who,
    const struct llm_usage_note *note, llm_usage_noted_done done, void *arg)
{
	struct args args = {0};

	put(&args, "note");
	put_who(&args, who);
	put_number(&args, note->day);
	put_number(&args, LLM_USAGE_MODELS_MAX);
	put(&args, note->model);
	put_number(&args, note->input);
	put_number(&args, note->output);
	put_number(&args, note->unknown);
	put_number(&args, note->charged);
	if (note->is_priced)
		put_number(&args, note->micro);
	else
		put(&args, "");
	send_call(redis, &args, on_noted, (struct call){.noted = done, .arg = arg});
}

void llm_usage_tell(struct redis *redis, const struct llm_usage_limits *limits,
    llm_usage_noted_done done, void *arg)
{
	struct args args = {0};

	put(&args, "limits");
	put_limits(&args, limits);
	send_call(redis, &args, on_noted, (struct call){.noted = done, .arg = arg});
}

void llm_usage_read(struct redis *redis, const char *asset, const char *wallet, uint64_t days,
    llm_usage_read_done done, void *arg)
{
	struct args args = {0};

	put(&args, "read");
	put(&args, asset);
	put(&args, wallet);
	put_number(&args, days);
	send_call(redis, &args, on_read, (struct call){.read = done, .arg = arg});
}
