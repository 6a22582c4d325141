/* request - the head of an HTTP/1.1 request (RFC 9112), read strictly: what two readers could understand differently is refused. */
#ifndef DEMO_AGENT_REQUEST_H
#define DEMO_AGENT_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_HEAD_MAX 8192
#define REQUEST_KEY_LEN 24 /* of Sec-WebSocket-Key, base64 of 16 bytes */

struct request {
	char *method, *path, *query; /* in the head; query "" if there is none */
	const char *authorization;   /* NULL if there is none */
	const char *websocket_key;   /* NULL unless this is a whole WebSocket handshake */
	uint64_t content_length;
	bool has_length, is_chunked, expects_continue;
};

/* Cuts up head (len bytes with their last empty line, writable, must outlive the request). Returns 0, or the HTTP status that refuses it. */
int request_parse(char *head, size_t len, struct request *request_r);
/* The length of a whole head at the beginning of bytes, 0 if it is not complete. */
size_t request_head_len(const char *bytes, size_t len);
/* Decimal digits only. */
bool request_number(const char *text, uint64_t max, uint64_t *number_r);

#endif
