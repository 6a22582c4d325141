#include "tests/devchain/jsonrpc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"

int rpc_fail(struct rpc_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	*err = (struct rpc_error){.code = code};
	va_start(ap, fmt);
	vsnprintf(err->message, sizeof(err->message), fmt, ap);
	va_end(ap);
	return -1;
}

int rpc_request_read(const json_t *message, struct rpc_request *request_r, struct rpc_error *err)
{
	const char *version = json_string_value(json_object_get(message, "jsonrpc"));
	const json_t *id = json_object_get(message, "id");
	const json_t *params = json_object_get(message, "params");

	*request_r = (struct rpc_request){
	    .method = json_string_value(json_object_get(message, "method")),
	    .params = json_is_null(params) ? NULL : params,
	    .id = id,
	};
	if (!json_is_object(message) || !request_r->method || !version ||
	    strcmp(version, "2.0") != 0 ||
	    (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id)))
		return rpc_fail(err, RPC_INVALID_REQUEST, "Invalid request");
	if (request_r->params && !json_is_array(params) && !json_is_object(params))
		return rpc_fail(
		    err, RPC_INVALID_PARAMS, "Invalid params: expected an array or an object.");
	return 0;
}

static int add_text(const char *text, size_t len, void *out)
{
	return evbuffer_add(out, text, len);
}

void rpc_write_json(struct evbuffer *out, const json_t *value)
{
	if (value)
		json_dump_callback(value, add_text, out, JSON_ENCODE_ANY | JSON_COMPACT);
	else
		evbuffer_add(out, "null", 4);
}

void rpc_write_result(struct evbuffer *out, const json_t *id, struct evbuffer *result)
{
	evbuffer_add_printf(out, "{\"jsonrpc\":\"2.0\",\"result\":");
	evbuffer_add_buffer(out, result);
	evbuffer_add_printf(out, ",\"id\":");
	rpc_write_json(out, id);
	evbuffer_add_printf(out, "}");
}

void rpc_write_error(struct evbuffer *out, const json_t *id, const struct rpc_error *err)
{
	json_t *message = json_string(err->message);

	evbuffer_add_printf(
	    out, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":%d,\"message\":", err->code);
	rpc_write_json(out, message);
	if (err->data[0])
		evbuffer_add_printf(out, ",\"data\":%s", err->data);
	evbuffer_add_printf(out, "},\"id\":");
	rpc_write_json(out, id);
	evbuffer_add_printf(out, "}");
	json_decref(message);
}
