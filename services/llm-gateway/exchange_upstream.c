#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/log.h"
#include "services/llm-gateway/exchange_internal.h"

#define TRANSFER_BUFFER 16384
#define CONNECTION_AGE_MAX_S 50 /* providers close idle ones after a minute and more */

/* ---- time */

static void wait_for(struct exchange *exchange)
{
	const struct gateway *gateway = exchange->gateway;
	struct timeval tv = {
	    .tv_sec = (time_t)(exchange->has_head ? gateway->idle_s : gateway->first_byte_s)};

	if (!exchange->is_over && exchange->easy)
		evtimer_add(exchange->timer, &tv);
}

/* Nothing moved for too long; unless it is the client that takes nothing, which libmicrohttpd has a limit for. (As long as it has not sent everything it can
 * take nothing: then it is the provider that does not.) */
static void on_time(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *exchange = arg;

	(void)fd, (void)what;
	if (exchange->stage == EXCHANGE_ANSWER &&
	    (exchange->is_down_paused || evbuffer_get_length(exchange->down) > 0)) {
		wait_for(exchange);
		return;
	}
	exchange_refuse(
	    exchange, 504, "provider_timeout", "the provider said nothing for too long");
	exchange_stop(exchange);
	exchange->is_over = exchange->has_failed = true;
	exchange_resume(exchange);
}

/* ---- libcurl's callbacks: they touch libmicrohttpd only to resume */

static size_t on_line(char *line, size_t size, size_t n, void *arg)
{
	struct exchange *exchange = arg;

	wait_for(exchange);
	exchange->was_sent = true;
	/* it was sent, and is not sent again */
	if (exchange->key_field) {
		sodium_memzero(exchange->key_field, strlen(exchange->key_field));
		exchange->key_field = NULL;
	}
	return exchange_answer_line(exchange, line, size * n) == 0 ? size * n : 0;
}

static void put_down(void *arg, const void *bytes, size_t len)
{
	struct exchange *exchange = arg;

	bug_if(evbuffer_add(exchange->down, bytes, len) != 0);
	/* behind the covering: a key that is sent back as a model's name is none */
	usage_feed(&exchange->usage, bytes, len);
	exchange->answer_bytes += len;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct exchange *exchange = arg;
	uint64_t most = exchange->gateway->answer_max_mib << 20;

	if (!exchange->has_head) /* another protocol's, after a 101 */
		return 0;
	wait_for(exchange);
	if (evbuffer_get_length(exchange->down) >= EXCHANGE_BUFFER) {
		exchange->is_down_paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (exchange->down_bytes + evbuffer_get_length(exchange->down) + size * n > most)
		return 0;
	redact_feed(exchange->redact, bytes, size * n);
	if (evbuffer_get_length(exchange->down) > 0)
		exchange_resume(exchange);
	return size * n;
}

static size_t on_send(char *bytes, size_t size, size_t n, void *arg)
{
	struct exchange *exchange = arg;

	if (gateway_serves(exchange->gateway, NULL) != 0)
		return CURL_READFUNC_ABORT;
	int taken = evbuffer_remove(exchange->up, bytes, size * n);
	wait_for(exchange);
	if (exchange->wants_room && evbuffer_get_length(exchange->up) <= EXCHANGE_BUFFER / 2) {
		exchange->wants_room = false;
		exchange_resume(exchange);
	}
	exchange->was_sent |= taken > 0;
	if (taken > 0)
		return (size_t)taken;
	if (exchange->is_up_whole)
		return 0;
	exchange->is_up_paused = true;
	return CURL_READFUNC_PAUSE;
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	struct exchange *exchange = arg;

	(void)purpose;
	exchange->socket = fd;
	return CURL_SOCKOPT_OK;
}

static bool is_quiet(int fd, int own_port)
{
	struct sockaddr_in own = {0};
	socklen_t len = sizeof(own);
	char byte;

	/* (of an address of IPv6 this is the beginning, and has the port in the same place) */
	return getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
	       ntohs(own.sin_port) == own_port &&
	       recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) < 0;
}

/* Something to read on a kept connection, on which nothing is asked at the moment: the rest of what somebody else was answered, or the news that it is closed.
 * It would be taken for this one's answer. (libcurl does not say which socket a kept connection has.) */
static int on_connected(void *arg, char *ip, char *own_ip, int port, int own_port)
{
	struct exchange *exchange = arg;
	int *socket = &exchange->gateway->sockets[(uint16_t)own_port];
	long connects = 0;

	(void)ip, (void)own_ip, (void)port;
	curl_easy_getinfo(exchange->easy, CURLINFO_NUM_CONNECTS, &connects);
	if (connects > 0)
		*socket = exchange->socket;
	else
		exchange->is_stale = !is_quiet(*socket, own_port);
	return exchange->is_stale ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* ---- both libraries' states brought together, on neither's stack */

/* Nothing of it was sent. */
static void begin_anew(struct exchange *exchange)
{
	struct curl_loop *loop = exchange->gateway->curl;

	exchange->is_stale = false;
	exchange->is_fresh = true;
	curl_loop_remove(loop, exchange->easy);
	curl_easy_setopt(exchange->easy, CURLOPT_FRESH_CONNECT, 1L);
	bug_if(curl_loop_add(loop, exchange->easy) != 0);
	wait_for(exchange);
}

static void on_poke(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *exchange = arg;
	int paused = CURLPAUSE_CONT;

	(void)fd, (void)what;
	if (!exchange->easy || exchange->is_over)
		return;
	if (exchange->is_stale) {
		begin_anew(exchange);
		return;
	}
	if (exchange->is_down_paused && evbuffer_get_length(exchange->down) > EXCHANGE_BUFFER / 2)
		paused |= CURLPAUSE_RECV;
	if (exchange->is_up_paused && evbuffer_get_length(exchange->up) == 0 &&
	    !exchange->is_up_whole)
		paused |= CURLPAUSE_SEND;
	bool goes_on = (exchange->is_down_paused && !(paused & CURLPAUSE_RECV)) ||
		       (exchange->is_up_paused && !(paused & CURLPAUSE_SEND));
	if (!goes_on)
		return;
	exchange->is_down_paused = paused & CURLPAUSE_RECV;
	exchange->is_up_paused = paused & CURLPAUSE_SEND;
	curl_easy_pause(exchange->easy, paused);
	curl_loop_collect(exchange->gateway->curl);
}

void exchange_poke(struct exchange *exchange)
{
	if (exchange->poke)
		event_active(exchange->poke, EV_TIMEOUT, 0);
}

/* ---- its end */

static void judge_code(struct exchange *exchange, CURLcode code)
{
	bool is_late = code == CURLE_OPERATION_TIMEDOUT;

	/* libcurl takes a head that breaks off for an answer */
	exchange->has_failed = code != CURLE_OK || !exchange->has_head;
	if (!exchange->has_failed)
		return;
	exchange_refuse(exchange, is_late ? 504 : 502,
	    is_late ? "provider_timeout" : "provider_unreachable",
	    is_late ? "the provider cannot be reached in time"
		    : "the provider cannot be reached, or broke off");
	log_warn("no whole answer", "provider", exchange->target.provider->name, "why",
	    curl_easy_strerror(code), "agent", exchange->agent_id);
}

static void tell_redactions(const struct exchange *exchange)
{
	uint64_t found = redact_found(exchange->redact);

	metric_add(exchange->gateway->metrics.redactions, found);
	if (found)
		log_warn("the provider sent the key back", "in", "a body", "times", log_u64(found),
		    "provider", exchange->target.provider->name, "agent", exchange->agent_id);
}

void exchange_over(CURL *easy, CURLcode code)
{
	char *is = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &is);
	struct exchange *exchange = (void *)is;
	if (exchange->is_stale && !exchange->is_fresh) {
		exchange_poke(exchange);
		return;
	}
	evtimer_del(exchange->timer);
	exchange->is_over = true;
	redact_end(exchange->redact);
	tell_redactions(exchange);
	judge_code(exchange, code);
	exchange_resume(exchange);
}

void exchange_stop(struct exchange *exchange)
{
	if (exchange->easy) {
		curl_loop_remove(exchange->gateway->curl, exchange->easy);
		curl_easy_cleanup(exchange->easy);
		if (!exchange->is_over)
			tell_redactions(exchange);
	}
	exchange->easy = NULL;
	if (exchange->timer)
		event_free(exchange->timer);
	if (exchange->poke)
		event_free(exchange->poke);
	exchange->timer = exchange->poke = NULL;
}

/* ---- its beginning */

static void add_key_field(struct exchange *exchange)
{
	const struct provider *provider = exchange->target.provider;
	const struct secret *value = exchange->key->value;
	char *text = NULL;

	bug_if(asprintf(&text, "%s: %s%.*s", provider->header, provider->prefix,
		   (int)secret_len(value), (const char *)secret_bytes(value)) < 0);
	/* in front: the pointer to it is the list's own */
	struct curl_slist *first = curl_slist_append(NULL, text);
	bug_if(!first);
	first->next = exchange->fields;
	exchange->fields = first;
	exchange->key_field = first->data;
	sodium_memzero(text, strlen(text));
	free(text);
}

static bool set(CURL *easy, CURLcode code)
{
	(void)easy;
	return code == CURLE_OK;
}
#define SET(option, value) (ok = ok && set(easy, curl_easy_setopt(easy, (option), (value))))

static bool set_url(struct exchange *exchange)
{
	const struct provider *provider = exchange->target.provider;
	const struct secret *value = exchange->key->value;
	bool is_in_query = !provider->header[0];
	CURL *easy = exchange->easy;
	bool ok = true;

	char *url = target_url(&exchange->target,
	    is_in_query ? (const char *)secret_bytes(value) : NULL, secret_len(value));
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	sodium_memzero(url, strlen(url));
	free(url);
	return ok;
}

/* Only to the provider itself, by TLS, and by nothing that the environment says. HTTP/1.1: one connection is one stream, so that a slow reader holds back its
 * own alone; libcurl's windows of HTTP/2 are 32 MiB. */
static bool set_way(struct exchange *exchange)
{
	const struct gateway *gateway = exchange->gateway;
	CURL *easy = exchange->easy;
	bool ok = true;

	SET(CURLOPT_PROTOCOLS_STR, "https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (gateway->ca_file[0])
		SET(CURLOPT_CAINFO, gateway->ca_file);
	/* with a folder of certificates besides, libcurl would read the file anew for each connection */
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_SHARE, gateway->sessions);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)gateway->connect_s * 1000);
	SET(CURLOPT_MAXAGE_CONN, (long)CONNECTION_AGE_MAX_S);
	SET(CURLOPT_BUFFERSIZE, (long)TRANSFER_BUFFER);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)TRANSFER_BUFFER);
	return ok;
}

static bool set_request(struct exchange *exchange)
{
	CURL *easy = exchange->easy;
	bool ok = true, is_head = strcmp(exchange->method, "HEAD") == 0;
	bool is_chunked = exchange->body_len == EXCHANGE_LENGTH_UNKNOWN;

	if (is_chunked)
		exchange->fields =
		    curl_slist_append(exchange->fields, "Transfer-Encoding: chunked");
	if (is_head)
		SET(CURLOPT_NOBODY, 1L);
	else if (exchange->body_len > 0 || strcmp(exchange->method, "GET") != 0)
		SET(CURLOPT_UPLOAD, 1L);
	if (!is_chunked)
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)exchange->body_len);
	SET(CURLOPT_CUSTOMREQUEST, exchange->method);
	SET(CURLOPT_HTTPHEADER, exchange->fields);
	SET(CURLOPT_READFUNCTION, on_send);
	SET(CURLOPT_READDATA, (void *)exchange);
	SET(CURLOPT_HEADERFUNCTION, on_line);
	SET(CURLOPT_HEADERDATA, (void *)exchange);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, (void *)exchange);
	SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
	SET(CURLOPT_SOCKOPTDATA, (void *)exchange);
	SET(CURLOPT_PREREQFUNCTION, on_connected);
	SET(CURLOPT_PREREQDATA, (void *)exchange);
	SET(CURLOPT_PRIVATE, (void *)exchange);
	return ok;
}

void exchange_start(struct exchange *exchange)
{
	struct event_base *base = exchange->gateway->process->base;

	exchange->is_started = true;
	exchange->redact = redact_new(exchange->key->forms, put_down, exchange);
	exchange->poke = event_new(base, -1, 0, on_poke, exchange);
	exchange->timer = evtimer_new(base, on_time, exchange);
	exchange->easy = curl_easy_init();
	bug_if(!exchange->poke || !exchange->timer || !exchange->easy);
	if (exchange->target.provider->header[0])
		add_key_field(exchange);
	if (set_url(exchange) && set_way(exchange) && set_request(exchange) &&
	    curl_loop_add(exchange->gateway->curl, exchange->easy) == 0) {
		wait_for(exchange);
		return;
	}
	exchange_refuse(exchange, 502, "provider_unreachable", "a request cannot be made of this");
	curl_easy_cleanup(exchange->easy);
	exchange->easy = NULL;
}
