#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/llm-gateway/exchange_internal.h"
#include "services/llm-gateway/front.h"

void exchange_refuse(struct exchange *exchange, unsigned status, const char *code, const char *text)
{
	struct exchange_refusal *refusal = &exchange->refusal;

	if (refusal->status || exchange->has_head)
		return;
	refusal->status = status;
	snprintf(refusal->code, sizeof(refusal->code), "%s", code);
	snprintf(refusal->text, sizeof(refusal->text), "%s", text);
}

void exchange_resume(struct exchange *exchange)
{
	if (!exchange->is_suspended)
		return;
	exchange->is_suspended = false;
	MHD_resume_connection(exchange->connection);
	front_wake(exchange->gateway->front);
}

static enum MHD_Result suspend(struct exchange *exchange)
{
	exchange->is_suspended = true;
	MHD_suspend_connection(exchange->connection);
	return MHD_YES;
}

/* ---- the key */

static void refuse_by(struct exchange *exchange, const struct error *err)
{
	switch (err->code) {
	case ERR_BUSY:
		exchange_refuse(exchange, 429, "too_many_requests", err->text);
		break;
	case ERR_DENIED:
	case ERR_UNAUTHENTICATED:
		exchange_refuse(
		    exchange, 403, err->reason[0] ? err->reason : "agent_ended", err->text);
		break;
	case ERR_INVALID:
		exchange_refuse(exchange, 404, "provider_not_offered",
		    "the vault does not know this provider, or not this agent");
		break;
	default:
		exchange_refuse(exchange, 503, "key_store_unavailable",
		    "the provider's key cannot be had at the moment");
	}
	exchange->refusal.retry_after_s = err->retry_after_s;
	if (exchange->refusal.status == 503 && !err->retry_after_s)
		exchange->refusal.retry_after_s = 1;
}

/* The lease may have ended, and the owner changed, while the vault was asked. */
static void use(struct exchange *exchange, struct key *key)
{
	struct error err;

	if (gateway_serves(exchange->gateway, &err) != 0) {
		refuse_by(exchange, &err);
		return;
	}
	if (strcmp(key->source, "global") == 0 &&
	    !target_is_for_all(&exchange->target, exchange->method)) {
		exchange_refuse(exchange, 403, "key_shared",
		    "with the operators' key, which other agents use, too, models are listed and "
		    "POST is taken, but for batches");
		return;
	}
	exchange->key = key_keep(key);
	exchange->epoch = exchange->agent->epoch;
	exchange_account_judge(exchange);
}

static void on_key(void *arg, struct key *key, const struct error *err)
{
	struct exchange *exchange = arg;

	if (key)
		use(exchange, key);
	else
		refuse_by(exchange, err);
	exchange_resume(exchange);
}

void exchange_want_key(struct exchange *exchange)
{
	struct error err = {0};

	exchange->waiter.done = on_key;
	exchange->waiter.arg = exchange;
	struct key *key =
	    keys_want(exchange->agent, exchange->target.provider, &exchange->waiter, &err);
	if (key)
		use(exchange, key);
	else if (err.code != ERR_NONE)
		refuse_by(exchange, &err);
}

/* ---- libmicrohttpd's side */

static enum MHD_Result queue(struct exchange *exchange)
{
	bool is_refusal = !exchange->has_head;
	struct MHD_Response *response =
	    is_refusal ? exchange_problem(exchange) : exchange_answer(exchange);
	unsigned status = is_refusal ? exchange->refusal.status : exchange->status;

	if (is_refusal)
		exchange_stop(exchange);
	enum MHD_Result result = MHD_queue_response(exchange->connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* Takes what there is room for. What comes after a refusal is not kept: it can be told only when all was heard. */
static enum MHD_Result take(struct exchange *exchange, const char *bytes, size_t *len)
{
	uint64_t most = exchange->gateway->body_max_mib << 20;
	size_t room, n;

	if (!exchange->refusal.status && exchange->up_bytes + *len > most) {
		exchange_refuse(
		    exchange, 413, "body_too_large", "the request is larger than taken here");
		exchange_stop(exchange);
	}
	if (exchange->refusal.status || exchange->is_over) {
		exchange->up_bytes += *len;
		*len = 0;
		/* more than it said, or than anybody may say */
		return exchange->up_bytes > 2 * most ? MHD_NO : MHD_YES;
	}
	room = EXCHANGE_BUFFER - evbuffer_get_length(exchange->up);
	n = *len < room ? *len : room;
	bug_if(evbuffer_add(exchange->up, bytes, n) != 0);
	exchange->up_bytes += n;
	*len -= n;
	exchange_poke(exchange);
	if (*len == 0)
		return MHD_YES;
	exchange->wants_room = true;
	return suspend(exchange);
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *exchange = arg;
	const struct gateway *gateway = exchange->gateway;

	(void)fd, (void)what;
	exchange_cut(exchange);
	front_run(gateway->front);
}

static void watch_client(struct exchange *exchange)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	exchange->fd = info->connect_fd;
	exchange->gone =
	    event_new(exchange->gateway->process->base, exchange->fd, EV_CLOSED, on_gone, exchange);
	bug_if(!exchange->gone || event_add(exchange->gone, NULL) != 0);
}

/* libmicrohttpd cuts a line where it lies, so that the version stands right behind the target, unless a NUL in it has made it end early. */
static void look_for_nul(struct exchange *exchange, const char *version)
{
	if (version != exchange->whole + strlen(exchange->text) + 1)
		exchange_refuse(exchange, 400, "target_malformed", "there is a NUL in the target");
}

static enum MHD_Result begin(struct exchange *exchange, const char *method, const char *version)
{
	exchange->stage = EXCHANGE_HEAD;
	watch_client(exchange);
	exchange_judge(exchange, method);
	look_for_nul(exchange, version);
	if (!exchange->refusal.status)
		exchange_want_key(exchange);
	return MHD_YES;
}

enum MHD_Result exchange_access(struct exchange *exchange, const char *method, const char *version,
    const char *bytes, size_t *len)
{
	if (exchange->is_cut)
		return MHD_NO;
	if (exchange->stage == EXCHANGE_NEW && begin(exchange, method, version) != MHD_YES)
		return MHD_NO;
	if (exchange->stage == EXCHANGE_HEAD) {
		if (exchange->refusal.status)
			return queue(exchange);
		if (!exchange->is_started)
			return suspend(exchange);
		exchange->stage = EXCHANGE_BODY;
		return MHD_YES;
	}
	if (*len > 0)
		return take(exchange, bytes, len);
	if (exchange->stage == EXCHANGE_BODY) {
		exchange->stage = EXCHANGE_ANSWER;
		exchange->is_up_whole = true;
		exchange_poke(exchange);
	}
	if (exchange->refusal.status || exchange->has_head)
		return queue(exchange);
	return suspend(exchange);
}

struct exchange *exchange_new(
    struct gateway *gateway, struct MHD_Connection *connection, const char *text)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));

	bug_if(!exchange);
	exchange->gateway = gateway;
	exchange->connection = connection;
	exchange->fd = -1;
	exchange->began_us = clock_boot_us();
	exchange->whole = text;
	exchange->text = strdup(text);
	exchange->up = evbuffer_new();
	exchange->down = evbuffer_new();
	bug_if(!exchange->text || !exchange->up || !exchange->down);
	return exchange;
}

/* ---- its end */

static void leave_agent(struct exchange *exchange)
{
	keys_forget_waiter(&exchange->waiter);
	exchange_account_forget(exchange);
	if (exchange->agent)
		TAILQ_REMOVE(&exchange->agent->exchanges, exchange, link);
	exchange->agent = NULL;
}

void exchange_cut(struct exchange *exchange)
{
	const struct linger at_once = {.l_onoff = 1};

	leave_agent(exchange);
	exchange_stop(exchange);
	evbuffer_drain(exchange->down, evbuffer_get_length(exchange->down));
	exchange->is_cut = true;
	/* what the kernel holds is thrown away when libmicrohttpd closes it, which it does as soon as it finds it shut */
	if (exchange->fd >= 0) {
		setsockopt(exchange->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		shutdown(exchange->fd, SHUT_RDWR);
	}
	exchange_resume(exchange);
	metric_add(exchange->gateway->metrics.cuts, 1);
}

static const char *outcome(const struct exchange *exchange)
{
	if (exchange->is_cut)
		return "cut";
	if (exchange->refusal.status)
		return exchange->refusal.code;
	return exchange->has_failed ? "broken_off" : "done";
}

static void count(struct exchange *exchange)
{
	struct gateway *gateway = exchange->gateway;
	unsigned status = exchange->has_head ? exchange->status : exchange->refusal.status;
	const struct provider *provider = exchange->target.provider;
	char labels[160];

	snprintf(labels, sizeof(labels), "provider=\"%s\",source=\"%s\",class=\"%uxx\"",
	    provider ? provider->name : "none", exchange->key ? exchange->key->source : "none",
	    status / 100);
	metric_add(
	    metrics_counter(gateway->process->metrics, "multiclaw_gateway_requests_total",
		"Requests of agents, by provider, whose key, and class of the answer.", labels),
	    1);
	metric_add(gateway->metrics.up_bytes, exchange->up_bytes);
	metric_add(gateway->metrics.down_bytes, exchange->down_bytes);
	if (exchange->refusal.status)
		gateway_count_refusal(gateway, exchange->refusal.code);
	log_info("call", "agent", exchange->agent_id[0] ? exchange->agent_id : NULL, "provider",
	    provider ? provider->name : NULL, "method", exchange->method, "status", log_u64(status),
	    "source", exchange->key ? exchange->key->source : NULL, "outcome", outcome(exchange),
	    "up", log_u64(exchange->up_bytes), "down", log_u64(exchange->down_bytes), "ms",
	    log_u64((clock_boot_us() - exchange->began_us) / 1000));
}

void exchange_end(struct exchange *exchange)
{
	if (exchange->stage != EXCHANGE_NEW)
		count(exchange);
	leave_agent(exchange);
	exchange_stop(exchange);
	exchange_account_end(exchange);
	if (exchange->gone)
		event_free(exchange->gone);
	redact_destroy(&exchange->redact);
	key_release(&exchange->key);
	curl_slist_free_all(exchange->fields);
	curl_slist_free_all(exchange->answer_fields);
	evbuffer_free(exchange->up);
	evbuffer_free(exchange->down);
	free(exchange->text);
	free(exchange);
}
