/* The beginning of a WebSocket: the example of RFC 6455, and a battery of servers that do not mean it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "common/scoped.h"
#include "services/chain-oracle/handshake.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ==" /* RFC 6455, section 1.3 */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define ACCEPTS "Sec-WebSocket-Accept: " ACCEPT "\r\n"
#define GOOD "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE CONNECTION ACCEPTS "\r\n"

static ssize_t check(const char *bytes, size_t len)
{
	/* of exactly that size, so that a sanitizer sees a read behind it */
	scoped_free char *copy = malloc(len + !len);
	struct error err = {0};
	memcpy(copy, bytes, len);
	ssize_t n = handshake_check(copy, len, KEY, &err);
	assert_true((n < 0) == (err.text[0] != '\0'));
	return n;
}

static void accepts_what_the_standard_shows(void **arg)
{
	(void)arg;
	assert_int_equal(check(GOOD, strlen(GOOD)), strlen(GOOD));
}

static void leaves_what_follows_the_head(void **arg)
{
	(void)arg;
	assert_int_equal(check(GOOD "\x81\x05hello", strlen(GOOD) + 7), strlen(GOOD));
}

static void waits_for_the_whole_head(void **arg)
{
	(void)arg;
	for (size_t len = 0; len < strlen(GOOD); len++)
		assert_int_equal(check(GOOD, len), 0);
}

static void is_generous_where_http_is(void **arg)
{
	(void)arg;
	static const char *const heads[] = {"HTTP/1.1 101\r\n" UPGRADE CONNECTION ACCEPTS "\r\n",
	    "HTTP/1.1 101 x\r\nuPGRADE:WebSocket\r\nconnection: keep-alive, "
	    "UPGRADE\r\nsec-websocket-accept:\t" ACCEPT " \r\n\r\n",
	    "HTTP/1.1 101 x\r\nServer: a:b\r\nX:\r\n" UPGRADE CONNECTION ACCEPTS "\r\n"};
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		assert_int_equal(check(heads[i], strlen(heads[i])), strlen(heads[i]));
}

static void refuses_servers_that_do_not_mean_it(void **arg)
{
	(void)arg;
	static const char *const heads[] = {"HTTP/1.1 200 OK\r\n" UPGRADE CONNECTION ACCEPTS "\r\n",
	    "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\n\r\n",
	    "HTTP/1.1 1010 x\r\n" UPGRADE CONNECTION ACCEPTS "\r\n",
	    "HTTP/1.0 101 x\r\n" UPGRADE CONNECTION ACCEPTS "\r\n", "<html>\r\n\r\n", "\r\n\r\n",
	    "HTTP/1.1 101 x\r\n\r\n", "HTTP/1.1 101 x\r\n" CONNECTION ACCEPTS "\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE ACCEPTS "\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE CONNECTION "\r\n",
	    "HTTP/1.1 101 x\r\nUpgrade: h2c\r\n" CONNECTION ACCEPTS "\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE "Connection: upgrades, close\r\n" ACCEPTS "\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE "Connection: ,, \t,\r\n" ACCEPTS "\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE "Connection: \r\nupgrade: x\r\n" ACCEPTS "\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE CONNECTION
	    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE CONNECTION "Sec-WebSocket-Accept: " ACCEPT "x\r\n\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE CONNECTION "Sec-WebSocket-Accept:\r\n\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE CONNECTION ACCEPTS ACCEPTS "\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE CONNECTION ACCEPTS
	    "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE CONNECTION ACCEPTS "Sec-WebSocket-Protocol: chat\r\n\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE CONNECTION ACCEPTS "no colon\r\n\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE CONNECTION ACCEPTS ": no name\r\n\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE "Connection: a\rupgrade\r\n" ACCEPTS "\r\n",
	    "HTTP/1.1 101 x\r\n" UPGRADE CONNECTION ACCEPTS "X: a\nb\r\n\r\n"};
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		if (check(heads[i], strlen(heads[i])) != -1)
			fail_msg("accepted %s", heads[i]);
	static const char with_nul[] =
	    "HTTP/1.1 101 x\r\n" UPGRADE CONNECTION "X: \0\r\n" ACCEPTS "\r\n";
	assert_int_equal(check(with_nul, sizeof(with_nul) - 1), -1);
}

static void refuses_an_endless_head(void **arg)
{
	(void)arg;
	scoped_free char *head = malloc(HANDSHAKE_MAX + 100);
	memset(head, 'x', HANDSHAKE_MAX + 100);
	assert_int_equal(check(head, HANDSHAKE_MAX - 1), 0);
	assert_int_equal(check(head, HANDSHAKE_MAX), -1);
	assert_int_equal(check(head, HANDSHAKE_MAX + 100), -1);
}

static void asks_by_the_address(void **arg)
{
	(void)arg;
	static const struct {
		const char *url, *connect, *host, *target;
	} rows[] = {
	    {"ws://127.0.0.1:8900", "http://127.0.0.1:8900", "127.0.0.1:8900", "/"},
	    {"wss://rpc.example/v1?api-key=k", "https://rpc.example/v1?api-key=k", "rpc.example",
		"/v1?api-key=k"},
	    {"WSS://rpc.example:444/", "https://rpc.example:444/", "rpc.example:444", "/"},
	    {"http://[::1]:9/x", "http://[::1]:9/x", "[::1]:9", "/x"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct handshake_url url;
		struct error err = {0};
		assert_int_equal(handshake_url_parse(rows[i].url, &url, &err), 0);
		assert_string_equal(url.connect, rows[i].connect);
		assert_string_equal(url.host, rows[i].host);
		assert_string_equal(url.target, rows[i].target);
		scoped_free char *request = handshake_request(&url, KEY);
		scoped_free char *line = NULL;
		assert_true(asprintf(&line, "GET %s HTTP/1.1\r\nHost: %s\r\n", rows[i].target,
				rows[i].host) > 0);
		assert_memory_equal(request, line, strlen(line));
		assert_non_null(strstr(request, "\r\nSec-WebSocket-Key: " KEY "\r\n"));
		assert_string_equal(request + strlen(request) - 4, "\r\n\r\n");
	}
}

static void refuses_addresses_of_other_kinds(void **arg)
{
	(void)arg;
	static const char *const urls[] = {"", "rpc.example", "ftp://rpc.example",
	    "file:///etc/passwd", "ws://user:password@rpc.example", "ws://", "ws://a b",
	    "ws://x/\r\nHost: y"};
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct handshake_url url;
		struct error err = {0};
		if (handshake_url_parse(urls[i], &url, &err) == 0)
			fail_msg("took %s", urls[i]);
		assert_null(strstr(err.text, "password"));
	}
}

static void makes_a_new_key_each_time(void **arg)
{
	(void)arg;
	char a[HANDSHAKE_KEY_LEN + 1], b[HANDSHAKE_KEY_LEN + 1];
	handshake_key(a);
	handshake_key(b);
	assert_int_equal(strlen(a), HANDSHAKE_KEY_LEN);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(accepts_what_the_standard_shows),
	    cmocka_unit_test(leaves_what_follows_the_head),
	    cmocka_unit_test(waits_for_the_whole_head),
	    cmocka_unit_test(is_generous_where_http_is),
	    cmocka_unit_test(refuses_servers_that_do_not_mean_it),
	    cmocka_unit_test(refuses_an_endless_head),
	    cmocka_unit_test(asks_by_the_address),
	    cmocka_unit_test(refuses_addresses_of_other_kinds),
	    cmocka_unit_test(makes_a_new_key_each_time),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
