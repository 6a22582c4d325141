#include "services/router/usage.h"

#include <inttypes.h>
#include <string.h>

#define DAYS 7
#define DAY_MS 86400000u
#define MICRO 1000000u

int usage_days(const char *query, uint64_t *days_r, struct error *err)
{
	static const char parameter[] = "days=";
	const char *value = query + strlen(parameter);

	*days_r = DAYS;
	if (query[0] == '\0')
		return 0;
	bool is_number = strncmp(query, parameter, strlen(parameter)) == 0 && value[0] >= '1' &&
			 value[0] <= '9' && strspn(value, "0123456789") == strlen(value) &&
			 strlen(value) <= 2;
	*days_r = is_number ? strtoull(value, NULL, 10) : 0;
	if (*days_r == 0 || *days_r > LLM_USAGE_DAYS_MAX)
		return error_refuse(
		    err, ERR_INVALID, "query_invalid", "the query is not days=<1 to 31>");
	return 0;
}

/* ---- as JSON */

static json_t *usd(uint64_t micro)
{
	return json_sprintf("%" PRIu64 ".%06" PRIu64, micro / MICRO, micro % MICRO);
}

static json_t *day_text(uint64_t day)
{
	char text[40];

	clock_rfc3339(day * DAY_MS, text, sizeof(text));
	return json_stringn(text, strlen("2026-11-29"));
}

static json_t *row_json(const struct llm_usage_row *row)
{
	return json_pack("{s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:o}", "provider", row->provider,
	    "model", row->model[0] ? json_string(row->model) : json_null(), "source", row->source,
	    "requests", (json_int_t)row->requests, "input_tokens", (json_int_t)row->input,
	    "output_tokens", (json_int_t)row->output, "unknown", (json_int_t)row->unknown,
	    "cost_usd", row->unpriced > 0 ? json_null() : usd(row->micro));
}

static json_t *days_json(const struct llm_usage *usage, uint64_t days)
{
	json_t *list = json_array();

	for (uint64_t back = 0; back < days && back <= usage->day; back++) {
		json_t *rows = json_array();
		for (size_t i = 0; i < usage->nrows; i++)
			if (usage->rows[i].day == usage->day - back)
				json_array_append_new(rows, row_json(&usage->rows[i]));
		json_array_append_new(list,
		    json_pack("{s:o, s:o}", "day", day_text(usage->day - back), "usage", rows));
	}
	return list;
}

static json_t *limit_json(uint64_t limit, uint64_t used)
{
	if (limit == 0)
		return json_null();
	return json_pack("{s:I, s:I}", "limit", (json_int_t)limit, "left",
	    (json_int_t)(used < limit ? limit - used : 0));
}

static json_t *number_or_null(uint64_t limit)
{
	return limit ? json_integer((json_int_t)limit) : json_null();
}

/* Of the present owner: what one before him spent today counts as well, and is not told. */
static json_t *spending_json(const struct llm_usage *usage)
{
	uint64_t cap = usage->limits.agent_micro, spent = 0;

	if (cap == 0)
		return json_null();
	for (size_t i = 0; i < usage->nrows; i++)
		if (usage->rows[i].day == usage->day &&
		    strcmp(usage->rows[i].source, "global") == 0)
			spent += usage->rows[i].micro;
	return json_pack(
	    "{s:o, s:o}", "limit", usd(cap), "left", usd(spent < cap ? cap - spent : 0));
}

static json_t *limits_json(const struct llm_usage *usage)
{
	const struct llm_usage_rates *agent = &usage->limits.agent, *key = &usage->limits.key,
				     *used = &usage->used;

	if (!usage->has_limits)
		return json_null();
	return json_pack("{s:{s:o, s:o, s:o, s:o, s:o}, s:{s:o, s:o, s:o, s:o, s:o}}", "agent",
	    "requests_minute", limit_json(agent->requests_minute, used->requests_minute),
	    "tokens_minute", limit_json(agent->tokens_minute, used->tokens_minute), "requests_day",
	    limit_json(agent->requests_day, used->requests_day), "tokens_day",
	    limit_json(agent->tokens_day, used->tokens_day), "global_usd_day", spending_json(usage),
	    "global_key", "requests_minute", number_or_null(key->requests_minute), "tokens_minute",
	    number_or_null(key->tokens_minute), "requests_day", number_or_null(key->requests_day),
	    "tokens_day", number_or_null(key->tokens_day), "usd_day",
	    usage->limits.all_micro ? usd(usage->limits.all_micro) : json_null());
}

json_t *usage_json(const struct llm_usage *usage, uint64_t days)
{
	return json_pack(
	    "{s:o, s:o}", "days", days_json(usage, days), "limits", limits_json(usage));
}

/* ---- asked of Redis, who may answer when nobody waits any more */

struct usage_wait {
	LIST_ENTRY(usage_wait) link;
	struct api_call *call; /* NULL: was answered */
	uint64_t days;
};

static void on_read(void *arg, const struct llm_usage *usage, const struct error *err)
{
	struct usage_wait *wait = arg;

	if (wait->call) {
		LIST_REMOVE(wait, link);
		if (err)
			api_refuse_named(wait->call, "service_unavailable");
		else
			api_reply(wait->call, 200, usage_json(usage, wait->days));
	}
	free(wait);
}

void usage_show(struct api_call *call, const struct session_check_rsp *session)
{
	struct router *router = call->router;
	struct error err;
	uint64_t days;

	if (usage_days(http_query(call->request), &days, &err) != 0) {
		api_refuse(call, &err);
		return;
	}
	struct usage_wait *wait = calloc(1, sizeof(*wait));
	bug_if(!wait);
	wait->call = call;
	wait->days = days;
	LIST_INSERT_HEAD(&router->usages, wait, link);
	llm_usage_read(
	    router->process->redis, session->asset, session->wallet, days, on_read, wait);
}

void usage_stop(struct router *router)
{
	struct usage_wait *wait;

	while ((wait = LIST_FIRST(&router->usages))) {
		LIST_REMOVE(wait, link);
		api_refuse_named(wait->call, "service_unavailable");
		wait->call = NULL;
	}
}
