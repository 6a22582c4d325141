/* Limits before a request, and its account when it is over (common/llm_usage.h). Tokens are known afterwards: a limit is judged by what is known, and requests
 * that run at one time may go beyond it together. Redis says with the same answer what the newest event is, so that a request that was made after something was
 * answered (a key was changed, an asset was sold) is not sent before that was read here. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "services/llm-gateway/exchange_internal.h"

#define BYTES_PER_TOKEN 4 /* where the provider does not say */
#define TRIES_MAX 5

/* Outlives its exchange while Redis is asked. */
struct account {
	struct exchange *exchange; /* NULL: is over, or was cut */
	struct gateway *gateway;
	char asset[PUBKEY_TEXT_MAX + 1], wallet[PUBKEY_TEXT_MAX + 1], provider[64 + 1],
	    source[6 + 1];
	uint64_t day;
	bool is_asking, is_counted;
};

static bool is_global(const struct exchange *exchange)
{
	return strcmp(exchange->key->source, "global") == 0;
}

static struct llm_usage_who who(const struct account *account)
{
	return (struct llm_usage_who){
	    account->asset, account->wallet, account->provider, account->source};
}

static void on_noted(void *arg, const struct error *err)
{
	struct metric *unaccounted = arg;

	if (!err)
		return;
	metric_add(unaccounted, 1);
	log_warn("what a request used is not noted", "why", err->text);
}

static void note(const struct account *account, const struct llm_usage_note *noted)
{
	const struct gateway *gateway = account->gateway;
	const struct llm_usage_who of = who(account);

	llm_usage_note(gateway->process->redis, &of, noted, on_noted, gateway->metrics.unaccounted);
}

/* ---- before */

static void refuse_limit(struct exchange *exchange, const struct llm_usage_judged *judged)
{
	char code[ERROR_REASON_MAX + 1], text[ERROR_TEXT_MAX];

	snprintf(code, sizeof(code), "limit_%s", judged->which);
	snprintf(text, sizeof(text), "a limit is reached (%s)", judged->which);
	exchange_refuse(exchange, 429, code, text);
	exchange->refusal.retry_after_s = (unsigned)judged->wait_s;
}

static void note_unsent(const struct account *account)
{
	note(account, &(struct llm_usage_note){.day = account->day, .model = ""});
}

static void refuse_for_now(struct exchange *exchange, const char *code, const char *text)
{
	exchange_refuse(exchange, 503, code, text);
	exchange->refusal.retry_after_s = 1;
}

/* Something was heard of the agent since it had its key. It stays counted. */
static void begin_anew(struct exchange *exchange)
{
	key_release(&exchange->key);
	if (++exchange->tries < TRIES_MAX)
		exchange_want_key(exchange);
	else
		refuse_for_now(exchange, "service_unavailable",
		    "too much happens to this agent at the moment");
}

/* The lease may have ended while Redis was asked. */
static void go_on(struct exchange *exchange)
{
	struct error why;

	if (exchange->epoch != exchange->agent->epoch)
		begin_anew(exchange);
	else if (gateway_serves(exchange->gateway, &why) != 0)
		refuse_for_now(exchange, why.reason, why.text);
	else
		exchange_start(exchange);
	exchange_resume(exchange);
}

/* As if the bell had told of it, which it may still do: it is read at once. */
static void await(struct exchange *exchange, const struct llm_usage_judged *judged)
{
	char id[EVENT_ID_MAX + 1];

	exchange->is_unread = true;
	exchange->awaits = judged->head;
	memcpy(exchange->awaits_history, judged->head_history, sizeof(judged->head_history));
	TAILQ_INSERT_TAIL(&exchange->gateway->unread, exchange, unread);
	follower_heard(exchange->gateway->process->follower, judged->head_history,
	    event_id_text(judged->head, id), NULL);
}

void exchange_account_forget(struct exchange *exchange)
{
	if (exchange->is_unread)
		TAILQ_REMOVE(&exchange->gateway->unread, exchange, unread);
	exchange->is_unread = false;
}

void exchanges_have_read(struct gateway *gateway, const struct ledger_event *event)
{
	struct exchange *exchange, *next;

	for (exchange = TAILQ_FIRST(&gateway->unread); exchange; exchange = next) {
		next = TAILQ_NEXT(exchange, unread);
		/* one of another history may have the id of one that was lost */
		if (event_id_compare(exchange->awaits, event->id) > 0 ||
		    strcmp(exchange->awaits_history, event->history) != 0)
			continue;
		exchange_account_forget(exchange);
		go_on(exchange);
	}
}

static void take_judgement(struct exchange *exchange, const struct llm_usage_judged *judged)
{
	if (judged->which[0]) {
		refuse_limit(exchange, judged);
		exchange_resume(exchange);
	} else if (!follower_has_handled(
		       exchange->gateway->process->follower, judged->head_history, judged->head)) {
		await(exchange, judged);
	} else {
		go_on(exchange);
	}
}

static void on_judged(void *arg, const struct llm_usage_judged *judged, const struct error *err)
{
	struct account *account = arg;
	struct exchange *exchange = account->exchange;

	account->is_asking = false;
	account->is_counted = judged && !judged->which[0];
	account->day = judged ? judged->day : 0;
	if (!exchange) {
		/* nothing was sent */
		if (account->is_counted)
			note_unsent(account);
		free(account);
		return;
	}
	if (judged && !exchange->is_cut) {
		take_judgement(exchange, judged);
		return;
	}
	if (err)
		refuse_for_now(exchange, "limits_unavailable",
		    "whether a limit is reached cannot be known at the moment");
	exchange_resume(exchange);
}

/* It was judged before its key was void: it goes on, unless its key is another's now, for which other limits stand. */
static bool was_judged(struct exchange *exchange)
{
	struct account *account = exchange->account;

	if (!account)
		return false;
	if (strcmp(account->source, exchange->key->source) == 0) {
		go_on(exchange);
		return true;
	}
	note_unsent(account);
	free(account);
	exchange->account = NULL;
	return false;
}

void exchange_account_judge(struct exchange *exchange)
{
	struct gateway *gateway = exchange->gateway;
	const struct provider *provider = exchange->target.provider;
	const struct agent *agent = exchange->agent;
	bool is_capped = (gateway->agent_usd || gateway->all_usd) && is_global(exchange);

	if (was_judged(exchange))
		return;
	if (is_capped && provider->nprices == 0) {
		exchange_refuse(exchange, 403, "price_unknown",
		    "the operators' key of a provider without prices is not used under a cap");
		return;
	}
	struct account *account = calloc(1, sizeof(*account));
	bug_if(!account);
	*account = (struct account){.exchange = exchange, .gateway = gateway, .is_asking = true};
	snprintf(account->asset, sizeof(account->asset), "%s", agent->asset);
	snprintf(account->wallet, sizeof(account->wallet), "%s", agent->wallet);
	snprintf(account->provider, sizeof(account->provider), "%s", provider->name);
	snprintf(account->source, sizeof(account->source), "%s", exchange->key->source);
	exchange->account = account;
	const struct llm_usage_who of = who(account);
	llm_usage_judge(gateway->process->redis, &of, gateway->usage_days, &gateway->limits,
	    on_judged, account);
}

/* ---- afterwards */

static uint64_t at_least(uint64_t told, uint64_t bytes)
{
	uint64_t guess = (bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;

	return told > guess ? told : guess;
}

/* What an agent can keep the provider from telling (it asks for no usage, or hangs up) must not be what it spends: bytes do not show it. */
static uint64_t unknown_output(const struct exchange *exchange, uint64_t told)
{
	uint64_t guess = at_least(told, exchange->answer_bytes),
		 least = is_global(exchange) ? exchange->gateway->unknown_tokens : 0;

	return guess > least ? guess : least;
}

/* May it have cost more than the provider said? One that refused costs nothing, nor does what asks for no work. */
static bool is_unknown(const struct exchange *exchange, bool is_told)
{
	bool is_whole = exchange->is_over && !exchange->has_failed && !exchange->is_cut;

	if (!exchange->was_sent || strcmp(exchange->method, "POST") != 0 ||
	    (exchange->has_head && exchange->status >= 400))
		return false;
	return !is_told || !is_whole;
}

static void set_cost(
    const struct exchange *exchange, struct llm_usage_note *noted, uint64_t input, uint64_t output)
{
	enum provider_cost is =
	    providers_cost(exchange->target.provider, noted->model, input, output, &noted->micro);

	noted->charged = input + output;
	noted->is_priced = is == PROVIDER_COST_LISTED ||
			   (is == PROVIDER_COST_HIGHEST && is_global(exchange)) ||
			   noted->charged == 0;
}

static void count_tokens(const struct exchange *exchange, const struct llm_usage_note *noted)
{
	static const char *const directions[] = {"input", "output"};
	struct metrics *metrics = exchange->gateway->process->metrics;
	const uint64_t tokens[] = {noted->input, noted->output};
	char labels[160];

	for (size_t i = 0; i < ARRAY_LEN(directions); i++) {
		snprintf(labels, sizeof(labels), "provider=\"%s\",source=\"%s\",direction=\"%s\"",
		    exchange->target.provider->name, exchange->key->source, directions[i]);
		metric_add(metrics_counter(metrics, "multiclaw_gateway_tokens_total",
			       "As the providers count them.", labels),
		    tokens[i]);
	}
	snprintf(labels, sizeof(labels), "provider=\"%s\",source=\"%s\"",
	    exchange->target.provider->name, exchange->key->source);
	metric_add(metrics_counter(metrics, "multiclaw_gateway_unknown_total",
		       "Requests whose tokens the provider did not say, or not all.", labels),
	    noted->unknown);
}

static void tell(const struct exchange *exchange, const struct account *account)
{
	struct llm_usage_note noted = {.day = account->day, .model = usage_model(&exchange->usage)};
	bool is_told = usage_tokens(&exchange->usage, &noted.input, &noted.output);

	noted.unknown = is_unknown(exchange, is_told);
	set_cost(exchange, &noted,
	    noted.unknown ? at_least(noted.input, exchange->up_bytes) : noted.input,
	    noted.unknown ? unknown_output(exchange, noted.output) : noted.output);
	count_tokens(exchange, &noted);
	note(account, &noted);
}

void exchange_account_end(struct exchange *exchange)
{
	struct account *account = exchange->account;

	exchange->account = NULL;
	if (!account)
		return;
	account->exchange = NULL;
	if (account->is_asking)
		return;
	if (account->is_counted && exchange->key)
		tell(exchange, account);
	else if (account->is_counted)
		note_unsent(account);
	free(account);
}
