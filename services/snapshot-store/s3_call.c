#include "services/snapshot-store/s3_call.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "services/snapshot-store/s3_judge.h"
#include "services/snapshot-store/s3_sign.h"
#include "services/snapshot-store/s3_xml.h"

#define CONNECT_MS 10000L
#define LAST_WORD_MS 5000L
#define BODY_MAX (4u << 20) /* a list of 1000 keys has 400 KiB */
#define REFUSAL_MAX (64u << 10)
#define PAUSE_MS 100u
#define PAUSE_MAX_MS 5000u
#define TARGET_MAX 4096

/* One try while it lasts. */
struct exchange {
	const struct s3 *s3;
	struct transfer *transfer;
	const struct s3_request *request;
	struct s3_answer *answer;
	CURL *easy;
	size_t sent;
	uint64_t moved_at_ms;
	curl_off_t moved;
	bool has_begun, has_refused; /* the pipe's part: looked at the head; has said why not */
	bool is_stalled;
	char why[CURL_ERROR_SIZE];
};

/* ---- handles, which keep their connections ---- */

static CURL *take_handle(struct s3 *s3)
{
	pthread_mutex_lock(&s3->mutex);
	CURL *easy = s3->nidle ? s3->idle[--s3->nidle] : NULL;
	pthread_mutex_unlock(&s3->mutex);
	if (!easy)
		easy = curl_easy_init();
	bug_if(!easy);
	return easy;
}

static void give_back_handle(struct s3 *s3, CURL *easy)
{
	curl_easy_reset(easy);
	pthread_mutex_lock(&s3->mutex);
	bool is_kept = s3->nidle < S3_IDLE_MAX;
	if (is_kept)
		s3->idle[s3->nidle++] = easy;
	pthread_mutex_unlock(&s3->mutex);
	if (!is_kept)
		curl_easy_cleanup(easy);
}

/* ---- what libcurl asks ---- */

static size_t on_upload(char *to, size_t size, size_t n, void *arg)
{
	struct exchange *exchange = arg;
	size_t left = exchange->request->len - exchange->sent,
	       len = size * n < left ? size * n : left;

	if (len)
		memcpy(to, (const char *)exchange->request->body + exchange->sent, len);
	exchange->sent += len;
	return len;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct exchange *exchange = arg;

	if (origin != SEEK_SET || offset < 0 || (size_t)offset > exchange->request->len)
		return CURL_SEEKFUNC_FAIL;
	exchange->sent = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

static void keep_header(const char *line, size_t len, const char *name, char *value, size_t size)
{
	size_t name_len = strlen(name);

	if (len <= name_len || strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
		return;
	line += name_len + 1, len -= name_len + 1;
	while (len && (*line == ' ' || *line == '\t'))
		line++, len--;
	while (len && strchr("\r\n \t", line[len - 1]))
		len--;
	if (len >= size || memchr(line, '\0', len))
		return;
	memcpy(value, line, len);
	value[len] = '\0';
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct exchange *exchange = arg;
	struct s3_answer *answer = exchange->answer;

	keep_header(line, size * n, "etag", answer->etag, sizeof(answer->etag));
	keep_header(line, size * n, "date", answer->date, sizeof(answer->date));
	keep_header(line, size * n, "content-range", answer->range, sizeof(answer->range));
	return size * n;
}

/* Room doubles, and len bytes of it are used: the power of two above tells how much there is. */
static size_t room_for(size_t len)
{
	size_t room = 4096;

	while (room < len)
		room *= 2;
	return room;
}

static int keep_body(struct s3_answer *answer, const char *bytes, size_t len, size_t most)
{
	if (len > most - answer->len)
		return -1;
	if (!answer->body || room_for(answer->len + len) != room_for(answer->len)) {
		char *body = realloc(answer->body, room_for(answer->len + len));
		bug_if(!body);
		answer->body = body;
	}
	memcpy(answer->body + answer->len, bytes, len);
	answer->len += len;
	return 0;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct exchange *exchange = arg;
	long status = 0;
	size_t len = size * n;

	curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!exchange->request->goes_to_pipe || status / 100 != 2)
		return keep_body(exchange->answer, bytes, len,
			   status / 100 == 2 ? BODY_MAX : REFUSAL_MAX) == 0
			   ? len
			   : CURL_WRITEFUNC_ERROR;
	if (!exchange->has_begun) {
		curl_off_t length = -1;
		curl_easy_getinfo(exchange->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
		exchange->has_begun = true;
		exchange->has_refused = s3_judge_head(exchange->transfer, exchange->request,
					    exchange->answer, status, length) != 0;
	}
	if (!exchange->has_refused)
		exchange->has_refused = transfer_write(exchange->transfer, bytes, len) != 0;
	/* that the reader took its time is not the service's fault */
	exchange->moved_at_ms = clock_boot_ms();
	return exchange->has_refused ? CURL_WRITEFUNC_ERROR : len;
}

/* About once a second, and whenever something moves. */
static int on_progress(
    void *arg, curl_off_t to_get, curl_off_t got, curl_off_t to_put, curl_off_t put)
{
	struct exchange *exchange = arg;
	uint64_t now_ms = clock_boot_ms();

	(void)to_get, (void)to_put;
	if (got + put != exchange->moved) {
		exchange->moved = got + put;
		exchange->moved_at_ms = now_ms;
	}
	exchange->is_stalled =
	    now_ms - exchange->moved_at_ms >= exchange->s3->settings->stall_s * 1000;
	return exchange->is_stalled ||
	       (!exchange->request->is_last_word && atomic_load(&exchange->transfer->is_cancelled));
}

/* ---- the request ---- */

struct head {
	char host[340], payload[S3_SHA256_HEX + 1], date[S3_DATE_LEN + 1], md5[32], range[48],
	    path[TARGET_MAX];
	struct s3_header signed_headers[8];
	size_t nheaders;
	struct curl_slist *lines;
};

static void add_header(struct head *head, const char *name, const char *value)
{
	bug_if(head->nheaders == ARRAY_LEN(head->signed_headers));
	head->signed_headers[head->nheaders++] = (struct s3_header){name, value};
	char line[TARGET_MAX];
	snprintf(line, sizeof(line), "%s: %s", name, value);
	head->lines = curl_slist_append(head->lines, line);
	bug_if(!head->lines);
}

/* Some services look at this one alone, and not at the hash that is signed. */
static bool md5_of(const struct s3_request *request, char md5[32])
{
	uint8_t digest[16];

	return request->len &&
	       EVP_Digest(request->body, request->len, digest, NULL, EVP_md5(), NULL) == 1 &&
	       EVP_EncodeBlock((uint8_t *)md5, digest, sizeof(digest)) > 0;
}

/* In the order that the signature needs. */
static int make_head(const struct s3 *s3, const struct s3_request *request, struct head *head)
{
	char authorization[S3_AUTHORIZATION_MAX];
	char line[S3_AUTHORIZATION_MAX + 32];

	s3_sign_hash(request->len ? request->body : "", request->len, head->payload);
	s3_sign_date(clock_unix_ms(), head->date);
	snprintf(
	    head->path, sizeof(head->path), "%s/%s", s3->path, request->key ? request->key : "");
	if (!request->key && s3->path[0])
		head->path[strlen(s3->path)] = '\0';
	if (md5_of(request, head->md5))
		add_header(head, "content-md5", head->md5);
	add_header(head, "host", s3->host);
	if (request->from) {
		snprintf(head->range, sizeof(head->range), "bytes=%" PRIu64 "-", request->from);
		add_header(head, "if-match", request->etag);
		add_header(head, "range", head->range);
	}
	add_header(head, "x-amz-content-sha256", head->payload);
	add_header(head, "x-amz-date", head->date);
	const struct s3_signed what = {request->method, head->path,
	    request->query ? request->query : "", head->signed_headers, head->nheaders,
	    head->payload, head->date, s3->settings->region};
	if (s3_sign(&what, s3->key_id, s3->secret_key, authorization) != 0)
		return -1;
	snprintf(line, sizeof(line), "authorization: %s", authorization);
	head->lines = curl_slist_append(head->lines, line);
	return head->lines ? 0 : -1;
}

#define SET(option, value) \
	do { \
		if (curl_easy_setopt(easy, (option), (value)) != CURLE_OK) \
			return -1; \
	} while (0)

static int set_limits(CURL *easy, const struct s3 *s3, const struct s3_request *request)
{
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
	SET(CURLOPT_BUFFERSIZE, 128L * 1024);
	SET(CURLOPT_USERAGENT, "multiclaw");
	SET(CURLOPT_TIMEOUT_MS, request->is_last_word ? LAST_WORD_MS : 0L);
	if (s3->ca) {
		struct curl_blob blob = {s3->ca, s3->ca_len, CURL_BLOB_NOCOPY};
		SET(CURLOPT_CAINFO_BLOB, &blob);
	}
	return 0;
}

static int set_body(CURL *easy, struct exchange *exchange)
{
	const struct s3_request *request = exchange->request;

	SET(CURLOPT_CUSTOMREQUEST, request->method);
	SET(CURLOPT_NOBODY, strcmp(request->method, "HEAD") == 0 ? 1L : 0L);
	if (request->len || strcmp(request->method, "PUT") == 0 ||
	    strcmp(request->method, "POST") == 0) {
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->len);
		SET(CURLOPT_READFUNCTION, on_upload);
		SET(CURLOPT_READDATA, exchange);
		SET(CURLOPT_SEEKFUNCTION, on_seek);
		SET(CURLOPT_SEEKDATA, exchange);
	}
	return 0;
}

static int set_up(CURL *easy, struct exchange *exchange, const struct head *head)
{
	const struct s3_request *request = exchange->request;
	char url[TARGET_MAX + 600];

	int len = snprintf(url, sizeof(url), "%s%s%s%s", exchange->s3->url, head->path,
	    request->query ? "?" : "", request->query ? request->query : "");
	if (len >= (int)sizeof(url))
		return -1;
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_HTTPHEADER, head->lines);
	SET(CURLOPT_ERRORBUFFER, exchange->why);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, exchange);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, exchange);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, exchange);
	if (set_limits(easy, exchange->s3, request) != 0)
		return -1;
	return set_body(easy, exchange);
}

/* ---- the answer ---- */

/* Of a try that came to no answer, or not to its end. */
static int judge_failure(const struct exchange *exchange, CURLcode code)
{
	struct transfer *transfer = exchange->transfer;
	const char *why = exchange->why[0] ? exchange->why : curl_easy_strerror(code);

	switch (code) {
	case CURLE_ABORTED_BY_CALLBACK:
		if (!exchange->is_stalled)
			return transfer_fail(transfer, STORE_CANCELLED, "cancelled");
		transfer_fail(transfer, STORE_UNAVAILABLE,
		    "the storage sent and took nothing for %" PRIu64 " s",
		    exchange->s3->settings->stall_s);
		return 1;
	case CURLE_WRITE_ERROR:
		return exchange->has_refused ? -1
					     : transfer_fail(transfer, STORE_UNAVAILABLE,
						   "the storage answers with more than it should");
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		return transfer_fail(transfer, STORE_UNAVAILABLE,
		    "the storage's certificate is not trusted (MULTICLAW_STORE_S3_CA_FILE): %s",
		    why);
	case CURLE_PARTIAL_FILE:
		transfer_fail(transfer,
		    exchange->request->goes_to_pipe ? STORE_DAMAGED : STORE_UNAVAILABLE,
		    "it is shorter than the storage said: %s", why);
		return 1;
	default:
		transfer_fail(transfer, STORE_UNAVAILABLE, "the storage does not answer: %s", why);
		return 1;
	}
}

/* An answer without a body has not been looked at yet. */
static int judge(struct exchange *exchange)
{
	struct s3_answer *answer = exchange->answer;
	curl_off_t length = -1;
	int status = s3_judge_answer(exchange->transfer, exchange->request, answer);

	if (status != 0 || !exchange->request->goes_to_pipe || exchange->has_begun)
		return status;
	curl_easy_getinfo(exchange->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	return s3_judge_head(exchange->transfer, exchange->request, answer, answer->status, length);
}

static int perform(struct exchange *exchange, CURL *easy)
{
	curl_off_t length = -1;
	CURLcode code = curl_easy_perform(easy);

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &exchange->answer->status);
	/* a service that refuses may close before it has read everything, and its reasons may be longer than we care to read */
	bool is_refused = exchange->answer->status >= 300 &&
			  (code == CURLE_SEND_ERROR || code == CURLE_WRITE_ERROR);
	if (code != CURLE_OK && !is_refused)
		return judge_failure(exchange, code);
	curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	if (length >= 0 && !exchange->request->goes_to_pipe)
		exchange->answer->length = (uint64_t)length;
	return judge(exchange);
}

int s3_try(struct s3 *s3, struct transfer *transfer, const struct s3_request *request,
    struct s3_answer *answer_r)
{
	struct exchange exchange = {
	    .s3 = s3, .transfer = transfer, .request = request, .answer = answer_r};
	struct head head = {.nheaders = 0};
	int status = -1;

	*answer_r = (struct s3_answer){.status = 0};
	if (!request->is_last_word && transfer_check(transfer) != 0)
		return -1;
	CURL *easy = take_handle(s3);
	exchange.easy = easy;
	exchange.moved_at_ms = clock_boot_ms();
	if (make_head(s3, request, &head) != 0 || set_up(easy, &exchange, &head) != 0)
		transfer_fail(transfer, STORE_UNAVAILABLE, "a request cannot be made");
	else
		status = perform(&exchange, easy);
	curl_slist_free_all(head.lines);
	give_back_handle(s3, easy);
	return status;
}

int s3_wait(const struct s3 *s3, struct transfer *transfer, unsigned n)
{
	unsigned most = n < 5 ? PAUSE_MS << n : PAUSE_MAX_MS;

	if (n + 1 >= s3->settings->tries)
		return -1;
	atomic_fetch_add(&transfer->retries, 1);
	/* by chance: all that failed together do not come back together */
	return transfer_pause(transfer, most / 4 + randombytes_uniform(most));
}

int s3_call(struct s3 *s3, struct transfer *transfer, const struct s3_request *request,
    struct s3_answer *answer_r)
{
	for (unsigned n = 0;; n++) {
		int status = s3_try(s3, transfer, request, answer_r);
		if (status <= 0)
			return status;
		if (s3_wait(s3, transfer, n) != 0)
			return -1;
		s3_answer_clear(answer_r);
	}
}

void s3_answer_clear(struct s3_answer *answer)
{
	free(answer->body);
	*answer = (struct s3_answer){.status = 0};
}
