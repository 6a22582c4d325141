/* exchange - one request of an agent and its answer: judged, given a key, sent on by libcurl while it comes in, and the answer back while it comes.
 * Two libraries meet here and neither waits: libmicrohttpd's side is suspended while there is nothing to do on it, libcurl's is paused while its buffer is full.
 * The first never runs within the other's callbacks.
 */
#ifndef LLM_GATEWAY_EXCHANGE_H
#define LLM_GATEWAY_EXCHANGE_H

#include <curl/curl.h>
#include <microhttpd.h>
#include <stddef.h>

#include "common/ledger.h"

struct gateway;
struct exchange;

/* text: the target as the client wrote it. Lives until exchange_end. */
struct exchange *exchange_new(
    struct gateway *gateway, struct MHD_Connection *connection, const char *text);
/* libmicrohttpd's access handler. */
enum MHD_Result exchange_access(struct exchange *exchange, const char *method, const char *version,
    const char *bytes, size_t *len);
/* The request is over, however it ended. */
void exchange_end(struct exchange *exchange);
/* Ends it now: nothing that is not in the client's hands yet gets there. The front is run afterwards, to clear it away. Not from a callback of libcurl's or libmicrohttpd's. */
void exchange_cut(struct exchange *exchange);
/* This event was handled: those that waited for it go on. */
void exchanges_have_read(struct gateway *gateway, const struct ledger_event *event);
/* What became of the one upstream: for curl_loop. */
void exchange_over(CURL *easy, CURLcode code);

#endif
