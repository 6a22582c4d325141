#include "services/cli/prober.h"

#include <curl/curl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/error.h"

#define LINES 2         /* of the present session at each point */
#define ANSWER_MS 2500L /* as nginx waits for it (deploy/nginx): what comes later is thrown away */
#define ASK_MS 10000L   /* sign-ins, the chain's commands */
#define LOOK_MS 500L
#define FORMER_EVERY_US 50000
#define SAMPLES_MAX (1u << 20)

struct line {
	struct prober *prober;
	size_t point;
	bool former, is_router;
	CURL *easy;
	struct curl_slist *headers;
	uint64_t due_us, sent_us;
	bool is_busy;
};

struct prober {
	CURLM *multi;
	char url[512], name[PROBER_POINTS_MAX][PROBER_NAME_MAX];
	size_t npoints, nlines, nsamples, room;
	struct line line[PROBER_POINTS_MAX * (LINES + 1)];
	struct drill_sample *samples;
	bool was_allowed[PROBER_POINTS_MAX], was_denied[PROBER_POINTS_MAX];
	struct curl_slist *connect_to;
	struct web_loop loop;
	bool (*turn)(void *arg);
	void *turn_arg;
	uint64_t every_us;
	CURL *asked; /* the other request that is waited for */
	bool is_done;
	CURLcode rc;
};

static size_t drop(char *data, size_t size, size_t n, void *arg)
{
	(void)data;
	(void)arg;
	return size * n;
}

static CURL *easy_for(const char *url, const char *socket, long timeout_ms)
{
	CURL *easy = curl_easy_init();

	bug_if(!easy);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "multiclaw-drill");
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop);
	if (socket) {
		curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, socket);
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	}
	return easy;
}

static int perform(void *arg, void *easy)
{
	struct prober *prober = arg;

	bug_if(prober->asked != NULL);
	prober->asked = easy;
	prober->is_done = false;
	prober->rc = CURLE_ABORTED_BY_CALLBACK;
	curl_multi_add_handle(prober->multi, easy);
	while (!prober->is_done && prober_turn(prober)) {
	}
	curl_multi_remove_handle(prober->multi, easy);
	prober->asked = NULL;
	return (int)prober->rc;
}

struct prober *prober_new(const char *url, const char *connect_to, unsigned every_ms)
{
	struct prober *prober = calloc(1, sizeof(*prober));
	char text[300];

	bug_if(!prober);
	prober->multi = curl_multi_init();
	bug_if(!prober->multi);
	snprintf(prober->url, sizeof(prober->url), "%s/v1/session", url);
	if (connect_to) {
		snprintf(text, sizeof(text), "::%s", connect_to);
		prober->connect_to = curl_slist_append(NULL, text);
	}
	prober->every_us = every_ms * 1000ull;
	prober->loop = (struct web_loop){.perform = perform,
	    .arg = prober,
	    .connect_to = prober->connect_to,
	    .timeout_ms = ASK_MS};
	return prober;
}

static void stop(struct line *line)
{
	if (line->is_busy)
		curl_multi_remove_handle(line->prober->multi, line->easy);
	line->is_busy = false;
}

void prober_destroy(struct prober **prober)
{
	struct prober *p = *prober;

	if (!p)
		return;
	for (size_t i = 0; i < p->nlines; i++) {
		stop(&p->line[i]);
		curl_easy_cleanup(p->line[i].easy);
		curl_slist_free_all(p->line[i].headers);
	}
	curl_multi_cleanup(p->multi);
	curl_slist_free_all(p->connect_to);
	free(p->samples);
	free(p);
	*prober = NULL;
}

void prober_add(struct prober *prober, const char *name, const char *socket)
{
	size_t point = prober->npoints++;

	bug_if(point >= PROBER_POINTS_MAX);
	snprintf(prober->name[point], PROBER_NAME_MAX, "%s", name);
	for (size_t i = 0; i <= LINES; i++) {
		struct line *line = &prober->line[prober->nlines++];
		*line = (struct line){
		    .prober = prober, .point = point, .former = i == LINES, .is_router = socket};
		/* what a router is asked at is its name alone: nginx calls it so, too */
		line->easy =
		    easy_for(socket ? "http://router/v1/session" : prober->url, socket, ANSWER_MS);
		curl_easy_setopt(line->easy, CURLOPT_PRIVATE, line);
		if (!socket && prober->connect_to)
			curl_easy_setopt(line->easy, CURLOPT_CONNECT_TO, prober->connect_to);
	}
}

size_t prober_points(const struct prober *prober)
{
	return prober->npoints;
}

const char *prober_name(const struct prober *prober, size_t point)
{
	return prober->name[point];
}

static void set_token(struct line *line, const char *token)
{
	char cookie[sizeof("Cookie: " WEB_COOKIE "=") + WEB_TOKEN_MAX];

	stop(line);
	curl_slist_free_all(line->headers);
	line->headers = NULL;
	line->due_us = 0;
	if (!token[0])
		return;
	snprintf(cookie, sizeof(cookie), "Cookie: %s=%s", WEB_COOKIE, token);
	line->headers = curl_slist_append(NULL, cookie);
	sodium_memzero(cookie, sizeof(cookie));
	/* what nginx would say of its client */
	if (line->is_router)
		line->headers = curl_slist_append(line->headers, "X-Real-IP: 127.0.0.1");
	curl_easy_setopt(line->easy, CURLOPT_HTTPHEADER, line->headers);
}

void prober_begin(struct prober *prober, const char *token, const char *former)
{
	for (size_t i = 0; i < prober->nlines; i++)
		set_token(&prober->line[i], prober->line[i].former ? former : token);
	prober->nsamples = 0;
	memset(prober->was_allowed, 0, sizeof(prober->was_allowed));
	memset(prober->was_denied, 0, sizeof(prober->was_denied));
}

static bool all(const struct prober *prober, const bool *was)
{
	for (size_t i = 0; i < prober->npoints; i++)
		if (!was[i])
			return false;
	return true;
}

bool prober_all_allowed(const struct prober *prober)
{
	return all(prober, prober->was_allowed);
}

bool prober_all_denied(const struct prober *prober)
{
	return all(prober, prober->was_denied);
}

const struct drill_sample *prober_samples(const struct prober *prober, size_t *n_r)
{
	*n_r = prober->nsamples;
	return prober->samples;
}

void prober_on_turn(struct prober *prober, bool (*turn)(void *arg), void *arg)
{
	prober->turn = turn;
	prober->turn_arg = arg;
}

const struct web_loop *prober_loop(struct prober *prober)
{
	return &prober->loop;
}

static void note(struct line *line, CURLcode rc, uint64_t now_us)
{
	struct prober *prober = line->prober;
	long status = 0;

	if (prober->nsamples == SAMPLES_MAX)
		return;
	if (prober->nsamples == prober->room) {
		prober->room = prober->room ? prober->room * 2 : 4096;
		prober->samples = realloc(prober->samples, prober->room * sizeof(*prober->samples));
		bug_if(!prober->samples);
	}
	if (rc == CURLE_OK)
		curl_easy_getinfo(line->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!line->former) {
		prober->was_allowed[line->point] |= drill_is_allow((unsigned)status);
		prober->was_denied[line->point] |= drill_is_denial((unsigned)status);
	}
	prober->samples[prober->nsamples++] = (struct drill_sample){.sent_us = line->sent_us,
	    .got_us = now_us,
	    .status = (uint16_t)status,
	    .point = (uint8_t)line->point,
	    .former = line->former};
}

static void collect(struct prober *prober)
{
	int left;

	for (CURLMsg *msg; (msg = curl_multi_info_read(prober->multi, &left));) {
		struct line *line = NULL;
		CURLcode rc = msg->data.result;

		if (msg->msg != CURLMSG_DONE)
			continue;
		if (msg->easy_handle == prober->asked) {
			prober->is_done = true;
			prober->rc = rc;
			continue;
		}
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &line);
		bug_if(!line);
		note(line, rc, clock_boot_us());
		line->due_us = line->sent_us + (line->former ? FORMER_EVERY_US : prober->every_us);
		stop(line);
	}
}

static uint64_t start_due(struct prober *prober, uint64_t now_us)
{
	uint64_t next_us = now_us + prober->every_us;

	for (size_t i = 0; i < prober->nlines; i++) {
		struct line *line = &prober->line[i];

		if (line->is_busy || !line->headers)
			continue;
		if (line->due_us > now_us) {
			next_us = line->due_us < next_us ? line->due_us : next_us;
			continue;
		}
		line->sent_us = now_us;
		line->is_busy = true;
		curl_multi_add_handle(prober->multi, line->easy);
	}
	return next_us;
}

bool prober_turn(struct prober *prober)
{
	uint64_t now_us = clock_boot_us(), next_us = start_due(prober, now_us);
	int running;

	if (prober->turn && !prober->turn(prober->turn_arg))
		return false;
	curl_multi_perform(prober->multi, &running);
	curl_multi_poll(
	    prober->multi, NULL, 0, next_us > now_us ? (int)((next_us - now_us) / 1000) : 0, NULL);
	curl_multi_perform(prober->multi, &running);
	collect(prober);
	return true;
}

long prober_look(struct prober *prober, const char *socket, const char *url)
{
	CURL *easy = easy_for(url, socket, LOOK_MS);
	long status = 0;

	if (perform(prober, easy) == CURLE_OK)
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(easy);
	return status;
}
