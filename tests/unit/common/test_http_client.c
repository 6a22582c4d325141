#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/http_client.h"

struct told {
	int times;
	bool done;
	enum error_code code; /* NONE: answered */
	char text[ERROR_TEXT_MAX];
	long status;
	unsigned retry_after_s;
	char body[64];
	size_t len;
	CURL *easy;
	curl_socket_t fd;
	struct http_client **destroy;
};

struct bench {
	struct event_base *base;
	struct http_client *client;
	struct evhttp *server;
	uint16_t port;
	int requests, elsewhere;
	char seen_body[64], seen_type[64];
	struct evhttp_connection *peers[64];
	size_t npeers;

	/* a server that says what a test tells it to */
	int raw, raw_conn;
	uint16_t raw_port;
	const char *raw_says;
	struct event *raw_event;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool loop_until(struct event_base *base, const bool *flag, uint64_t ms)
{
	uint64_t until = now_ms() + ms;

	while (!*flag && now_ms() < until) {
		struct timeval tv = {.tv_usec = 5000};
		event_base_loopexit(base, &tv);
		event_base_loop(base, EVLOOP_ONCE);
	}
	return *flag;
}

static void loop_for(struct event_base *base, uint64_t ms)
{
	bool never = false;

	loop_until(base, &never, ms);
}

static void note_peer(struct bench *b, struct evhttp_connection *peer)
{
	for (size_t i = 0; i < b->npeers; i++)
		if (b->peers[i] == peer)
			return;
	assert_true(b->npeers < ARRAY_LEN(b->peers));
	b->peers[b->npeers++] = peer;
}

static void on_request(struct evhttp_request *request, void *arg)
{
	struct bench *b = arg;
	const char *path = evhttp_request_get_uri(request);
	struct evbuffer *in = evhttp_request_get_input_buffer(request), *out = evbuffer_new();
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	const char *type =
	    evhttp_find_header(evhttp_request_get_input_headers(request), "Content-Type");

	b->requests++;
	note_peer(b, evhttp_request_get_connection(request));
	ev_ssize_t n = evbuffer_copyout(in, b->seen_body, sizeof(b->seen_body) - 1);
	b->seen_body[n > 0 ? n : 0] = '\0';
	snprintf(b->seen_type, sizeof(b->seen_type), "%s", type ? type : "");
	if (strcmp(path, "/busy") == 0) {
		evhttp_add_header(headers, "Retry-After", "7");
		evhttp_send_reply(request, 429, "Too Many Requests", out);
	} else if (strcmp(path, "/moved") == 0) {
		evhttp_add_header(headers, "Location", "/elsewhere");
		evhttp_send_reply(request, 302, "Found", out);
	} else if (strcmp(path, "/elsewhere") == 0) {
		b->elsewhere++;
		evhttp_send_reply(request, 200, "OK", out);
	} else {
		evbuffer_add_printf(out, "you said %s", b->seen_body);
		evhttp_send_reply(request, 200, "OK", out);
	}
	evbuffer_free(out);
}

static void on_raw_request(evutil_socket_t fd, short what, void *arg)
{
	struct bench *b = arg;
	char request[1024];

	(void)what;
	assert_true(recv(fd, request, sizeof(request), 0) > 0);
	assert_true(send(fd, b->raw_says, strlen(b->raw_says), MSG_NOSIGNAL) > 0);
	close(fd);
}

static void on_raw(evutil_socket_t fd, short what, void *arg)
{
	struct bench *b = arg;
	int conn = accept(fd, NULL, NULL);

	(void)what;
	assert_true(conn >= 0);
	if (b->raw_says) {
		event_base_once(b->base, conn, EV_READ, on_raw_request, b, NULL);
		return;
	}
	if (b->raw_conn >= 0)
		close(b->raw_conn);
	b->raw_conn = conn;
}

static uint16_t listen_any(int *fd_r)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);

	*fd_r = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(*fd_r, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(*fd_r, 16), 0);
	assert_int_equal(getsockname(*fd_r, (struct sockaddr *)&in, &len), 0);
	return ntohs(in.sin_port);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct sockaddr_in in = {.sin_port = 0};
	socklen_t len = sizeof(in);

	b->base = event_base_new();
	b->client = http_client_new(b->base, NULL);
	assert_non_null(b->client);
	b->server = evhttp_new(b->base);
	evhttp_set_gencb(b->server, on_request, b);
	struct evhttp_bound_socket *bound =
	    evhttp_bind_socket_with_handle(b->server, "127.0.0.1", 0);
	assert_non_null(bound);
	getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&in, &len);
	b->port = ntohs(in.sin_port);
	b->raw_port = listen_any(&b->raw);
	b->raw_conn = -1;
	b->raw_event = event_new(b->base, b->raw, EV_READ | EV_PERSIST, on_raw, b);
	event_add(b->raw_event, NULL);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	http_client_destroy(&b->client);
	evhttp_free(b->server);
	event_free(b->raw_event);
	close(b->raw);
	if (b->raw_conn >= 0)
		close(b->raw_conn);
	event_base_free(b->base);
	free(b);
	return 0;
}

static void note_error(struct told *told, const struct error *err)
{
	told->times++;
	told->done = true;
	told->code = err ? err->code : ERR_NONE;
	if (err)
		snprintf(told->text, sizeof(told->text), "%s", err->text);
	if (told->destroy)
		http_client_destroy(told->destroy);
}

static void on_answer(void *arg, const struct http_answer *answer, const struct error *err)
{
	struct told *told = arg;

	assert_true((answer != NULL) != (err != NULL));
	if (answer) {
		told->status = answer->status;
		told->retry_after_s = answer->retry_after_s;
		told->len = answer->len;
		assert_int_equal(strlen(answer->body), answer->len);
		snprintf(told->body, sizeof(told->body), "%s", answer->body);
	}
	note_error(told, err);
	if (answer)
		assert_int_equal(strlen(answer->body), answer->len);
}

static void on_connected(void *arg, CURL *easy, curl_socket_t fd, const struct error *err)
{
	struct told *told = arg;

	assert_true((easy != NULL) != (err != NULL));
	told->easy = easy;
	told->fd = fd;
	note_error(told, err);
}

static char *url_of(char buf[64], uint16_t port, const char *path)
{
	snprintf(buf, 64, "http://127.0.0.1:%u%s", port, path);
	return buf;
}

static void ask(struct bench *b, struct told *told, uint16_t port, const char *path)
{
	char url[64];

	http_post(b->client, url_of(url, port, path), "{\"a\":1}", 7, 1000, 1000, on_answer, told);
	assert_int_equal(told->times, 0);
	assert_true(loop_until(b->base, &told->done, 5000));
	loop_for(b->base, 5);
	assert_int_equal(told->times, 1);
}

static void posts_json_and_brings_the_answer(void **state)
{
	struct bench *b = *state;
	struct told told = {0};

	ask(b, &told, b->port, "/");
	assert_int_equal(told.code, ERR_NONE);
	assert_int_equal(told.status, 200);
	assert_string_equal(told.body, "you said {\"a\":1}");
	assert_string_equal(b->seen_type, "application/json");
}

static void passes_on_how_long_to_wait(void **state)
{
	struct bench *b = *state;
	struct told told = {0};

	ask(b, &told, b->port, "/busy");
	assert_int_equal(told.status, 429);
	assert_int_equal(told.retry_after_s, 7);
	assert_int_equal(told.len, 0);
}

static void follows_no_redirect(void **state)
{
	struct bench *b = *state;
	struct told told = {0};

	ask(b, &told, b->port, "/moved");
	assert_int_equal(told.status, 302);
	assert_int_equal(b->elsewhere, 0);
}

static void uses_a_connection_again(void **state)
{
	struct bench *b = *state;

	for (int i = 0; i < 20; i++) {
		struct told told = {0};
		ask(b, &told, b->port, "/");
		assert_int_equal(told.status, 200);
	}
	assert_int_equal(b->requests, 20);
	assert_int_equal(b->npeers, 1);
}

static void shares_sixteen_connections_among_many_requests(void **state)
{
	struct bench *b = *state;
	struct told told[100] = {0};
	char url[64];

	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		http_post(
		    b->client, url_of(url, b->port, "/"), "{}", 2, 5000, 100, on_answer, &told[i]);
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		assert_true(loop_until(b->base, &told[i].done, 5000));
		assert_int_equal(told[i].status, 200);
	}
	assert_in_range(b->npeers, 1, 16);
}

static void refuses_an_answer_that_is_too_long(void **state)
{
	struct bench *b = *state;
	struct told fits = {0}, over = {0};
	char url[64];

	http_post(b->client, url_of(url, b->port, "/"), "{}", 2, 1000, strlen("you said {}"),
	    on_answer, &fits);
	http_post(b->client, url, "{}", 2, 1000, strlen("you said {}") - 1, on_answer, &over);
	assert_true(loop_until(b->base, &fits.done, 2000));
	assert_true(loop_until(b->base, &over.done, 2000));
	assert_int_equal(fits.status, 200);
	assert_int_equal(over.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(over.text, "answer over"));
}

static void gives_up_on_a_silent_server(void **state)
{
	struct bench *b = *state;
	struct told told = {0};
	char url[64];
	uint64_t began = now_ms();

	http_post(b->client, url_of(url, b->raw_port, "/"), "{}", 2, 200, 100, on_answer, &told);
	assert_true(loop_until(b->base, &told.done, 3000));
	assert_int_equal(told.code, ERR_TIMEOUT);
	assert_in_range(now_ms() - began, 150, 1500);
}

static void takes_no_broken_answer(void **state)
{
	struct bench *b = *state;
	static const char *const answers[] = {
	    "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf a body",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Le",
	    "<html>I am no HTTP at all</html>",
	};

	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct told told = {0};
		b->raw_says = answers[i];
		ask(b, &told, b->raw_port, "/");
		if (told.code != ERR_UNAVAILABLE)
			fail_msg("%s", answers[i]);
	}
}

static void takes_an_answer_in_pieces_with_a_trailer(void **state)
{
	struct bench *b = *state;
	struct told told = {0};

	b->raw_says = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
		      "chunked\r\nTrailer: X\r\n\r\n"
		      "3\r\nabc\r\n3\r\ndef\r\n0\r\nX: y\r\n\r\n";
	ask(b, &told, b->raw_port, "/");
	assert_int_equal(told.code, ERR_NONE);
	assert_int_equal(told.status, 200);
	assert_string_equal(told.body, "abcdef");
}

static void says_that_nobody_listens(void **state)
{
	struct bench *b = *state;
	struct told told = {0};
	int fd;
	uint16_t port = listen_any(&fd);

	close(fd);
	ask(b, &told, port, "/");
	assert_int_equal(told.code, ERR_UNAVAILABLE);
}

static void speaks_http_and_https_only(void **state)
{
	struct bench *b = *state;
	static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/",
	    "gopher://127.0.0.1:1/", "ws://127.0.0.1/", "", "http://"};

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct told told = {0};
		http_post(b->client, urls[i], "{}", 2, 500, 100, on_answer, &told);
		assert_true(loop_until(b->base, &told.done, 2000));
		assert_int_equal(told.code, ERR_UNAVAILABLE);
	}
}

static void ends_requests_before_destroy_returns(void **state)
{
	struct bench *b = *state;
	struct told silent = {0}, connecting = {0};
	char url[64];

	http_post(b->client, url_of(url, b->raw_port, "/"), "{}", 2, 5000, 100, on_answer, &silent);
	http_connect(b->client, url_of(url, b->raw_port, "/"), 5000, on_connected, &connecting);
	http_client_destroy(&b->client);
	assert_null(b->client);
	assert_int_equal(silent.times, 1);
	assert_int_equal(silent.code, ERR_UNAVAILABLE);
	assert_int_equal(connecting.times, 1);
	loop_for(b->base, 20);
	assert_int_equal(silent.times, 1);
}

static void may_be_destroyed_from_inside_a_callback(void **state)
{
	struct bench *b = *state;
	struct told first = {.destroy = &b->client}, second = {0};
	char url[64];

	http_post(b->client, url_of(url, b->port, "/"), "{}", 2, 1000, 100, on_answer, &first);
	http_post(b->client, url_of(url, b->raw_port, "/"), "{}", 2, 5000, 100, on_answer, &second);
	assert_true(loop_until(b->base, &first.done, 2000));
	assert_int_equal(first.status, 200);
	assert_null(b->client);
	assert_int_equal(second.times, 1);
}

static bool recv_some(CURL *easy, char *buf, size_t size)
{
	size_t n = 0;

	if (curl_easy_recv(easy, buf, size - 1, &n) != CURLE_OK)
		return false;
	buf[n] = '\0';
	return n > 0;
}

static void lends_a_raw_connection(void **state)
{
	struct bench *b = *state;
	struct told told = {0};
	char url[64], buf[32];
	size_t n;

	CURL *easy =
	    http_connect(b->client, url_of(url, b->raw_port, "/"), 1000, on_connected, &told);
	assert_int_equal(told.times, 0);
	assert_true(loop_until(b->base, &told.done, 2000));
	assert_int_equal(told.code, ERR_NONE);
	assert_ptr_equal(told.easy, easy);
	for (int i = 0; i < 100 && b->raw_conn < 0; i++)
		loop_for(b->base, 5);
	assert_int_equal(curl_easy_send(easy, "hello", 5, &n), CURLE_OK);
	assert_int_equal(recv(b->raw_conn, buf, sizeof(buf), 0), 5);
	assert_int_equal(curl_easy_recv(easy, buf, sizeof(buf), &n), CURLE_AGAIN);
	assert_int_equal(send(b->raw_conn, "world", 5, 0), 5);
	uint64_t until = now_ms() + 2000;
	while (!recv_some(easy, buf, sizeof(buf)) && now_ms() < until)
		loop_for(b->base, 5);
	assert_string_equal(buf, "world");
	/* other requests go on beside it */
	struct told post = {0};
	ask(b, &post, b->port, "/");
	assert_int_equal(post.status, 200);
	http_close(b->client, &easy);
	assert_null(easy);
	assert_int_equal(recv(b->raw_conn, buf, sizeof(buf), 0), 0);
	assert_int_equal(told.times, 1);
}

static void forgets_a_connection_closed_while_it_opens(void **state)
{
	struct bench *b = *state;
	struct told told = {0};
	char url[64];

	CURL *easy =
	    http_connect(b->client, url_of(url, b->raw_port, "/"), 1000, on_connected, &told);
	http_close(b->client, &easy);
	assert_null(easy);
	loop_for(b->base, 30);
	assert_int_equal(told.times, 0);
}

static void says_that_a_connection_failed(void **state)
{
	struct bench *b = *state;
	struct told told = {0};
	char url[64];
	int fd;
	uint16_t port = listen_any(&fd);

	close(fd);
	http_connect(b->client, url_of(url, port, "/"), 1000, on_connected, &told);
	assert_true(loop_until(b->base, &told.done, 2000));
	assert_int_equal(told.times, 1);
	assert_int_equal(told.code, ERR_UNAVAILABLE);
	assert_null(told.easy);
}

/* openssl's own program; its output goes nowhere. */
static pid_t openssl(const char *dir, const char *const *words)
{
	union {
		const char *const *in;
		char *const *out;
	} argv = {.in = words};
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		int null = open("/dev/null", O_RDWR);
		if (chdir(dir) != 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
			_exit(126);
		execvp("openssl", argv.out);
		_exit(127);
	}
	return pid;
}

/* A server with a certificate that nobody vouches for. */
static pid_t tls_server(const char *dir, uint16_t port)
{
	static const char *const make[] = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
	    "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=127.0.0.1", "-addext",
	    "subjectAltName=IP:127.0.0.1", "-days", "1", "-keyout", "key", "-out", "cert", NULL};
	char address[32];
	int status;

	assert_true(waitpid(openssl(dir, make), &status, 0) > 0);
	assert_int_equal(status, 0);
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	return openssl(dir, (const char *const[]){"openssl", "s_server", "-www", "-quiet",
				"-accept", address, "-key", "key", "-cert", "cert", NULL});
}

static bool wait_for_port(uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint64_t until = now_ms() + 5000;
	bool up = false;

	while (!up && now_ms() < until) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		up = connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
		close(fd);
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	return up;
}

static void remove_file(const char *dir, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(unlink(path), 0);
}

static void refuses_a_certificate_that_nobody_vouches_for(void **state)
{
	struct bench *b = *state;
	char dir[] = "/tmp/mc-unit-XXXXXX", url[64];
	struct told post = {0}, raw = {0};
	int fd;

	assert_non_null(mkdtemp(dir));
	uint16_t port = listen_any(&fd);
	close(fd);
	pid_t pid = tls_server(dir, port);
	assert_true(wait_for_port(port));
	snprintf(url, sizeof(url), "https://127.0.0.1:%u/", port);
	http_post(b->client, url, "{}", 2, 2000, 10000, on_answer, &post);
	http_connect(b->client, url, 2000, on_connected, &raw);
	bool told = loop_until(b->base, &post.done, 5000) && loop_until(b->base, &raw.done, 5000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	remove_file(dir, "key");
	remove_file(dir, "cert");
	assert_int_equal(rmdir(dir), 0);
	assert_true(told);
	assert_int_equal(post.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(post.text, "certificate"));
	assert_int_equal(raw.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(raw.text, "certificate"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(posts_json_and_brings_the_answer, setup, teardown),
	    cmocka_unit_test_setup_teardown(passes_on_how_long_to_wait, setup, teardown),
	    cmocka_unit_test_setup_teardown(follows_no_redirect, setup, teardown),
	    cmocka_unit_test_setup_teardown(uses_a_connection_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		shares_sixteen_connections_among_many_requests, setup, teardown),
	    cmocka_unit_test_setup_teardown(refuses_an_answer_that_is_too_long, setup, teardown),
	    cmocka_unit_test_setup_teardown(gives_up_on_a_silent_server, setup, teardown),
	    cmocka_unit_test_setup_teardown(takes_no_broken_answer, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		takes_an_answer_in_pieces_with_a_trailer, setup, teardown),
	    cmocka_unit_test_setup_teardown(says_that_nobody_listens, setup, teardown),
	    cmocka_unit_test_setup_teardown(speaks_http_and_https_only, setup, teardown),
	    cmocka_unit_test_setup_teardown(ends_requests_before_destroy_returns, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		may_be_destroyed_from_inside_a_callback, setup, teardown),
	    cmocka_unit_test_setup_teardown(lends_a_raw_connection, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		forgets_a_connection_closed_while_it_opens, setup, teardown),
	    cmocka_unit_test_setup_teardown(says_that_a_connection_failed, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		refuses_a_certificate_that_nobody_vouches_for, setup, teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	setenv("no_proxy", "127.0.0.1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
