/* Objects are those of a bucket, under their keys. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/origin.h"
#include "common/scoped.h"
#include "proto/store_key.h"
#include "services/snapshot-store/s3_call.h"
#include "services/snapshot-store/s3_sign.h"
#include "services/snapshot-store/s3_upload.h"
#include "services/snapshot-store/s3_xml.h"

#define KEY_ID_MAX 256
#define SECRET_MAX 256
#define CA_MAX (1 << 20)
#define PAGES_MAX 10000
#define PROGRESS_ENOUGH (1u << 20) /* a try that moved so much is followed by a first one */

static struct s3 *s3_of(struct storage *storage)
{
	union {
		struct storage *storage;
		struct s3 *s3;
	} of = {storage};
	return of.s3;
}

static int put(struct storage *storage, struct transfer *transfer)
{
	return s3_upload(s3_of(storage), transfer);
}

/* ---- GET, which goes on where it was broken off ---- */

static int get(struct storage *storage, struct transfer *transfer)
{
	struct s3 *s3 = s3_of(storage);
	char etag[sizeof(((struct s3_answer *)0)->etag)] = "";

	for (unsigned n = 0;;) {
		uint64_t from = atomic_load(&transfer->bytes);
		const struct s3_request request = {.method = "GET",
		    .key = transfer->key,
		    .from = from,
		    .etag = etag,
		    .goes_to_pipe = true};
		struct s3_answer answer;
		int status = s3_try(s3, transfer, &request, &answer);
		/* (a weak one, of some proxy, names no bytes) */
		if (from == 0 && strncmp(answer.etag, "W/", 2) != 0)
			memcpy(etag, answer.etag, sizeof(etag));
		s3_answer_clear(&answer);
		uint64_t moved = atomic_load(&transfer->bytes) - from;
		/* without a name for what it was, the rest could be another object's */
		if (status <= 0 || (from + moved > 0 && !etag[0]))
			return status == 0 ? 0 : -1;
		n = moved >= PROGRESS_ENOUGH ? 0 : n;
		if (s3_wait(s3, transfer, n++) != 0)
			return -1;
	}
}

/* ---- DELETE ---- */

static int remove_key(struct s3 *s3, struct transfer *transfer, const char *key)
{
	const struct s3_request request = {.method = "DELETE", .key = key};
	struct s3_answer answer;
	int status = s3_call(s3, transfer, &request, &answer);

	s3_answer_clear(&answer);
	return status != 0 && transfer->failure == STORE_NOT_FOUND ? 0 : status;
}

static int delete (struct storage *storage, struct transfer *transfer)
{
	return remove_key(s3_of(storage), transfer, transfer->key);
}

/* ---- SWEEP ---- */

struct page {
	struct s3 *s3;
	struct transfer *transfer;
	bool is_of_uploads, is_cut, has_failed;
	size_t n;
	char (*keys)[STORE_KEY_MAX + 1];
	char **ids; /* of uploads */
	char key[STORE_KEY_MAX + 1];
	char *id;             /* with key, of the upload that is being read */
	char *next, *next_id; /* where the next page begins */
};

static void replace(char **text, const char *by)
{
	free(*text);
	*text = strdup(by);
	bug_if(!*text);
}

/* Nothing is removed that was not asked for, whatever the service lists. */
static int keep_key(struct page *page, const char *key)
{
	size_t len = strlen(key), folder = strlen(page->transfer->key);

	if (strncmp(key, page->transfer->key, folder) != 0 || !store_key_is_good(key, len, false))
		return transfer_fail(page->transfer, STORE_UNAVAILABLE,
		    "the storage lists what is not a snapshot of that folder");
	memcpy(page->key, key, len + 1);
	return 0;
}

static void add(struct page *page)
{
	page->keys = realloc(page->keys, (page->n + 1) * sizeof(*page->keys));
	page->ids = realloc(page->ids, (page->n + 1) * sizeof(*page->ids));
	bug_if(!page->keys || !page->ids);
	memcpy(page->keys[page->n], page->key, sizeof(page->key));
	page->ids[page->n++] = strdup(page->id);
	bug_if(!page->ids[page->n - 1]);
	page->key[0] = '\0';
	replace(&page->id, "");
}

static int on_object(void *arg, const char *path, const char *text)
{
	struct page *page = arg;

	if (strcmp(path, "ListBucketResult/IsTruncated") == 0)
		page->is_cut = strcmp(text, "true") == 0;
	else if (strcmp(path, "ListBucketResult/NextContinuationToken") == 0)
		replace(&page->next, text);
	if (strcmp(path, "ListBucketResult/Contents/Key") != 0)
		return 0;
	if (keep_key(page, text) != 0)
		return page->has_failed = true, -1;
	add(page);
	return 0;
}

static int on_upload(void *arg, const char *path, const char *text)
{
	struct page *page = arg;

	if (strcmp(path, "ListMultipartUploadsResult/IsTruncated") == 0)
		page->is_cut = strcmp(text, "true") == 0;
	else if (strcmp(path, "ListMultipartUploadsResult/NextKeyMarker") == 0)
		replace(&page->next, text);
	else if (strcmp(path, "ListMultipartUploadsResult/NextUploadIdMarker") == 0)
		replace(&page->next_id, text);
	else if (strcmp(path, "ListMultipartUploadsResult/Upload/UploadId") == 0)
		replace(&page->id, text);
	else if (strcmp(path, "ListMultipartUploadsResult/Upload/Key") == 0 &&
		 keep_key(page, text) != 0)
		return page->has_failed = true, -1;
	if (page->key[0] && page->id[0])
		add(page);
	return 0;
}

static char *query_of(const struct page *page)
{
	scoped_free char *prefix = s3_sign_encode(page->transfer->key);
	scoped_free char *next = s3_sign_encode(page->next);
	scoped_free char *next_id = s3_sign_encode(page->next_id);
	char *query = NULL;
	int len;

	if (!page->is_of_uploads)
		len = asprintf(&query, "%s%s%slist-type=2&prefix=%s",
		    *next ? "continuation-token=" : "", next, *next ? "&" : "", prefix);
	else if (*next)
		len = asprintf(&query, "key-marker=%s&prefix=%s&upload-id-marker=%s&uploads=", next,
		    prefix, next_id);
	else
		len = asprintf(&query, "prefix=%s&uploads=", prefix);
	bug_if(len < 0);
	return query;
}

static int remove_page(struct page *page)
{
	for (size_t i = 0; i < page->n; i++) {
		if (page->is_of_uploads) {
			s3_upload_abort(page->s3, page->transfer, page->keys[i], page->ids[i]);
			if (transfer_check(page->transfer) != 0)
				return -1;
			continue;
		}
		if (remove_key(page->s3, page->transfer, page->keys[i]) != 0)
			return -1;
		atomic_fetch_add(&page->transfer->bytes, 1);
	}
	return 0;
}

static void empty_page(struct page *page)
{
	for (size_t i = 0; i < page->n; i++)
		free(page->ids[i]);
	page->n = 0;
	page->is_cut = false;
}

static int read_page(struct page *page)
{
	scoped_free char *query = query_of(page);
	const struct s3_request request = {.method = "GET", .query = query};
	struct s3_answer answer;
	int status = s3_call(page->s3, page->transfer, &request, &answer);

	empty_page(page);
	if (status == 0 && s3_xml_read(answer.body ? answer.body : "", answer.len,
			       page->is_of_uploads ? on_upload : on_object, page) != 0)
		status = page->has_failed ? -1
					  : transfer_fail(page->transfer, STORE_UNAVAILABLE,
						"the storage's list of objects cannot be read");
	else if (status != 0 && page->is_of_uploads &&
		 (answer.status == 501 || answer.status == 405 || answer.status == 400))
		status = 0; /* it knows no such list */
	s3_answer_clear(&answer);
	return status;
}

static int sweep_all(struct s3 *s3, struct transfer *transfer, bool is_of_uploads)
{
	struct page page = {.s3 = s3, .transfer = transfer, .is_of_uploads = is_of_uploads};
	int status, pages = 0;

	replace(&page.next, "");
	replace(&page.next_id, "");
	replace(&page.id, "");
	do {
		status = read_page(&page);
		if (status == 0)
			status = remove_page(&page);
	} while (status == 0 && page.is_cut && page.next[0] && ++pages < PAGES_MAX);
	if (status == 0 && page.is_cut)
		status = transfer_fail(
		    transfer, STORE_UNAVAILABLE, "the storage's list of objects does not end");
	empty_page(&page);
	free(page.keys);
	free(page.ids);
	free(page.id);
	free(page.next);
	free(page.next_id);
	return status;
}

/* Uploads first: one that ends meanwhile is found among the objects. */
static int sweep(struct storage *storage, struct transfer *transfer)
{
	struct s3 *s3 = s3_of(storage);

	return sweep_all(s3, transfer, true) == 0 ? sweep_all(s3, transfer, false) : -1;
}

/* ---- opened and closed ---- */

static int ready(struct storage *storage, struct error *err)
{
	(void)storage, (void)err;
	return 0;
}

static void destroy(struct storage *storage)
{
	struct s3 *s3 = s3_of(storage);

	while (s3->nidle)
		curl_easy_cleanup(s3->idle[--s3->nidle]);
	secret_destroy(&s3->key_id);
	secret_destroy(&s3->secret_key);
	pthread_mutex_destroy(&s3->mutex);
	free(s3->ca);
	free(s3);
	curl_global_cleanup();
}

static struct secret *read_key(const char *setting, const char *path, size_t max, struct error *err)
{
	struct error why = {0};
	struct secret *key = secret_read_file(path, max, &why);

	if (!key)
		error_set(err, why.code, "MULTICLAW_STORE_S3_%s_FILE: %s", setting, why.text);
	return key;
}

/* It goes into a header, as it is. */
static int check_key_id(const struct s3 *s3, struct error *err)
{
	const uint8_t *bytes = secret_bytes(s3->key_id);

	for (size_t i = 0; i < secret_len(s3->key_id); i++)
		if (bytes[i] <= ' ' || bytes[i] >= 127 || bytes[i] == '/' || bytes[i] == ',')
			return error_set(err, ERR_INVALID,
			    "MULTICLAW_STORE_S3_KEY_ID_FILE %s: it must hold the id alone, in one "
			    "line",
			    s3->settings->key_id_file);
	return 0;
}

/* Now, because later it may be out of reach. */
static int read_ca(struct s3 *s3, struct error *err)
{
	const char *path = s3->settings->ca_file;
	struct stat about;

	if (!path[0])
		return 0;
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &about) != 0 || about.st_size < 1 || about.st_size > CA_MAX)
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_STORE_S3_CA_FILE %s: it cannot be read, or is no such file", path);
	s3->ca = malloc((size_t)about.st_size);
	bug_if(!s3->ca);
	ssize_t len = read(fd, s3->ca, (size_t)about.st_size);
	if (len <= 0 || !memmem(s3->ca, (size_t)len, "BEGIN CERTIFICATE", 17))
		return error_set(
		    err, ERR_INVALID, "MULTICLAW_STORE_S3_CA_FILE %s: no certificates", path);
	s3->ca_len = (size_t)len;
	return 0;
}

static void name_places(struct s3 *s3)
{
	bool is_path = strcmp(s3->settings->style, "path") == 0;
	const char *bucket = s3->settings->bucket;
	struct origin origin;

	bug_if(origin_parse(s3->settings->endpoint, &origin, NULL) != 0);
	snprintf(s3->host, sizeof(s3->host), "%s%s%s", is_path ? "" : bucket, is_path ? "" : ".",
	    origin_domain(&origin));
	snprintf(s3->url, sizeof(s3->url), "http%s://%s", origin.is_https ? "s" : "", s3->host);
	snprintf(s3->path, sizeof(s3->path), "%s%s", is_path ? "/" : "", is_path ? bucket : "");
	snprintf(s3->storage.name, sizeof(s3->storage.name), "the bucket %s at %.80s", bucket,
	    origin.text);
}

struct storage *storage_s3_new(const struct store_settings *settings, struct error *err)
{
	static const struct storage_ops ops = {ready, put, get, delete, sweep, destroy};
	struct s3 *s3 = calloc(1, sizeof(*s3));

	bug_if(!s3 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK);
	*s3 = (struct s3){.storage = {.ops = &ops}, .settings = settings};
	bug_if(pthread_mutex_init(&s3->mutex, NULL) != 0);
	name_places(s3);
	s3->key_id = read_key("KEY_ID", settings->key_id_file, KEY_ID_MAX, err);
	if (s3->key_id)
		s3->secret_key = read_key("SECRET_KEY", settings->secret_key_file, SECRET_MAX, err);
	if (!s3->secret_key || check_key_id(s3, err) != 0 || read_ca(s3, err) != 0) {
		destroy(&s3->storage);
		return NULL;
	}
	return &s3->storage;
}
