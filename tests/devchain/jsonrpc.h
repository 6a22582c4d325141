/* jsonrpc - envelopes of JSON-RPC 2.0 as a Solana node writes them. Results are text in an evbuffer, written in place: rentEpoch and
 * slots reach 18446744073709551615, which jansson cannot hold. */
#ifndef DEVCHAIN_JSONRPC_H
#define DEVCHAIN_JSONRPC_H

#include <event2/buffer.h>
#include <jansson.h>
#include <stdbool.h>

#define RPC_PARSE_ERROR -32700
#define RPC_INVALID_REQUEST -32600
#define RPC_NO_METHOD -32601
#define RPC_INVALID_PARAMS -32602
#define RPC_INTERNAL -32603
#define RPC_UNHEALTHY -32005
#define RPC_MIN_CONTEXT_SLOT -32016

struct rpc_error {
	int code;
	char message[256];
	char data[8192]; /* JSON text, "" if none */
};
/* Returns -1. */
int rpc_fail(struct rpc_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

struct rpc_request {
	const char *method;   /* borrowed from the message, like all of these */
	const json_t *params; /* array, object, or NULL */
	const json_t *id;     /* NULL: a notification, which is not answered */
};
int rpc_request_read(const json_t *message, struct rpc_request *request_r, struct rpc_error *err);

/* Appends a reply; result is emptied. */
void rpc_write_result(struct evbuffer *out, const json_t *id, struct evbuffer *result);
void rpc_write_error(struct evbuffer *out, const json_t *id, const struct rpc_error *err);
/* Appends value as JSON text. */
void rpc_write_json(struct evbuffer *out, const json_t *value);

static inline void scoped_evbuffer_fn(struct evbuffer **buffer)
{
	if (*buffer)
		evbuffer_free(*buffer);
}
#define scoped_evbuffer __attribute__((cleanup(scoped_evbuffer_fn)))

#endif
