#include "common/http_client.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/curl_loop.h"
#include "common/loop_priority.h"

#define CONNECT_MS_MAX 5000
#define HOST_CONNECTIONS_MAX 16

/* A request, or a raw connection from its opening to http_close. */
struct transfer {
	TAILQ_ENTRY(transfer) link;
	CURL *easy; /* NULL: there is nothing to wait for but the telling */
	http_done done;
	http_connected connected;
	void *arg;
	bool is_over; /* the outcome is known and told next */
	bool is_open; /* told: a raw connection in use */
	struct error err;

	struct curl_slist *headers;
	char *body;
	size_t body_max;
	bool has_head; /* whole: libcurl takes one that breaks off for an answer */
	char *answer;
	size_t len, room;
};
TAILQ_HEAD(transfers, transfer);

struct http_client {
	struct curl_loop *loop;
	struct event *tell;
	struct transfers transfers;
};

static void tell_later(struct http_client *client)
{
	static const struct timeval now = {0, 0};

	if (!evtimer_pending(client->tell, NULL))
		evtimer_add(client->tell, &now);
}

static struct transfer *transfer_of(struct http_client *client, const CURL *easy)
{
	struct transfer *t;

	for (t = TAILQ_FIRST(&client->transfers); t; t = TAILQ_NEXT(t, link)) {
		if (t->easy == easy)
			return t;
	}
	return NULL;
}

static void set_outcome(struct transfer *t, CURLcode code)
{
	t->is_over = true;
	if (code == CURLE_OK && t->done && !t->has_head)
		code = CURLE_PARTIAL_FILE;
	if (code == CURLE_OK || t->err.code != ERR_NONE)
		return;
	bool late = code == CURLE_OPERATION_TIMEDOUT;
	error_set(
	    &t->err, late ? ERR_TIMEOUT : ERR_UNAVAILABLE, "http: %s", curl_easy_strerror(code));
}

static void on_over(void *arg, CURL *easy, CURLcode code)
{
	struct http_client *client = arg;
	char *transfer = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
	set_outcome((void *)transfer, code);
	tell_later(client);
}

/* ---- transfers */

static struct transfer *transfer_new(struct http_client *client, void *arg)
{
	struct transfer *t = calloc(1, sizeof(*t));

	bug_if(!t);
	t->arg = arg;
	t->easy = curl_easy_init();
	TAILQ_INSERT_TAIL(&client->transfers, t, link);
	return t;
}

static void transfer_free(struct http_client *client, struct transfer *t)
{
	TAILQ_REMOVE(&client->transfers, t, link);
	if (t->easy) {
		curl_loop_remove(client->loop, t->easy);
		curl_easy_cleanup(t->easy);
	}
	curl_slist_free_all(t->headers);
	free(t->body);
	free(t->answer);
	free(t);
}

#define SET(t, option, value) \
	do { \
		if (curl_easy_setopt((t)->easy, (option), (value)) != CURLE_OK) \
			error_set(&(t)->err, ERR_UNAVAILABLE, "http: %s not understood", #option); \
	} while (0)

/* Certificates and host names are verified: libcurl's default, said again because everything
 * hangs on it. */
static void set_common(struct transfer *t, const char *url, uint64_t timeout_ms)
{
	SET(t, CURLOPT_PRIVATE, (void *)t);
	SET(t, CURLOPT_URL, url);
	SET(t, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(t, CURLOPT_FOLLOWLOCATION, 0L);
	SET(t, CURLOPT_SSL_VERIFYPEER, 1L);
	SET(t, CURLOPT_SSL_VERIFYHOST, 2L);
	SET(t, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(t, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(t, CURLOPT_NOSIGNAL, 1L);
	SET(t, CURLOPT_CONNECTTIMEOUT_MS,
	    (long)(timeout_ms < CONNECT_MS_MAX ? timeout_ms : CONNECT_MS_MAX));
}

static void start(struct http_client *client, struct transfer *t)
{
	if (t->easy && t->err.code == ERR_NONE) {
		if (curl_loop_add(client->loop, t->easy) == 0)
			return;
	}
	if (t->err.code == ERR_NONE)
		error_set(&t->err, ERR_UNAVAILABLE, "http: cannot start a transfer");
	t->is_over = true;
	tell_later(client);
}

static size_t note_head(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n;

	if (len >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
		t->has_head = false;
	else if (len > 0 && len <= 2 && bytes[len - 1] == '\n')
		t->has_head = true;
	return len;
}

static size_t keep_answer(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t more = size * n;

	if (more > t->body_max - t->len) {
		error_refuse(&t->err, ERR_UNAVAILABLE, HTTP_TOO_LONG, "http: answer over %zu bytes",
		    t->body_max);
		return 0;
	}
	if (t->len + more + 1 > t->room) {
		size_t room = t->room ? t->room : 4096;
		while (room < t->len + more + 1)
			room *= 2;
		char *grown = realloc(t->answer, room);
		bug_if(!grown);
		t->answer = grown;
		t->room = room;
	}
	memcpy(t->answer + t->len, bytes, more);
	t->len += more;
	t->answer[t->len] = '\0';
	return more;
}

void http_post(struct http_client *client, const char *url, const char *body, size_t len,
    uint64_t timeout_ms, size_t body_max, http_done done, void *arg)
{
	struct transfer *t = transfer_new(client, arg);

	t->done = done;
	t->body = malloc(len + 1);
	bug_if(!t->body);
	memcpy(t->body, body, len);
	t->body_max = body_max;
	if (t->easy) {
		set_common(t, url, timeout_ms);
		t->headers = curl_slist_append(NULL, "Content-Type: application/json");
		t->headers = curl_slist_append(t->headers, "Accept: application/json");
		t->headers = curl_slist_append(t->headers, "Expect:");
		SET(t, CURLOPT_HTTPHEADER, t->headers);
		SET(t, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
		SET(t, CURLOPT_POST, 1L);
		SET(t, CURLOPT_POSTFIELDS, t->body);
		SET(t, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
		SET(t, CURLOPT_HEADERFUNCTION, note_head);
		SET(t, CURLOPT_HEADERDATA, (void *)t);
		SET(t, CURLOPT_WRITEFUNCTION, keep_answer);
		SET(t, CURLOPT_WRITEDATA, (void *)t);
	}
	start(client, t);
}

CURL *http_connect(struct http_client *client, const char *url, uint64_t timeout_ms,
    http_connected done, void *arg)
{
	struct transfer *t = transfer_new(client, arg);

	t->connected = done;
	if (t->easy) {
		set_common(t, url, timeout_ms);
		SET(t, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
		SET(t, CURLOPT_CONNECT_ONLY, 1L);
		SET(t, CURLOPT_HTTPPROXYTUNNEL, 1L);
		SET(t, CURLOPT_SSL_ENABLE_ALPN, 0L);
		SET(t, CURLOPT_FRESH_CONNECT, 1L);
	}
	start(client, t);
	return t->easy;
}

void http_close(struct http_client *client, CURL **easy)
{
	struct transfer *t = *easy ? transfer_of(client, *easy) : NULL;

	*easy = NULL;
	if (t)
		transfer_free(client, t);
}

/* ---- telling: always from the loop's own event, so that whoever is told may call anything */

static unsigned retry_after_s(CURL *easy)
{
	curl_off_t seconds = 0;

	curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
	return seconds > 86400 ? 86400 : (unsigned)seconds;
}

static void tell_answer(struct http_client *client, struct transfer *t)
{
	struct http_answer answer = {.body = t->answer ? t->answer : "", .len = t->len};
	http_done done = t->done;
	void *arg = t->arg;

	if (t->err.code != ERR_NONE) {
		struct error err = t->err;
		transfer_free(client, t);
		done(arg, NULL, &err);
		return;
	}
	char *body = t->answer;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &answer.status);
	answer.retry_after_s = retry_after_s(t->easy);
	t->answer = NULL;
	transfer_free(client, t);
	done(arg, &answer, NULL);
	free(body);
}

static void tell_connection(struct http_client *client, struct transfer *t)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	http_connected connected = t->connected;
	void *arg = t->arg;

	if (t->err.code == ERR_NONE &&
	    (curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
		fd == CURL_SOCKET_BAD))
		error_set(&t->err, ERR_UNAVAILABLE, "http: connection lost");
	if (t->err.code != ERR_NONE) {
		struct error err = t->err;
		transfer_free(client, t);
		connected(arg, NULL, CURL_SOCKET_BAD, &err);
		return;
	}
	t->is_open = true;
	connected(arg, t->easy, fd, NULL);
}

static struct transfer *first_over(const struct http_client *client)
{
	struct transfer *t;

	for (t = TAILQ_FIRST(&client->transfers); t; t = TAILQ_NEXT(t, link)) {
		if (t->is_over && !t->is_open)
			return t;
	}
	return NULL;
}

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
	struct http_client *client = arg;
	struct transfer *t = first_over(client);

	(void)fd, (void)what;
	if (!t)
		return;
	/* one at a time: the one told may destroy the client */
	tell_later(client);
	if (t->done)
		tell_answer(client, t);
	else
		tell_connection(client, t);
}

/* ---- the client */

struct http_client *http_client_new(struct event_base *base, struct error *err)
{
	struct http_client *client = calloc(1, sizeof(*client));
	bug_if(!client);
	client->loop = curl_loop_new(base, LOOP_NORMAL, on_over, client, err);
	if (!client->loop) {
		free(client);
		return NULL;
	}
	TAILQ_INIT(&client->transfers);
	client->tell = evtimer_new(base, on_tell, client);
	bug_if(!client->tell);
	curl_multi_setopt(curl_loop_multi(client->loop), CURLMOPT_MAX_HOST_CONNECTIONS,
	    (long)HOST_CONNECTIONS_MAX);
	return client;
}

static void end_all(struct http_client *client)
{
	struct transfer *t, *next;

	for (t = TAILQ_FIRST(&client->transfers); t; t = next) {
		error_set(&t->err, ERR_UNAVAILABLE, "http: closed");
		if (t->done)
			tell_answer(client, t);
		else if (!t->is_open)
			tell_connection(client, t);
		else
			transfer_free(client, t);
		next = TAILQ_FIRST(&client->transfers);
	}
}

void http_client_destroy(struct http_client **client)
{
	struct http_client *c = *client;

	if (!c)
		return;
	*client = NULL;
	end_all(c);
	curl_loop_destroy(&c->loop);
	event_free(c->tell);
	free(c);
}
