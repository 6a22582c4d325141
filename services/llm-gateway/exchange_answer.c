#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "services/llm-gateway/exchange_internal.h"
#include "services/llm-gateway/fields.h"
#include "services/llm-gateway/problem.h"

#define BLOCK 16384

static void add(struct MHD_Response *response, const char *name, const char *value)
{
	/* what libmicrohttpd does not take is left out */
	(void)MHD_add_response_header(response, name, value);
}

struct MHD_Response *exchange_problem(const struct exchange *exchange)
{
	const struct exchange_refusal *refusal = &exchange->refusal;
	char *text =
	    problem_text(exchange->target.provider, refusal->status, refusal->code, refusal->text);
	char seconds[16];

	struct MHD_Response *response =
	    MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	bug_if(!response);
	add(response, "Content-Type", "application/json");
	add(response, "X-Multiclaw-Error", refusal->code);
	if (refusal->retry_after_s) {
		snprintf(seconds, sizeof(seconds), "%u", refusal->retry_after_s);
		add(response, "Retry-After", seconds);
	}
	return response;
}

/* ---- the head that the provider sent */

static bool is_called(const char *line, const char *name)
{
	size_t len = strlen(name);

	return strncasecmp(line, name, len) == 0 && line[len] == ':';
}

static const char *value_of(const char *line)
{
	const char *value = line + strcspn(line, ":");

	value += *value == ':';
	return value + strspn(value, " \t");
}

static int refuse_answer(struct exchange *exchange, const char *code, const char *text)
{
	exchange_refuse(exchange, 502, code, text);
	return -1;
}

static void begin_head(struct exchange *exchange, const char *line)
{
	const char *status = strchr(line, ' ');

	curl_slist_free_all(exchange->answer_fields);
	exchange->answer_fields = NULL;
	exchange->answer_connection[0] = '\0';
	exchange->answer_len = EXCHANGE_LENGTH_UNKNOWN;
	exchange->is_answer_chunked = false;
	exchange->status = 0;
	exchange->is_events = false;
	for (int i = 1; status && i <= 3 && status[i] >= '0' && status[i] <= '9'; i++)
		exchange->status = exchange->status * 10 + (unsigned)(status[i] - '0');
}

static int end_head(struct exchange *exchange)
{
	if (exchange->status < 200) /* one of those that come before an answer */
		return 0;
	if (exchange->status > 599)
		return refuse_answer(
		    exchange, "provider_malformed", "the provider's status is none");
	exchange->has_head = true;
	usage_begin(&exchange->usage, exchange->is_events);
	if (exchange->status == 401 && exchange->agent)
		keys_drop(exchange->agent, exchange->target.provider, exchange->key->version);
	exchange_resume(exchange);
	return 0;
}

/* RFC 9112 section 6.3: one length, or chunks. Whether it is a number libcurl has looked at. */
static bool is_well_framed(struct exchange *exchange, const char *text)
{
	if (is_called(text, "transfer-encoding"))
		exchange->is_answer_chunked = true;
	if (is_called(text, "content-length")) {
		uint64_t len = strtoull(value_of(text), NULL, 10);
		if (exchange->answer_len != EXCHANGE_LENGTH_UNKNOWN && exchange->answer_len != len)
			return false;
		exchange->answer_len = len;
	}
	return !exchange->is_answer_chunked || exchange->answer_len == EXCHANGE_LENGTH_UNKNOWN;
}

static bool is_encoded(const char *text)
{
	return (is_called(text, "content-encoding") &&
		   strcasecmp(value_of(text), "identity") != 0) ||
	       (is_called(text, "transfer-encoding") && strcasecmp(value_of(text), "chunked") != 0);
}

static int note_field(struct exchange *exchange, const char *text)
{
	const char *value = value_of(text);

	if (is_encoded(text))
		return refuse_answer(exchange, "provider_encoded",
		    "the provider answers in an encoding that was not asked for");
	if (!is_well_framed(exchange, text))
		return refuse_answer(exchange, "provider_malformed",
		    "the provider says twice how long its answer is");
	if (is_called(text, "content-type"))
		exchange->is_events = strncasecmp(value, "text/event-stream", 17) == 0;
	if (is_called(text, "connection"))
		snprintf(
		    exchange->answer_connection, sizeof(exchange->answer_connection), "%s", value);
	struct curl_slist *grown = curl_slist_append(exchange->answer_fields, text);
	bug_if(!grown);
	exchange->answer_fields = grown;
	return 0;
}

int exchange_answer_line(struct exchange *exchange, const char *line, size_t len)
{
	char text[EXCHANGE_ANSWER_HEAD_MAX + 1];

	if (exchange->has_head) /* trailers */
		return 0;
	exchange->answer_head_bytes += len;
	if (exchange->answer_head_bytes > EXCHANGE_ANSWER_HEAD_MAX)
		return refuse_answer(exchange, "provider_malformed",
		    "the head of the provider's answer is too large");
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	if (len == 0)
		return end_head(exchange);
	memcpy(text, line, len);
	text[len] = '\0';
	if (strncmp(text, "HTTP/", 5) == 0) {
		begin_head(exchange, text);
		return 0;
	}
	if (strlen(text) != len || !fields_is_value(text, len) || !strchr(text, ':'))
		return refuse_answer(
		    exchange, "provider_malformed", "the provider's answer is not HTTP");
	return note_field(exchange, text);
}

/* ---- the answer that the client gets */

static void add_field(struct exchange *exchange, struct MHD_Response *response, char *line)
{
	size_t name_len = strcspn(line, ":");
	uint64_t found = redact_text(exchange->key->forms, line, strlen(line));

	metric_add(exchange->gateway->metrics.redactions, found);
	if (found)
		log_warn("the provider sent the key back", "in", "a header", "provider",
		    exchange->target.provider->name, "agent", exchange->agent_id);
	const char *value = value_of(line);
	line[name_len] = '\0';
	if (fields_is_name(line, name_len) && fields_go_down(line, exchange->answer_connection))
		add(response, line, value);
}

/* How much, or that there is nothing now: then the connection rests until there is. */
static ssize_t read_answer(void *arg, uint64_t at, char *bytes, size_t max)
{
	struct exchange *exchange = arg;

	(void)at;
	/* a process that was paused gets here before its timers say that the lease is gone */
	if (exchange->is_cut || gateway_serves(exchange->gateway, NULL) != 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	int n = evbuffer_remove(exchange->down, bytes, max);
	if (n > 0) {
		exchange->down_bytes += (uint64_t)n;
		if (exchange->is_down_paused)
			exchange_poke(exchange);
		return n;
	}
	if (exchange->is_over)
		return exchange->has_failed ? MHD_CONTENT_READER_END_WITH_ERROR
					    : MHD_CONTENT_READER_END_OF_STREAM;
	exchange->is_suspended = true;
	MHD_suspend_connection(exchange->connection);
	return 0;
}

static uint64_t size_of(const struct exchange *exchange)
{
	if (exchange->status == 204 || exchange->status == 304)
		return 0;
	return exchange->answer_len == EXCHANGE_LENGTH_UNKNOWN ? MHD_SIZE_UNKNOWN
							       : exchange->answer_len;
}

struct MHD_Response *exchange_answer(struct exchange *exchange)
{
	struct MHD_Response *response = MHD_create_response_from_callback(
	    size_of(exchange), BLOCK, read_answer, exchange, NULL);

	bug_if(!response);
	for (struct curl_slist *field = exchange->answer_fields; field; field = field->next)
		add_field(exchange, response, field->data);
	if (exchange->status == 401)
		add(response, "X-Multiclaw-Key-Source", exchange->key->source);
	return response;
}
