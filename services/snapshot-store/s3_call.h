/* s3_call - one request to an S3-compatible service: signed, sent, tried again while the service has trouble, its answer judged. */
#ifndef SNAPSHOT_STORE_S3_CALL_H
#define SNAPSHOT_STORE_S3_CALL_H

#include <curl/curl.h>
#include <pthread.h>

#include "common/secret.h"
#include "services/snapshot-store/storage.h"

#define S3_IDLE_MAX 8

/* Where the service is, and as whom we speak to it. Shared by all threads. */
struct s3 {
	struct storage storage;
	const struct store_settings *settings;
	char url[340];  /* "https://host", without what begins path */
	char host[320]; /* as the Host header says it */
	char path[80];  /* "/bucket", or "" with style virtual */
	struct secret *key_id, *secret_key;
	char *ca;
	size_t ca_len;
	pthread_mutex_t mutex;   /* of what follows */
	CURL *idle[S3_IDLE_MAX]; /* with a connection each */
	size_t nidle;
	uint64_t uploads;
};

struct s3_request {
	const char *method;
	const char *key;   /* NULL: the bucket */
	const char *query; /* as s3_sign wants it; NULL: none */
	const void *body;
	size_t len;
	uint64_t from; /* what of it was got already; with etag of what that was of */
	const char *etag;
	bool goes_to_pipe; /* the answer's body */
	bool is_last_word; /* clearing up: goes on though cancelled, and not for long */
};
struct s3_answer {
	long status; /* 0: none came */
	char code[64], etag[128], date[64], range[96];
	uint64_t length; /* of the whole object */
	char *body;
	size_t len;
};

/* One try. 0: 2xx. -1: no. 1: no, and another try may do better. After both *transfer says why. *answer_r is wiped by s3_answer_clear. */
int s3_try(struct s3 *s3, struct transfer *transfer, const struct s3_request *request,
    struct s3_answer *answer_r);
/* Waits before try number n (from 0); -1: cancelled, or there have been enough. */
int s3_wait(const struct s3 *s3, struct transfer *transfer, unsigned n);
/* Both until it is settled. */
int s3_call(struct s3 *s3, struct transfer *transfer, const struct s3_request *request,
    struct s3_answer *answer_r);
void s3_answer_clear(struct s3_answer *answer);

#endif
