#include "services/sandbox/demo-agent/answer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "services/sandbox/demo-agent/assets.h"
#include "services/sandbox/demo-agent/chat.h"
#include "services/sandbox/demo-agent/memory.h"
#include "services/sandbox/demo-agent/providers.h"

#define SOURCE_BLOCK 65536
#define SOURCE_MAX (UINT64_C(1) << 40)
#define UNKNOWN_LEN UINT64_MAX

static const char *reason_of(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {{200, "OK"}, {204, "No Content"}, {400, "Bad Request"},
	    {401, "Unauthorized"}, {404, "Not Found"}, {405, "Method Not Allowed"},
	    {413, "Content Too Large"}, {417, "Expectation Failed"}, {426, "Upgrade Required"},
	    {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
	    {503, "Service Unavailable"}, {505, "HTTP Version Not Supported"},
	    {507, "Insufficient Storage"}};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Error";
}

static void write_head(struct connection *connection, int status, const char *type, uint64_t len)
{
	char head[1024], length[64] = "";

	if (len != UNKNOWN_LEN && status != 204)
		snprintf(length, sizeof(length), "Content-Length: %" PRIu64 "\r\n", len);
	int head_len = snprintf(head, sizeof(head),
	    "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: %s\r\n%s%s"
	    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: "
	    "no-referrer\r\nContent-Security-Policy: default-src 'none'; script-src 'self'; "
	    "style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action "
	    "'none'; "
	    "frame-ancestors 'none'\r\n\r\n",
	    status, reason_of(status), type, length,
	    status == 401 ? "WWW-Authenticate: Bearer\r\n" : "");
	connection_write(connection, head, (size_t)head_len);
	connection->stage = STAGE_ANSWER;
}

static void answer_text(
    struct connection *connection, int status, const char *type, const char *text)
{
	write_head(connection, status, type, strlen(text));
	connection_write(connection, text, strlen(text));
}

void answer_refuse(struct connection *connection, int status)
{
	char text[64];

	snprintf(text, sizeof(text), "%d %s\n", status, reason_of(status));
	answer_text(connection, status, "text/plain; charset=utf-8", text);
}

/* In a time that does not tell how much of it was right. */
static bool is_authorized(const struct agent *agent, const struct request *request)
{
	static const char scheme[] = "Bearer ";
	const char *given = request->authorization;

	if (!given || strncasecmp(given, scheme, sizeof(scheme) - 1) != 0)
		return false;
	given += sizeof(scheme) - 1;
	size_t len = strlen(agent->token);
	volatile unsigned differs = strlen(given) != len;
	if (differs)
		return false;
	for (size_t i = 0; i < len; i++)
		differs = differs | ((unsigned char)given[i] ^ (unsigned char)agent->token[i]);
	return differs == 0;
}

/* ---- GET ---- */

static void get_status(
    struct agent *agent, struct connection *connection, const struct request *request)
{
	char text[PROVIDERS_TEXT_MAX + 256], names[PROVIDERS_TEXT_MAX];

	(void)request;
	snprintf(text, sizeof(text), "{\"boot\":\"%s\",\"started_at\":\"%s\",\"providers\":%s}\n",
	    agent->boot, agent->started_at, providers_json(agent->secrets, names));
	answer_text(connection, 200, "application/json", text);
}

static void get_healthz(
    struct agent *agent, struct connection *connection, const struct request *request)
{
	(void)agent;
	(void)request;
	answer_text(connection, 200, "application/json", "{\"ok\":true,\"status\":\"live\"}");
}

static void get_memory(
    struct agent *agent, struct connection *connection, const struct request *request)
{
	size_t len = 0;

	(void)request;
	connection->owned = malloc(MEMORY_MAX);
	if (!connection->owned || memory_read(agent->data, connection->owned, &len) != 0) {
		answer_refuse(connection, 500);
		return;
	}
	write_head(connection, 200, "text/plain; charset=utf-8", len);
	connection->tail = connection->owned;
	connection->tail_len = len;
}

static void get_clock(
    struct agent *agent, struct connection *connection, const struct request *request)
{
	(void)agent;
	(void)request;
	write_head(connection, 200, "text/event-stream", UNKNOWN_LEN);
	connection->stage = STAGE_CLOCK;
	answer_tick(connection);
}

void answer_tick(struct connection *connection)
{
	char text[64], now[32];
	int len = snprintf(text, sizeof(text), "data: %s\n\n", agent_time(now));

	connection_write(connection, text, (size_t)len);
}

static void get_source(
    struct agent *agent, struct connection *connection, const struct request *request)
{
	uint64_t len;

	(void)agent;
	if (strncmp(request->query, "bytes=", 6) != 0 ||
	    !request_number(request->query + 6, SOURCE_MAX, &len)) {
		answer_refuse(connection, 400);
		return;
	}
	write_head(connection, 200, "application/octet-stream", len);
	connection->source_left = len;
}

void answer_more(struct connection *connection)
{
	static char block[SOURCE_BLOCK];

	if (!block[0])
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = (char)('a' + i % 26);
	connection->tail = block;
	connection->tail_len = connection->source_left < sizeof(block)
				   ? (size_t)connection->source_left
				   : sizeof(block);
	connection->source_left -= connection->tail_len;
}

static void get_ws(
    struct agent *agent, struct connection *connection, const struct request *request)
{
	char head[256], accept[WEBSOCKET_ACCEPT_LEN + 1];

	(void)agent;
	if (!request->websocket_key) {
		answer_refuse(connection, 426);
		return;
	}
	if (!chat_open(connection)) {
		answer_refuse(connection, 503);
		return;
	}
	websocket_accept(request->websocket_key, accept);
	int len = snprintf(head, sizeof(head),
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: %s\r\n\r\n",
	    accept);
	connection_write(connection, head, (size_t)len);
}

static void get_asset(
    struct agent *agent, struct connection *connection, const struct request *request)
{
	const struct asset *asset = asset_find(request->path);

	(void)agent;
	write_head(connection, 200, asset->type, asset->len);
	connection->tail = asset->bytes;
	connection->tail_len = asset->len;
}

/* ---- PUT ---- */

static void await_body(struct connection *connection, const struct request *request)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (request->expects_continue)
		connection_write(connection, go_on, sizeof(go_on) - 1);
	body_open(&connection->body, request);
	connection->stage = STAGE_BODY;
}

static void put_sink(
    struct agent *agent, struct connection *connection, const struct request *request)
{
	(void)agent;
	await_body(connection, request);
}

static void put_memory(
    struct agent *agent, struct connection *connection, const struct request *request)
{
	(void)agent;
	if (request->content_length > MEMORY_MAX) {
		answer_refuse(connection, 413);
		return;
	}
	connection->memory = malloc(MEMORY_MAX);
	if (!connection->memory) {
		answer_refuse(connection, 503);
		return;
	}
	await_body(connection, request);
}

bool answer_data(struct connection *connection, const char *bytes, size_t len)
{
	if (connection->memory && len > MEMORY_MAX - connection->counted) {
		answer_refuse(connection, 413);
		return false;
	}
	if (connection->memory && len)
		memcpy(connection->memory + connection->counted, bytes, len);
	connection->counted += len;
	return true;
}

void answer_body(struct agent *agent, struct connection *connection)
{
	char text[64];

	if (connection->body.state == BODY_BAD) {
		answer_refuse(connection, 400);
	} else if (connection->memory) {
		int rc = memory_write(agent->data, connection->memory, (size_t)connection->counted);
		if (rc == 0)
			write_head(connection, 204, "text/plain", 0);
		else
			answer_refuse(connection, errno == ENOSPC || errno == EDQUOT ? 507 : 500);
	} else {
		snprintf(text, sizeof(text), "{\"bytes\":%" PRIu64 "}\n", connection->counted);
		answer_text(connection, 200, "application/json", text);
	}
}

/* ---- all ---- */

static const struct route {
	const char *method, *path;
	void (*answer)(struct agent *, struct connection *, const struct request *);
} routes[] = {
    {"GET", "/", get_asset},
    {"GET", "/app.js", get_asset},
    {"GET", "/style.css", get_asset},
    {"GET", "/status", get_status},
    {"GET", "/clock", get_clock},
    {"GET", "/memory", get_memory},
    {"PUT", "/memory", put_memory},
    {"PUT", "/sink", put_sink},
    {"POST", "/sink", put_sink},
    {"GET", "/source", get_source},
    {"GET", "/ws", get_ws},
    {"GET", "/healthz", get_healthz},
};

void answer_request(
    struct agent *agent, struct connection *connection, const struct request *request)
{
	bool is_health = strcmp(request->path, "/healthz") == 0, is_path = false;

	if (!is_health && !is_authorized(agent, request)) {
		answer_refuse(connection, 401);
		return;
	}
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (strcmp(routes[i].path, request->path) != 0)
			continue;
		is_path = true;
		if (strcmp(routes[i].method, request->method) == 0) {
			routes[i].answer(agent, connection, request);
			return;
		}
	}
	answer_refuse(connection, is_path ? 405 : 404);
}
