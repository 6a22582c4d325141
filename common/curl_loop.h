/* curl_loop - libcurl's multi interface on the loop. Its callbacks only set events, since no multi function may be called from them. */
#ifndef COMMON_CURL_LOOP_H
#define COMMON_CURL_LOOP_H

#include <curl/curl.h>
#include <event2/event.h>

#include "common/error.h"

struct curl_loop;
/* A transfer is over. Called from within libcurl's own step, for several in a row: removes nothing and adds nothing, tells later. */
typedef void (*curl_loop_over)(void *arg, CURL *easy, CURLcode code);

/* priority: of its events (common/loop_priority.h). */
struct curl_loop *curl_loop_new(
    struct event_base *base, int priority, curl_loop_over over, void *arg, struct error *err);
/* Its transfers have been removed. */
void curl_loop_destroy(struct curl_loop **loop);
CURLM *curl_loop_multi(const struct curl_loop *loop); /* for options */
/* Begins a transfer; 0, or -1: it will not. Never calls over. */
int curl_loop_add(struct curl_loop *loop, CURL *easy);
/* Ends it, wherever it is; over is not called any more. Not from within a callback of libcurl's. */
void curl_loop_remove(struct curl_loop *loop, CURL *easy);
/* Takes note of what has ended outside the loop's own steps: after curl_easy_pause. May call over. */
void curl_loop_collect(struct curl_loop *loop);

#endif
