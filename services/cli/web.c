#include "services/cli/web.h"

#include <curl/curl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "services/cli/wiped.h"

#define BODY_MAX (8 * 1024 * 1024)
#define MEANWHILE_MS 500

void web_answer_free(struct web_answer *answer)
{
	json_decref(answer->json);
	wiped_free(answer->body);
	answer->json = NULL;
	answer->body = NULL;
}

static size_t take_body(char *data, size_t size, size_t n, void *arg)
{
	struct web_answer *answer = arg;
	size_t more = size * n;

	if (answer->len + more > BODY_MAX)
		return 0;
	char *grown = wiped_grow(answer->body, answer->len, answer->len + more + 1);
	if (!grown)
		return 0;
	memcpy(grown + answer->len, data, more);
	answer->body = grown;
	answer->len += more;
	grown[answer->len] = '\0';
	return more;
}

struct header_reader {
	char wanted[64]; /* "set-cookie: name=" */
	struct web_answer *answer;
};

static size_t take_header(char *data, size_t size, size_t n, void *arg)
{
	struct header_reader *reader = arg;
	struct web_answer *answer = reader->answer;
	size_t len = size * n, start = strlen(reader->wanted);

	if (len > start && strncasecmp(data, reader->wanted, start) == 0) {
		size_t token = 0;
		while (start + token < len && !strchr(";\r\n", data[start + token]))
			token++;
		if (token < sizeof(answer->token)) {
			memcpy(answer->token, data + start, token);
			answer->token[token] = '\0';
		}
	}
	return len;
}

/* Programs send the cookie themselves: a jar would refuse a Secure cookie on http://localhost. */
static struct curl_slist *headers_new(const struct web_question *question)
{
	struct curl_slist *list = NULL;
	char line[sizeof("Cookie: " WEB_COOKIE_AGENT "=") + WEB_TOKEN_MAX];

	if (question->body)
		list = curl_slist_append(list, "Content-Type: application/json");
	if (question->cookie && question->token && question->token[0]) {
		snprintf(line, sizeof(line), "Cookie: %s=%s", question->cookie, question->token);
		list = curl_slist_append(list, line);
		sodium_memzero(line, sizeof(line));
	}
	if (question->origin) {
		snprintf(line, sizeof(line), "Origin: %s", question->origin);
		list = curl_slist_append(list, line);
	}
	return curl_slist_append(list, "Expect:");
}

static int performed(CURLcode rc, const char *url, struct error *err)
{
	if (rc == CURLE_OK)
		return 0;
	return error_set(err, ERR_UNAVAILABLE, "%s: %s", url, curl_easy_strerror(rc));
}

static int perform(CURL *easy, const char *url, struct error *err)
{
	return performed(curl_easy_perform(easy), url, err);
}

static int perform_in(const struct web_loop *loop, CURL *easy, const char *url, struct error *err)
{
	if (loop->connect_to)
		curl_easy_setopt(easy, CURLOPT_CONNECT_TO, loop->connect_to);
	if (loop->timeout_ms)
		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, loop->timeout_ms);
	return performed((CURLcode)loop->perform(loop->arg, easy), url, err);
}

/* The same, with something else to do every half second. */
static int perform_meanwhile(CURL *easy, const struct web_question *question, struct error *err)
{
	CURLM *multi = curl_multi_init();
	CURLcode rc = CURLE_FAILED_INIT;
	int running = 1, messages;
	uint64_t next_ms = clock_boot_ms() + MEANWHILE_MS;

	bug_if(!multi);
	curl_multi_add_handle(multi, easy);
	while (curl_multi_perform(multi, &running) == CURLM_OK && running) {
		uint64_t now_ms = clock_boot_ms();
		if (now_ms >= next_ms) {
			question->meanwhile(question->arg);
			next_ms = clock_boot_ms() + MEANWHILE_MS;
		}
		curl_multi_poll(multi, NULL, 0, MEANWHILE_MS / 4, NULL);
	}
	for (CURLMsg *msg; (msg = curl_multi_info_read(multi, &messages));)
		if (msg->msg == CURLMSG_DONE)
			rc = msg->data.result;
	curl_multi_remove_handle(multi, easy);
	curl_multi_cleanup(multi);
	return performed(rc, question->url, err);
}

static CURL *easy_new(const char *url, struct curl_slist *headers)
{
	CURL *easy = curl_easy_init();

	bug_if(!easy);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "multiclaw");
	return easy;
}

int web_ask(const struct web_question *question, struct web_answer *answer_r, struct error *err)
{
	struct curl_slist *headers = headers_new(question);
	CURL *easy = easy_new(question->url, headers);
	struct header_reader reader = {.answer = answer_r};

	memset(answer_r, 0, sizeof(*answer_r));
	snprintf(reader.wanted, sizeof(reader.wanted),
	    "set-cookie: %s=", question->wanted ? question->wanted : WEB_COOKIE);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, question->method);
	if (strcmp(question->method, "HEAD") == 0)
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	if (question->body)
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, question->body);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 30000L);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer_r);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, &reader);
	int rc = question->loop        ? perform_in(question->loop, easy, question->url, err)
		 : question->meanwhile ? perform_meanwhile(easy, question, err)
				       : perform(easy, question->url, err);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer_r->status);
	curl_easy_cleanup(easy);
	curl_slist_free_all(headers);
	if (rc == 0 && answer_r->body)
		answer_r->json =
		    json_loadb(answer_r->body, answer_r->len, JSON_REJECT_DUPLICATES, NULL);
	return rc;
}

int web_request(const char *method, const char *url, const char *body, const char *token,
    struct web_answer *answer_r, struct error *err)
{
	return web_ask(
	    &(struct web_question){
		.method = method, .url = url, .body = body, .cookie = WEB_COOKIE, .token = token},
	    answer_r, err);
}

static enum error_code code_of_status(long status)
{
	switch (status) {
	case 400:
		return ERR_INVALID;
	case 401:
		return ERR_UNAUTHENTICATED;
	case 403:
		return ERR_DENIED;
	case 404:
		return ERR_NOT_FOUND;
	case 409:
		return ERR_CONFLICT;
	case 429:
		return ERR_BUSY;
	case 502:
	case 503:
	case 504:
		return ERR_UNAVAILABLE;
	default:
		return ERR_INTERNAL;
	}
}

struct line_reader {
	bool (*line)(void *arg, const char *text);
	void *arg;
	char buf[65536]; /* a line of an agent's log as JSON escapes it */
	size_t len;
	bool stopped;
};

static size_t take_lines(char *data, size_t size, size_t n, void *arg)
{
	struct line_reader *reader = arg;

	for (size_t i = 0; i < size * n && !reader->stopped; i++) {
		if (data[i] == '\n') {
			reader->buf[reader->len] = '\0';
			reader->stopped = !reader->line(reader->arg, reader->buf);
			reader->len = 0;
		} else if (reader->len < sizeof(reader->buf) - 1) {
			reader->buf[reader->len++] = data[i];
		}
	}
	return reader->stopped ? 0 : size * n;
}

int web_stream(const char *url, const char *token, bool (*line)(void *arg, const char *text),
    void *arg, struct error *err)
{
	struct curl_slist *headers =
	    headers_new(&(struct web_question){.cookie = WEB_COOKIE, .token = token});
	CURL *easy = easy_new(url, headers);
	struct line_reader reader = {.line = line, .arg = arg};
	long status = 0;

	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_lines);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &reader);
	int rc = perform(easy, url, err);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(easy);
	curl_slist_free_all(headers);
	if (status == 401)
		return error_refuse(err, ERR_UNAUTHENTICATED, "session_invalid",
		    "the session is over; sign in again");
	if (rc == 0 && status >= 400)
		return error_set(err, code_of_status(status), "refused (HTTP %ld)", status);
	return reader.stopped ? 0 : rc;
}

const char *web_text(const json_t *doc, const char *name)
{
	const char *text = json_string_value(json_object_get(doc, name));

	return text ? text : "";
}

int web_problem(const struct web_answer *answer, struct error *err)
{
	const char *code = json_string_value(json_object_get(answer->json, "code"));
	const char *detail = json_string_value(json_object_get(answer->json, "detail"));
	const char *title = json_string_value(json_object_get(answer->json, "title"));

	return error_refuse(err, code_of_status(answer->status), code ? code : "", "%s (HTTP %ld)",
	    detail  ? detail
	    : title ? title
		    : "refused",
	    answer->status);
}

/* Something else answered in the service's place, a proxy's page or a redirect: nothing was done, or nobody knows. */
static int refuse_answer(const struct web_answer *answer, struct error *err)
{
	return error_set(err, ERR_INTERNAL,
	    "what answered is not this service (HTTP %ld): it may or may not be done",
	    answer->status);
}

int web_call_meanwhile(struct cli *cli, const char *method, const char *path, const char *body,
    void (*meanwhile)(void *arg), void *arg, struct web_answer *answer_r, struct error *err)
{
	struct session_file file;
	char url[1024];

	memset(answer_r, 0, sizeof(*answer_r));
	if (session_file_read(cli->session_path, &file, err) < 0)
		return -1;
	snprintf(url, sizeof(url), "%s%s", file.url, path);
	int rc = web_ask(
	    &(struct web_question){
		.method = method,
		.url = url,
		.body = body,
		.cookie = WEB_COOKIE,
		.token = file.token,
		.meanwhile = meanwhile,
		.arg = arg,
	    },
	    answer_r, err);
	sodium_memzero(&file, sizeof(file));
	if (rc < 0)
		return -1;
	if (answer_r->status >= 400)
		return web_problem(answer_r, err);
	bool is_ours =
	    answer_r->status == 204 || (answer_r->status < 300 && json_is_object(answer_r->json));
	return is_ours ? 0 : refuse_answer(answer_r, err);
}

int web_call(struct cli *cli, const char *method, const char *path, const char *body,
    struct web_answer *answer_r, struct error *err)
{
	return web_call_meanwhile(cli, method, path, body, NULL, NULL, answer_r, err);
}

int web_change(
    struct cli *cli, const char *method, const char *path, const char *body, struct error *err)
{
	scoped_answer struct web_answer answer = {0};

	if (web_call(cli, method, path, body, &answer, err) < 0)
		return -1;
	return answer.status == 204 ? 0 : refuse_answer(&answer, err);
}

const json_t *web_list(const struct web_answer *answer, const char *name, struct error *err)
{
	const json_t *list = json_object_get(answer->json, name);

	if (json_is_array(list))
		return list;
	refuse_answer(answer, err);
	return NULL;
}
