/* The server over a real unix socket, with raw bytes. Both ends live in this process, so "nothing more happens" is decided by running the
 * loop until it stands still, not by waiting. */
#include "common/http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/scoped.h"

#define HOST "Host: test\r\n"
#define STILL_ROUNDS 4

struct fixture {
	char folder[32], path[64], address[80];
	struct event_base *base;
	struct http_server *server;
	char seen[1024]; /* "GET /a\nPOST /b\n" */
	struct http_request *deferred;
	struct http_stream *stream;
	unsigned closed;
};

struct client {
	int fd;
	bool eof;
	size_t len;
	char got[512 * 1024];
};

static void on_closed(void *arg)
{
	struct fixture *f = arg;

	f->closed++;
	f->stream = NULL;
}

static void reply_body(struct http_request *request)
{
	struct error err = {0};
	json_t *body = http_body_json(request, &err);

	if (body)
		http_reply_json(request, 200, body);
	else
		http_reply_problem(request, 400, err.reason, err.text, 0);
}

static void reply_header(struct http_request *request)
{
	bool repeated;
	const char *value = http_header(request, "x-test", &repeated);

	http_reply_header(request, "X-Bad", "a\r\n Set-Cookie: b");
	http_reply_header(request, "X-Query", http_query(request));
	value = repeated ? "(repeated)" : value ? value : "(absent)";
	http_reply_text(request, 200, "text/plain", value, strlen(value));
}

static void handler(void *arg, struct http_request *request)
{
	struct fixture *f = arg;
	const char *path = http_path(request);
	size_t used = strlen(f->seen);

	snprintf(f->seen + used, sizeof(f->seen) - used, "%s %s\n", http_method(request), path);
	if (strcmp(path, "/defer") == 0)
		f->deferred = request;
	else if (strcmp(path, "/events") == 0)
		f->stream = http_stream_start(request, on_closed, f);
	else if (strcmp(path, "/json") == 0)
		reply_body(request);
	else if (strcmp(path, "/header") == 0)
		reply_header(request);
	else if (strcmp(path, "/busy") == 0)
		http_reply_problem(request, 429, "rate_limited", "bad \xff bytes", 7);
	else if (strcmp(path, "/none") == 0)
		http_reply_empty(request, 204);
	else
		http_reply_text(request, 200, "text/plain", path, strlen(path));
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = {0};
	struct event_config *config = event_config_new();

	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	f->base = event_base_new_with_config(config);
	event_config_free(config);
	snprintf(f->folder, sizeof(f->folder), "/tmp/http-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/s", f->folder);
	snprintf(f->address, sizeof(f->address), "unix:%s", f->path);
	f->server = http_server_new(f->base, f->address, handler, f, &err);
	assert_non_null(f->server);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	http_server_destroy(&f->server);
	event_base_free(f->base);
	assert_int_not_equal(access(f->path, F_OK), 0);
	assert_int_equal(rmdir(f->folder), 0);
	free(f);
	return 0;
}

static struct client *client_connect(const struct fixture *f)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct client *client = calloc(1, sizeof(*client));

	memcpy(at.sun_path, f->path, strlen(f->path));
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(fcntl(client->fd, F_SETFL, O_NONBLOCK), 0);
	return client;
}

static void client_free(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	free(client);
}

/* Reads what is there; true if there was anything new. */
static bool client_read(struct client *client)
{
	size_t room = sizeof(client->got) - 1 - client->len;
	ssize_t n = client->eof ? 0 : read(client->fd, client->got + client->len, room);

	if (n > 0) {
		client->len += (size_t)n;
		return true;
	}
	bool ended = !client->eof && (n == 0 || errno != EAGAIN);
	client->eof |= ended;
	return ended;
}

static void run(const struct fixture *f, struct client *client)
{
	for (int still = 0; still < STILL_ROUNDS; still++) {
		event_base_loop(f->base, EVLOOP_NONBLOCK);
		if (client && client_read(client))
			still = 0;
	}
}

static void send_bytes(
    const struct fixture *f, struct client *client, const void *bytes, size_t len)
{
	for (size_t sent = 0; sent < len;) {
		ssize_t n = send(client->fd, (const char *)bytes + sent, len - sent, MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		else if (errno != EAGAIN)
			break;
		run(f, client);
	}
	run(f, client);
}

static void send_text(const struct fixture *f, struct client *client, const char *text)
{
	send_bytes(f, client, text, strlen(text));
}

static const char *ask(const struct fixture *f, struct client *client, const char *text)
{
	client->len = 0;
	memset(client->got, 0, sizeof(client->got));
	send_text(f, client, text);
	return client->got;
}

static void assert_starts(const char *text, const char *start)
{
	if (strncmp(text, start, strlen(start)) != 0)
		fail_msg("expected \"%s\", got \"%.200s\"", start, text);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("expected \"%s\" in \"%.600s\"", part, text);
}

static const char *body_of(const char *reply)
{
	const char *end = strstr(reply, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

static void answers_and_keeps_the_connection(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);

	for (int i = 0; i < 3; i++) {
		const char *reply = ask(f, c, "GET /hello?x=1 HTTP/1.1\r\n" HOST "\r\n");
		assert_starts(reply, "HTTP/1.1 200 OK\r\n");
		assert_string_equal(body_of(reply), "/hello");
	}
	assert_false(c->eof);
	client_free(c);
}

static void shows_query_and_headers(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);
	const char *reply =
	    ask(f, c, "GET /header?a=%2f&b HTTP/1.1\r\n" HOST "X-Test: one\r\n\r\n");

	assert_has(reply, "X-Query: a=%2f&b\r\n");
	assert_string_equal(body_of(reply), "one");
	assert_string_equal(body_of(ask(f, c, "GET /header HTTP/1.1\r\n" HOST "\r\n")), "(absent)");
	reply = ask(f, c, "GET /header HTTP/1.1\r\n" HOST "X-Test: one\r\nx-tesT: one\r\n\r\n");
	assert_string_equal(body_of(reply), "(repeated)");
	client_free(c);
}

static void drops_a_header_with_a_line_end(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);
	const char *reply = ask(f, c, "GET /header HTTP/1.1\r\n" HOST "\r\n");

	assert_null(strstr(reply, "Set-Cookie"));
	client_free(c);
}

#define SMUGGLED "GET /smuggled HTTP/1.1\r\n" HOST "\r\n"
#define AFTER "POST /first HTTP/1.1\r\n" HOST
#define CHUNKS "5\r\nhello\r\n0\r\n\r\n"

static const char *const hostile[] = {
    /* bodies that evhttp would leave behind as the next request */
    "HEAD /first HTTP/1.1\r\n" HOST "Content-Length: 46\r\n\r\n",
    "HEAD /first HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
    "TRACE /first HTTP/1.1\r\n" HOST "Content-Length: 46\r\n\r\n",
    "BREW /first HTTP/1.1\r\n" HOST "Content-Length: 46\r\n\r\n",
    "get /first HTTP/1.1\r\n" HOST "Content-Length: 46\r\n\r\n",
    "CONNECT test:80 HTTP/1.1\r\n" HOST "\r\n",
    "CONNECT /path HTTP/1.1\r\n" HOST "\r\n",
    "CONNECT test:80 HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
    /* lengths that two readers understand differently */
    AFTER "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    AFTER "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    AFTER "Content-Length: 5\r\ncontent-length: 0\r\n\r\nhello",
    AFTER "Content-Length: +5\r\n\r\nhello",
    AFTER "Content-Length: -5\r\n\r\nhello",
    AFTER "Content-Length: 0x5\r\n\r\nhello",
    AFTER "Content-Length: 5, 5\r\n\r\nhello",
    AFTER "Content-Length: 5 5\r\n\r\nhello",
    AFTER "Content-Length:\r\n\r\n",
    AFTER "Content-Length: \t5\r\n\r\nhello",
    AFTER "Content-Length: 18446744073709551621\r\n\r\nhello",
    AFTER "Content-Length: 0000000000000000005\r\n\r\nhello",
    AFTER "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" CHUNKS,
    AFTER "Content-Length: 15\r\nTransfer-Encoding: chunked\r\n\r\n" CHUNKS,
    AFTER "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" CHUNKS,
    AFTER "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n" CHUNKS,
    AFTER "Transfer-Encoding: gzip, chunked\r\n\r\n" CHUNKS,
    AFTER "Transfer-Encoding: xchunked\r\n\r\n" CHUNKS,
    AFTER "Transfer-Encoding: identity\r\n\r\n" CHUNKS,
    AFTER "Transfer-Encoding: \tchunked\r\n\r\n" CHUNKS,
    AFTER "Transfer-Encoding: \vchunked\r\n\r\n" CHUNKS,
    AFTER "Transfer-Encoding : chunked\r\n\r\n" CHUNKS,
    AFTER "Transfer-Encoding:\r\n chunked\r\n\r\n" CHUNKS,
    AFTER "Transfer-Encoding: chunked\r\n x\r\n\r\n" CHUNKS,
    "POST /first HTTP/1.0\r\n" HOST
    "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" CHUNKS,
    AFTER "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    AFTER "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    /* names and values */
    "GET /first HTTP/1.1\r\n" HOST "X(y): 1\r\n\r\n",
    "GET /first HTTP/1.1\r\n" HOST "X y: 1\r\n\r\n",
    "GET /first HTTP/1.1\r\n" HOST "X-\xc3\xa4: 1\r\n\r\n",
    "GET /first HTTP/1.1\r\n" HOST ": 1\r\n\r\n",
    "GET /first HTTP/1.1\r\n" HOST "X-No-Colon\r\n\r\n",
    "GET /first HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n",
    "GET /first HTTP/1.1\r\n" HOST "X: a\x01z\r\n\r\n",
    "GET /first HTTP/1.1\r\n" HOST "X: a\x7fz\r\n\r\n",
    "GET /first HTTP/1.1\r\n Host: test\r\n\r\n",
    /* hosts */
    "GET /first HTTP/1.1\r\n\r\n",
    "GET /first HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /first HTTP/1.1\r\n" HOST HOST "\r\n",
    "GET /first HTTP/1.1\r\n" HOST "hOST: other\r\n\r\n",
    /* targets */
    "GET http://test/first HTTP/1.1\r\n" HOST "\r\n",
    "GET //test/first HTTP/1.1\r\n" HOST "\r\n",
    "GET first HTTP/1.1\r\n" HOST "\r\n",
    "OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
    "GET /first#x HTTP/1.1\r\n" HOST "\r\n",
    "GET /fi rst HTTP/1.1\r\n" HOST "\r\n",
    "GET /f\xc3\xa4rst HTTP/1.1\r\n" HOST "\r\n",
    "GET /f\x7frst HTTP/1.1\r\n" HOST "\r\n",
    "GET /f\trst HTTP/1.1\r\n" HOST "\r\n",
    /* versions */
    "GET /first HTTP/1.9\r\n" HOST "\r\n",
    "GET /first HTTP/0.9\r\n" HOST "\r\n",
    "GET /first HTTP/2.0\r\n" HOST "\r\n",
    "GET /first HTTP/1\r\n" HOST "\r\n",
    "GET /first HTTP/1.1x\r\n" HOST "\r\n",
    "GET /first\r\n" HOST "\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
};

static void refuses_every_smuggling_try_and_leaves_nothing_behind(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		struct client *c = client_connect(f);
		char bytes[1024];

		snprintf(bytes, sizeof(bytes), "%s%s", hostile[i], SMUGGLED);
		ask(f, c, bytes);
		if (strncmp(c->got + 9, "400 ", 4) != 0 && strncmp(c->got + 9, "413 ", 4) != 0)
			fail_msg("try %zu \"%s\": %s", i, hostile[i], c->got);
		if (f->seen[0])
			fail_msg("try %zu \"%s\" reached the handler: %s", i, hostile[i], f->seen);
		if (!c->eof)
			fail_msg("try %zu \"%s\" keeps the connection", i, hostile[i]);
		if (strstr(c->got + 1, "HTTP/1."))
			fail_msg("try %zu \"%s\" got two answers: %s", i, hostile[i], c->got);
		client_free(c);
	}
}

static void refuses_a_nul_in_name_or_target(void **state)
{
	static const char target[] = "GET /fi\0rst HTTP/1.1\r\n" HOST "\r\n";
	static const char name[] = "GET /first HTTP/1.1\r\n" HOST "X\0Y: 1\r\n\r\n";
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		struct client *c = client_connect(f);
		send_bytes(f, c, i ? name : target, i ? sizeof(name) - 1 : sizeof(target) - 1);
		assert_int_equal(strncmp(c->got + 9, "400 ", 4), 0);
		assert_string_equal(f->seen, "");
		assert_true(c->eof);
		client_free(c);
	}
}

static void refusals_are_problems(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);
	const char *reply = ask(f, c, "GET /x HTTP/1.1\r\n" HOST HOST "\r\n");

	assert_has(reply, "Content-Type: application/problem+json\r\n");
	assert_has(reply, "Connection: close\r\n");
	json_t *body = json_loads(body_of(reply), 0, NULL);
	assert_string_equal(json_string_value(json_object_get(body, "code")), "request_invalid");
	assert_string_equal(json_string_value(json_object_get(body, "type")), "about:blank");
	assert_string_equal(json_string_value(json_object_get(body, "title")), "Bad Request");
	assert_int_equal(json_integer_value(json_object_get(body, "status")), 400);
	assert_int_equal(strlen(json_string_value(json_object_get(body, "request_id"))), 16);
	assert_non_null(json_object_get(body, "detail"));
	json_decref(body);
	client_free(c);
}

static void a_problem_carries_retry_after_and_survives_bad_text(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);
	const char *reply = ask(f, c, "GET /busy HTTP/1.1\r\n" HOST "\r\n");

	assert_starts(reply, "HTTP/1.1 429 Too Many Requests\r\n");
	assert_has(reply, "Retry-After: 7\r\n");
	json_t *body = json_loads(body_of(reply), 0, NULL);
	assert_string_equal(json_string_value(json_object_get(body, "code")), "rate_limited");
	assert_null(json_object_get(body, "detail"));
	json_decref(body);
	client_free(c);
}

static char *post(const char *headers, size_t body_len)
{
	char *bytes = malloc(body_len + 512);
	int n = snprintf(bytes, 512, "POST /big HTTP/1.1\r\n" HOST "%sContent-Length: %zu\r\n\r\n",
	    headers, body_len);

	memset(bytes + n, 'x', body_len);
	bytes[(size_t)n + body_len] = '\0';
	return bytes;
}

static void answers_a_body_over_the_limit_with_a_problem(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);
	scoped_free char *fits = post("", HTTP_BODY_MAX);
	scoped_free char *big = post("", HTTP_BODY_MAX + 1);

	assert_starts(ask(f, c, fits), "HTTP/1.1 200 ");
	const char *reply = ask(f, c, big);
	assert_starts(reply, "HTTP/1.1 413 Content Too Large\r\n");
	assert_has(reply, "application/problem+json");
	assert_has(reply, "\"code\":\"body_too_large\"");
	assert_starts(ask(f, c, "GET /next HTTP/1.1\r\n" HOST "\r\n"), "HTTP/1.1 200 ");
	assert_string_equal(f->seen, "POST /big\nGET /next\n");
	client_free(c);
}

static void a_body_far_over_the_limit_is_not_read(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);

	ask(f, c, "POST /big HTTP/1.1\r\n" HOST "Content-Length: 1000000000\r\n\r\nx");
	assert_starts(c->got, "HTTP/1.1 413 ");
	assert_true(c->eof);
	client_free(c);
	c = client_connect(f);
	ask(f, c, "POST /big HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n7fffffff\r\nx");
	assert_starts(c->got, "HTTP/1.1 413 ");
	assert_true(c->eof);
	client_free(c);
	assert_string_equal(f->seen, "");
}

static void refuses_a_flood_of_headers(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);

	send_text(f, c, "GET /first HTTP/1.1\r\n" HOST);
	for (int i = 0; i < 4000 && !c->eof; i++)
		send_text(f, c, "X-Flood: 0123456789\r\n");
	assert_starts(c->got, "HTTP/1.1 400 ");
	assert_true(c->eof);
	assert_string_equal(f->seen, "");
	client_free(c);
}

static void head_gets_headers_only(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);
	const char *reply = ask(f, c, "HEAD /hello HTTP/1.1\r\n" HOST "\r\n");

	assert_has(reply, "Content-Length: 6\r\n");
	assert_string_equal(body_of(reply), "");
	assert_string_equal(body_of(ask(f, c, "GET /hello HTTP/1.1\r\n" HOST "\r\n")), "/hello");
	client_free(c);
}

static void every_method_reaches_the_handler(void **state)
{
	static const char *const methods[] = {
	    "GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"};
	struct fixture *f = *state;
	struct client *c = client_connect(f);

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		char bytes[128], expected[32];

		f->seen[0] = '\0';
		snprintf(bytes, sizeof(bytes), "%s /m HTTP/1.1\r\n" HOST "\r\n", methods[i]);
		assert_starts(ask(f, c, bytes), "HTTP/1.1 200 ");
		snprintf(expected, sizeof(expected), "%s /m\n",
		    strcmp(methods[i], "BREW") == 0 ? "UNKNOWN" : methods[i]);
		assert_string_equal(f->seen, expected);
	}
	client_free(c);
}

static void accepts_a_chunked_body_and_100_continue(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);
	const char *reply = ask(f, c,
	    "POST /json HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n");

	assert_string_equal(body_of(reply), "{\"a\":1}");
	reply = ask(f, c,
	    "POST /json HTTP/1.1\r\n" HOST "Content-Type: application/json; charset=utf-8\r\n"
	    "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	assert_starts(reply, "HTTP/1.1 100 Continue\r\n\r\n");
	assert_string_equal(body_of(ask(f, c, "{}")), "{}");
	client_free(c);
}

static void trailers_are_not_headers(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);
	const char *reply = ask(f, c,
	    "POST /header HTTP/1.1\r\n" HOST
	    "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Test: trailer\r\n\r\n");

	assert_string_equal(body_of(reply), "(absent)");
	client_free(c);
}

static void json_bodies_are_strict(void **state)
{
	static const struct {
		const char *type, *body;
	} bad[] = {
	    {"application/json", ""},
	    {"application/json", "[]"},
	    {"application/json", "null"},
	    {"application/json", "{\"a\":1,\"a\":2}"},
	    {"application/json", "{\"a\":1} x"},
	    {"application/json", "{\"a\":\"\xff\"}"},
	    {"application/json", "{\"a\":\"\\u0000\"}"},
	    {"application/json", "{\"a\":\"\\ud800\"}"},
	    {"application/json", "{\"a\":01}"},
	    {"text/plain", "{}"},
	    {"application/jsonx", "{}"},
	    {"application/x-www-form-urlencoded", "{}"},
	    {NULL, "{}"},
	};
	struct fixture *f = *state;
	struct client *c = client_connect(f);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char bytes[256];

		snprintf(bytes, sizeof(bytes),
		    "POST /json HTTP/1.1\r\n" HOST "%s%s%sContent-Length: %zu\r\n\r\n%s",
		    bad[i].type ? "Content-Type: " : "", bad[i].type ? bad[i].type : "",
		    bad[i].type ? "\r\n" : "", strlen(bad[i].body), bad[i].body);
		assert_starts(ask(f, c, bytes), "HTTP/1.1 400 ");
		assert_has(c->got, "\"code\":\"body_invalid\"");
	}
	client_free(c);
}

static void answers_pipelined_requests_in_order(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);

	ask(f, c,
	    "GET /defer HTTP/1.1\r\n" HOST "\r\nGET /two HTTP/1.1\r\n" HOST
	    "\r\nGET /none HTTP/1.1\r\n" HOST "\r\n");
	assert_string_equal(c->got, "");
	assert_string_equal(f->seen, "GET /defer\n");
	http_reply_text(f->deferred, 200, "text/plain", "one", 3);
	run(f, c);
	const char *one = strstr(c->got, "\r\n\r\none");
	const char *two = strstr(c->got, "\r\n\r\n/two");
	assert_true(one && two && one < two && strstr(two, "204 No Content"));
	client_free(c);
}

static void closes_when_asked_and_speaks_1_0(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);

	assert_has(ask(f, c, "GET /a HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), "200 OK");
	assert_true(c->eof);
	client_free(c);
	c = client_connect(f);
	assert_starts(ask(f, c, "GET /a HTTP/1.0\r\n" HOST "\r\n"), "HTTP/1.0 200 OK");
	assert_true(c->eof);
	client_free(c);
}

static void a_client_may_leave_before_its_answer(void **state)
{
	struct fixture *f = *state;

	for (int reset = 0; reset < 2; reset++) {
		struct client *c = client_connect(f);
		struct linger linger = {.l_onoff = reset};

		ask(f, c, "GET /defer HTTP/1.1\r\n" HOST "\r\n");
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		client_free(c);
		run(f, NULL);
		assert_string_equal(http_path(f->deferred), "/defer");
		http_reply_text(f->deferred, 200, "text/plain", "late", 4);
		run(f, NULL);
	}
	struct client *c = client_connect(f);
	assert_starts(ask(f, c, "GET /alive HTTP/1.1\r\n" HOST "\r\n"), "HTTP/1.1 200 ");
	client_free(c);
}

static void an_answer_after_the_server_is_gone_is_harmless(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);

	ask(f, c, "GET /defer HTTP/1.1\r\n" HOST "\r\n");
	http_server_destroy(&f->server);
	run(f, c);
	assert_true(c->eof);
	assert_string_equal(http_path(f->deferred), "");
	assert_string_equal(http_method(f->deferred), "");
	assert_null(http_header(f->deferred, "Host", NULL));
	assert_null(http_body_json(f->deferred, NULL));
	http_reply_problem(f->deferred, 503, "service_unavailable", "stopping", 1);
	client_free(c);
}

static void streams_events_and_ends(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);

	ask(f, c, "GET /events HTTP/1.1\r\n" HOST "\r\n");
	assert_has(c->got, "Content-Type: text/event-stream\r\n");
	assert_has(c->got, "Cache-Control: no-store\r\n");
	assert_int_equal(http_stream_send(f->stream, "transfer", "{\"a\":1}"), 0);
	assert_int_equal(http_stream_send(f->stream, NULL, "ping"), 0);
	run(f, c);
	assert_has(c->got, "event: transfer\ndata: {\"a\":1}\n\n");
	assert_has(c->got, ": ping\n\n");
	assert_false(c->eof);
	http_stream_end(&f->stream);
	assert_null(f->stream);
	run(f, c);
	assert_has(c->got, "\r\n0\r\n\r\n");
	assert_true(c->eof);
	assert_int_equal(f->closed, 0);
	client_free(c);
}

static void tells_when_a_stream_s_client_leaves(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);

	ask(f, c, "GET /events HTTP/1.1\r\n" HOST "\r\n");
	client_free(c);
	run(f, NULL);
	assert_int_equal(f->closed, 1);
}

static void cuts_a_slow_reader_once(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);
	char data[1024];
	int sent = 0;

	ask(f, c, "GET /events HTTP/1.1\r\n" HOST "\r\n");
	memset(data, 'x', sizeof(data) - 1);
	data[sizeof(data) - 1] = '\0';
	while (http_stream_send(f->stream, "e", data) == 0) {
		event_base_loop(f->base, EVLOOP_NONBLOCK);
		assert_true(++sent < 100000);
	}
	assert_true(sent > 60);
	assert_int_equal(f->closed, 0);
	assert_int_equal(http_stream_send(f->stream, "e", data), -1);
	event_base_loop(f->base, EVLOOP_NONBLOCK);
	assert_int_equal(f->closed, 1);
	run(f, c);
	assert_true(c->eof);
	client_free(c);
}

static void a_cut_stream_may_be_ended_at_once(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);

	ask(f, c, "GET /events HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(http_stream_send(f->stream, "e", "two\nlines"), -1);
	http_stream_end(&f->stream);
	run(f, c);
	assert_true(c->eof);
	assert_null(strstr(c->got, "two"));
	assert_int_equal(f->closed, 0);
	client_free(c);
}

static void what_a_stream_s_client_sends_does_not_pile_up(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);
	char noise[4096];
	size_t sent = 0;

	ask(f, c, "GET /events HTTP/1.1\r\n" HOST "\r\n");
	memset(noise, 'x', sizeof(noise));
	for (int tries = 0; tries < 1000; tries++) {
		ssize_t n = send(c->fd, noise, sizeof(noise), MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		event_base_loop(f->base, EVLOOP_NONBLOCK);
	}
	/* the kernel's buffers, and not a byte more than the limit of ours */
	assert_true(sent < 1024 * 1024);
	client_free(c);
}

static void streams_are_told_when_the_server_goes(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);

	ask(f, c, "GET /events HTTP/1.1\r\n" HOST "\r\n");
	http_server_destroy(&f->server);
	assert_int_equal(f->closed, 1);
	client_free(c);
}

static void a_stream_after_the_client_or_server_left_is_none(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);

	ask(f, c, "GET /defer HTTP/1.1\r\n" HOST "\r\n");
	http_server_destroy(&f->server);
	assert_null(http_stream_start(f->deferred, on_closed, f));
	assert_int_equal(f->closed, 0);
	client_free(c);
}

static void replaces_a_stale_socket_but_not_a_live_one_or_a_file(void **state)
{
	struct fixture *f = *state;
	struct error err = {0};
	struct stat st;

	assert_null(http_server_new(f->base, f->address, handler, f, &err));
	assert_has(err.text, "in use");
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);

	/* a process that died leaves the file and nobody listening */
	http_server_destroy(&f->server);
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	memcpy(at.sun_path, f->path, strlen(f->path));
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
	f->server = http_server_new(f->base, f->address, handler, f, &err);
	assert_non_null(f->server);

	http_server_destroy(&f->server);
	fd = open(f->path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_null(http_server_new(f->base, f->address, handler, f, &err));
	assert_has(err.text, "not a socket");
	unlink(f->path);
}

static void refuses_bad_addresses(void **state)
{
	static const char *const bad[] = {"", "unix:", "localhost:80", "127.0.0.1", "127.0.0.1:0",
	    "::1", "127.0.0.1:99999", "/run/x", "unix:/nonexistent/x"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct error err = {0};
		assert_null(http_server_new(f->base, bad[i], handler, f, &err));
		assert_int_not_equal(err.code, ERR_NONE);
	}
}

static void waits_when_descriptors_run_out(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);
	struct rlimit old, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){.rlim_cur = (rlim_t)c->fd + 1, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	ask(f, c, "GET /late HTTP/1.1\r\n" HOST "\r\n");
	assert_string_equal(f->seen, "");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	run(f, c);
	assert_string_equal(f->seen, "");
	while (!f->seen[0] && !c->eof) {
		event_base_loop(f->base, EVLOOP_ONCE);
		client_read(c);
	}
	run(f, c);
	assert_starts(c->got, "HTTP/1.1 200 ");
	client_free(c);
}

static void request_ids_differ(void **state)
{
	struct fixture *f = *state;
	struct client *c = client_connect(f);
	char first[17];

	ask(f, c, "GET /defer HTTP/1.1\r\n" HOST "\r\n");
	snprintf(first, sizeof(first), "%s", http_request_id(f->deferred));
	assert_int_equal(strspn(first, "0123456789abcdef"), 16);
	http_reply_empty(f->deferred, 204);
	run(f, c);
	ask(f, c, "GET /defer HTTP/1.1\r\n" HOST "\r\n");
	assert_string_not_equal(first, http_request_id(f->deferred));
	http_reply_empty(f->deferred, 204);
	client_free(c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(answers_and_keeps_the_connection),
	    TEST(shows_query_and_headers),
	    TEST(drops_a_header_with_a_line_end),
	    TEST(refuses_every_smuggling_try_and_leaves_nothing_behind),
	    TEST(refuses_a_nul_in_name_or_target),
	    TEST(refusals_are_problems),
	    TEST(a_problem_carries_retry_after_and_survives_bad_text),
	    TEST(answers_a_body_over_the_limit_with_a_problem),
	    TEST(a_body_far_over_the_limit_is_not_read),
	    TEST(refuses_a_flood_of_headers),
	    TEST(head_gets_headers_only),
	    TEST(every_method_reaches_the_handler),
	    TEST(accepts_a_chunked_body_and_100_continue),
	    TEST(trailers_are_not_headers),
	    TEST(json_bodies_are_strict),
	    TEST(answers_pipelined_requests_in_order),
	    TEST(closes_when_asked_and_speaks_1_0),
	    TEST(a_client_may_leave_before_its_answer),
	    TEST(an_answer_after_the_server_is_gone_is_harmless),
	    TEST(streams_events_and_ends),
	    TEST(tells_when_a_stream_s_client_leaves),
	    TEST(cuts_a_slow_reader_once),
	    TEST(a_cut_stream_may_be_ended_at_once),
	    TEST(what_a_stream_s_client_sends_does_not_pile_up),
	    TEST(streams_are_told_when_the_server_goes),
	    TEST(a_stream_after_the_client_or_server_left_is_none),
	    TEST(replaces_a_stale_socket_but_not_a_live_one_or_a_file),
	    TEST(refuses_bad_addresses),
	    TEST(waits_when_descriptors_run_out),
	    TEST(request_ids_differ),
	};

	/* as service_main does: libevent writes with plain writev */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
