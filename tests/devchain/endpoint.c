#include "tests/devchain/endpoint.h"

#include <event2/http.h>
#include <string.h>

#include "common/scoped.h"
#include "tests/devchain/control.h"
#include "tests/devchain/devchain.h"
#include "tests/devchain/listen.h"

#define RPC_BODY_MAX (50 * 1024) /* as the real server */
#define CONTROL_BODY_MAX (1024 * 1024)
#define HEAD_MAX (16 * 1024)
#define HELD_MAX 1000

struct endpoint {
	struct devchain *devchain;
	struct rpc rpc;
	struct evhttp *http;
	struct pubsub *pubsub;
	struct late_reply *late;
	size_t nheld;
	struct evhttp_request *held[HELD_MAX]; /* by a silent node */
};

static void set_header(struct evhttp_request *request, const char *name, const char *value)
{
	evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
}

static void send_body(
    struct evhttp_request *request, int status, const char *type, struct evbuffer *body)
{
	set_header(request, "Content-Type", type);
	evhttp_send_reply(request, status, NULL, body);
}

static void send_text(
    struct evhttp_request *request, int status, const char *type, const char *text)
{
	struct evbuffer *body scoped_evbuffer = evbuffer_new();

	evbuffer_add(body, text, strlen(text));
	send_body(request, status, type, body);
}

/* ---- replies, as they come or broken ---- */

static void cut_in_half(struct evbuffer *body)
{
	struct evbuffer *rest scoped_evbuffer = evbuffer_new();

	evbuffer_remove_buffer(body, rest, evbuffer_get_length(body) / 2);
	evbuffer_drain(body, evbuffer_get_length(body));
	evbuffer_add_buffer(body, rest);
}

static void send_rpc(
    struct endpoint *endpoint, struct evhttp_request *request, struct evbuffer *body)
{
	const struct faults *faults = &endpoint->rpc.node->faults;
	char len[24];

	if (faults->half_body) {
		evutil_snprintf(len, sizeof(len), "%zu", evbuffer_get_length(body));
		set_header(request, "Content-Length", len);
		set_header(request, "Connection", "close");
	}
	if (faults->half_body || faults->half_json)
		cut_in_half(body);
	send_body(request, 200, "application/json; charset=utf-8", body);
}

struct late_reply {
	struct endpoint *endpoint;
	struct evhttp_request *request;
	struct evbuffer *body;
	struct event *timer;
	struct late_reply *next;
};

static void forget_late(struct late_reply *late)
{
	struct late_reply **at = &late->endpoint->late;

	while (*at != late)
		at = &(*at)->next;
	*at = late->next;
	event_free(late->timer);
	evbuffer_free(late->body);
	free(late);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct late_reply *late = arg;

	(void)fd;
	(void)what;
	send_rpc(late->endpoint, late->request, late->body);
	forget_late(late);
}

static void send_later(
    struct endpoint *endpoint, struct evhttp_request *request, struct evbuffer *body, uint64_t ms)
{
	struct timeval delay = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
	struct late_reply *late = malloc(sizeof(*late));

	bug_if(!late);
	*late = (struct late_reply){endpoint, request, evbuffer_new(),
	    evtimer_new(endpoint->devchain->base, on_late, late), endpoint->late};
	bug_if(!late->body || !late->timer || event_add(late->timer, &delay) != 0);
	evbuffer_add_buffer(late->body, body);
	endpoint->late = late;
}

static void cut(struct evhttp_request *request)
{
	evhttp_connection_free(evhttp_request_get_connection(request));
}

static void hold(struct endpoint *endpoint, struct evhttp_request *request)
{
	if (endpoint->nheld == HELD_MAX) {
		cut(endpoint->held[0]);
		endpoint->held[0] = endpoint->held[--endpoint->nheld];
	}
	endpoint->held[endpoint->nheld++] = request;
}

void endpoint_release(struct endpoint *endpoint)
{
	while (endpoint->nheld)
		cut(endpoint->held[--endpoint->nheld]);
}

static void refuse(const struct faults *faults, struct evhttp_request *request)
{
	char seconds[24];

	evutil_snprintf(
	    seconds, sizeof(seconds), "%llu", (unsigned long long)faults->retry_after_s);
	if (faults->retry_after_s)
		set_header(request, "Retry-After", seconds);
	send_text(request, faults->refuse_quiet ? 200 : 429, "application/json",
	    "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":429,\"message\":\"Too many requests for a "
	    "specific RPC call\"},\"id\":1}");
}

/* true: a fault of the transport has dealt with the request */
static bool meets_fault(struct endpoint *endpoint, struct evhttp_request *request)
{
	const struct faults *faults = &endpoint->rpc.node->faults;

	if (faults->silent)
		hold(endpoint, request);
	else if (faults->refuse || faults->refuse_quiet)
		refuse(faults, request);
	else if (faults->html)
		send_text(request, 502, "text/html",
		    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
		    "<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n");
	else
		return false;
	return true;
}

/* ---- control commands ---- */

struct control_reply {
	struct evhttp_request *request;
	json_t *id, *result;
};

static void send_control(void *arg, bool reached)
{
	struct control_reply *reply = arg;
	struct evbuffer *out scoped_evbuffer = evbuffer_new();
	struct evbuffer *result scoped_evbuffer = evbuffer_new();
	struct rpc_error err;

	if (reached) {
		rpc_write_json(result, reply->result);
		rpc_write_result(out, reply->id, result);
	} else {
		rpc_fail(&err, RPC_INTERNAL, "the slot was dropped by a fork");
		rpc_write_error(out, reply->id, &err);
	}
	send_body(reply->request, 200, "application/json", out);
	json_decref(reply->id);
	json_decref(reply->result);
	free(reply);
}

static void run_control(
    struct endpoint *endpoint, struct evhttp_request *request, const struct rpc_request *rpc)
{
	struct evbuffer *out scoped_evbuffer = evbuffer_new();
	struct control_call call = {
	    .devchain = endpoint->devchain, .node = endpoint->rpc.node, .params = rpc->params};
	struct control_reply *reply;
	struct rpc_error failure;
	struct error err = {0};

	if (control_run(&call, rpc->method + strlen(CONTROL_PREFIX), &err) != 0) {
		rpc_fail(&failure, err.code == ERR_NOT_FOUND ? RPC_NO_METHOD : RPC_INVALID_PARAMS,
		    "%s", err.text);
		rpc_write_error(out, rpc->id, &failure);
		send_body(request, 200, "application/json", out);
		return;
	}
	reply = calloc(1, sizeof(*reply));
	bug_if(!reply);
	*reply = (struct control_reply){request, json_deep_copy(rpc->id), call.reply};
	if (call.waits)
		devchain_wait(endpoint->devchain, call.slot, call.wait_for, send_control, reply);
	else
		send_control(reply, true);
}

static bool is_control(const json_t *message, struct rpc_request *rpc)
{
	struct rpc_error err;

	return json_is_object(message) && rpc_request_read(message, rpc, &err) == 0 &&
	       strncmp(rpc->method, CONTROL_PREFIX, strlen(CONTROL_PREFIX)) == 0;
}

/* ---- requests ---- */

/* jansson's integers end at 2^63 - 1; larger ones (a minContextSlot of 2^64 - 1) are read as reals */
static json_t *read_body(struct evbuffer *body)
{
	size_t len = evbuffer_get_length(body);
	const char *text = (const char *)evbuffer_pullup(body, -1);
	json_error_t where;
	json_t *message = json_loadb(text ? text : "", len, 0, &where);

	if (!message && json_error_code(&where) == json_error_numeric_overflow)
		message = json_loadb(text, len, JSON_DECODE_INT_AS_REAL, NULL);
	return message;
}

/* what is not a JSON-RPC request at all; true: answered */
static bool is_plain_http(struct evhttp_request *request)
{
	const char *type =
	    evhttp_find_header(evhttp_request_get_input_headers(request), "Content-Type");
	enum evhttp_cmd_type method = evhttp_request_get_command(request);

	if (method == EVHTTP_REQ_GET && strcmp(evhttp_request_get_uri(request), "/health") == 0)
		send_text(request, 200, "text/plain", "ok");
	else if (method != EVHTTP_REQ_POST)
		send_text(request, 405, "text/plain",
		    "Used HTTP Method is not allowed. POST or OPTIONS is required\n");
	else if (!type || strncmp(type, "application/json", 16) != 0)
		send_text(request, 415, "text/plain",
		    "Supplied content type is not allowed. Content-Type: application/json is "
		    "required\n");
	else
		return false;
	return true;
}

static void answer(struct endpoint *endpoint, struct evhttp_request *request, const json_t *message)
{
	struct evbuffer *out scoped_evbuffer = evbuffer_new();
	uint64_t delay_ms = endpoint->rpc.node->faults.delay_ms;

	if (message)
		rpc_answer(&endpoint->rpc, message, out);
	else
		rpc_answer_unparsable(out);
	if (delay_ms)
		send_later(endpoint, request, out, delay_ms);
	else
		send_rpc(endpoint, request, out);
}

static void on_request(struct evhttp_request *request, void *arg)
{
	struct endpoint *endpoint = arg;
	struct evbuffer *body = evhttp_request_get_input_buffer(request);
	size_t len = evbuffer_get_length(body);
	scoped_json json_t *message = read_body(body);
	struct rpc_request rpc;

	if (is_control(message, &rpc))
		run_control(endpoint, request, &rpc);
	else if (meets_fault(endpoint, request) || is_plain_http(request))
		return;
	else if (len > RPC_BODY_MAX)
		send_text(request, 413, "text/plain", "payload too large\n");
	else
		answer(endpoint, request, message);
}

struct endpoint *endpoint_new(struct devchain *devchain, struct node *node, uint16_t *port,
    uint16_t *ws_port, struct error *err)
{
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
	struct evconnlistener *listener;

	bug_if(!endpoint);
	endpoint->devchain = devchain;
	endpoint->rpc.node = node;
	endpoint->rpc.bank = &devchain->bank;
	memcpy(endpoint->rpc.genesis, devchain->genesis.hash, PUBKEY_LEN);
	endpoint->http = evhttp_new(devchain->base);
	bug_if(!endpoint->http);
	evhttp_set_max_headers_size(endpoint->http, HEAD_MAX);
	evhttp_set_max_body_size(endpoint->http, CONTROL_BODY_MAX);
	evhttp_set_gencb(endpoint->http, on_request, endpoint);
	listener = listen_loopback(devchain->base, port, NULL, NULL, err);
	if (!listener || !evhttp_bind_listener(endpoint->http, listener)) {
		endpoint_destroy(&endpoint);
		return NULL;
	}
	endpoint->pubsub = pubsub_new(devchain->base, node, ws_port, err);
	if (!endpoint->pubsub)
		endpoint_destroy(&endpoint);
	return endpoint;
}

void endpoint_destroy(struct endpoint **endpoint)
{
	if (!*endpoint)
		return;
	pubsub_destroy(&(*endpoint)->pubsub);
	while ((*endpoint)->late)
		forget_late((*endpoint)->late);
	evhttp_free((*endpoint)->http);
	free(*endpoint);
	*endpoint = NULL;
}

struct pubsub *endpoint_pubsub(struct endpoint *endpoint)
{
	return endpoint->pubsub;
}
