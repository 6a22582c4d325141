/* http_reply - the body of a request and the answers to it. */
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/http_internal.h"
#include "common/log.h"
#include "common/scoped.h"

static const struct phrase {
	int status;
	const char *text;
} phrases[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {303, "See Other"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

static const char *phrase_of(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(phrases); i++) {
		if (phrases[i].status == status)
			return phrases[i].text;
	}
	return "Other";
}

static bool is_json(const char *type)
{
	static const char json[] = "application/json";
	size_t len = sizeof(json) - 1;

	return type && strncasecmp(type, json, len) == 0 &&
	       (!type[len] || strchr("; \t", type[len]));
}

bool http_has_body(const struct http_request *request)
{
	return request->native && evbuffer_get_length(request->native->input_buffer) > 0;
}

json_t *http_body_json(const struct http_request *request, struct error *err)
{
	if (!request->native || !is_json(http_header(request, "Content-Type", NULL))) {
		error_refuse(
		    err, ERR_INVALID, "body_invalid", "Content-Type is not application/json");
		return NULL;
	}
	struct evbuffer *body = request->native->input_buffer;
	size_t len = evbuffer_get_length(body);
	const char *text = len ? (const char *)evbuffer_pullup(body, -1) : "";
	json_error_t why;
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);

	if (json_is_object(json))
		return json;
	error_refuse(err, ERR_INVALID, "body_invalid",
	    json ? "the body is not a JSON object" : "the body is not valid JSON");
	json_decref(json);
	return NULL;
}

void http_reply_header(struct http_request *request, const char *name, const char *value)
{
	if (!request->native)
		return;
	/* evhttp would let a folded line through */
	if (strpbrk(name, "\r\n") || strpbrk(value, "\r\n")) {
		log_error("http header dropped", "request", request->id, "name", name);
		return;
	}
	evhttp_add_header(request->native->output_headers, name, value);
}

void http_reply_empty(struct http_request *request, int status)
{
	if (request->native)
		evhttp_send_reply(request->native, status, phrase_of(status), NULL);
	http_request_release(request);
}

void http_reply_text(struct http_request *request, int status, const char *content_type,
    const char *text, size_t len)
{
	struct evhttp_request *native = request->native;

	if (native) {
		http_reply_header(request, "Content-Type", content_type);
		if (native->type == EVHTTP_REQ_HEAD) {
			/* evhttp would send the body of an answer to HEAD, and not announce one that is not there */
			char number[24];
			snprintf(number, sizeof(number), "%zu", len);
			http_reply_header(request, "Content-Length", number);
		} else {
			evbuffer_add(native->output_buffer, text, len);
		}
	}
	http_reply_empty(request, status);
}

static void reply_dumped(
    struct http_request *request, int status, const char *content_type, const json_t *body)
{
	scoped_free char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	bug_if(!text);
	size_t len = strlen(text);
	http_reply_text(request, status, content_type, text, len);
	sodium_memzero(text, len);
}

void http_reply_json(struct http_request *request, int status, json_t *body)
{
	scoped_json json_t *owned = body;

	reply_dumped(request, status, "application/json", owned);
}

void http_reply_problem_more(struct http_request *request, int status, const char *code,
    const char *detail, unsigned retry_after_s, json_t *more)
{
	scoped_json json_t *owned = more;
	scoped_json json_t *body = json_pack("{ss ss si ss ss}", "type", "about:blank", "title",
	    phrase_of(status), "status", status, "code", code, "request_id", request->id);

	/* a detail that is not UTF-8 is left out: json_string refuses it */
	json_object_set_new(
	    body, "detail", json_string(detail && *detail ? detail : phrase_of(status)));
	json_object_update_missing(body, owned);
	if (retry_after_s) {
		char number[12];
		snprintf(number, sizeof(number), "%u", retry_after_s);
		http_reply_header(request, "Retry-After", number);
	}
	http_reply_header(request, "Cache-Control", "no-store");
	reply_dumped(request, status, "application/problem+json", body);
}

void http_reply_problem(struct http_request *request, int status, const char *code,
    const char *detail, unsigned retry_after_s)
{
	http_reply_problem_more(request, status, code, detail, retry_after_s, NULL);
}
