#include "services/snapshot-store/s3_upload.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/scoped.h"
#include "services/snapshot-store/s3_sign.h"
#include "services/snapshot-store/s3_xml.h"

#define SMALL (256u * 1024)
#define PART (16u << 20)
#define PARTS_MAX 10000 /* of one upload, in every service */
#define ID_MAX 1024

/* A part on its way; the same memory for all of an object's. */
struct part {
	char *bytes;
	size_t len, room;
	bool is_last, has_turn;
};

struct upload {
	char *id; /* encoded, for queries */
	unsigned parts;
	uint64_t bytes;
	char *list; /* of the parts, for the end */
	size_t list_len;
	FILE *out;
};

/* ---- memory: small objects always have theirs, large ones wait their turn ---- */

static int take_turn(struct s3 *s3, struct transfer *transfer)
{
	for (;;) {
		pthread_mutex_lock(&s3->mutex);
		bool is_free = s3->uploads < s3->settings->uploads;
		s3->uploads += is_free;
		pthread_mutex_unlock(&s3->mutex);
		if (is_free)
			return 0;
		if (transfer_pause(transfer, 50) != 0)
			return -1;
	}
}

static void end_turn(struct s3 *s3)
{
	pthread_mutex_lock(&s3->mutex);
	s3->uploads--;
	pthread_mutex_unlock(&s3->mutex);
}

static void make_room(struct part *part, size_t room)
{
	char *bytes = realloc(part->bytes, room);

	bug_if(!bytes);
	part->bytes = bytes;
	part->room = room;
}

static int fill_part(struct transfer *transfer, struct part *part)
{
	ssize_t len = transfer_read(transfer, part->bytes + part->len, part->room - part->len);

	if (len < 0)
		return -1;
	part->len += (size_t)len;
	part->is_last = part->len < part->room;
	return 0;
}

static int fill_first(struct s3 *s3, struct transfer *transfer, struct part *part)
{
	make_room(part, SMALL);
	if (fill_part(transfer, part) != 0 || part->is_last)
		return part->is_last ? 0 : -1;
	if (take_turn(s3, transfer) != 0)
		return -1;
	part->has_turn = true;
	make_room(part, PART);
	return fill_part(transfer, part);
}

/* ---- the upload ---- */

static int begin(struct s3 *s3, struct transfer *transfer, struct upload *upload)
{
	const struct s3_request request = {
	    .method = "POST", .key = transfer->key, .query = "uploads="};
	char id[ID_MAX + 1] = "";
	struct s3_answer answer;

	if (s3_call(s3, transfer, &request, &answer) == 0)
		s3_xml_find(answer.body ? answer.body : "", answer.len,
		    "InitiateMultipartUploadResult/UploadId", id, sizeof(id));
	else
		return s3_answer_clear(&answer), -1;
	s3_answer_clear(&answer);
	if (!id[0] || strlen(id) == ID_MAX)
		return transfer_fail(
		    transfer, STORE_UNAVAILABLE, "the storage begins no multipart upload");
	upload->id = s3_sign_encode(id);
	upload->out = open_memstream(&upload->list, &upload->list_len);
	bug_if(!upload->out);
	fputs("<CompleteMultipartUpload>", upload->out);
	return 0;
}

/* Quotes and letters are what an ETag is made of; anything else would be XML. */
static bool is_etag(const char *etag)
{
	return etag[0] && !strpbrk(etag, "<>&");
}

static int send_part(
    struct s3 *s3, struct transfer *transfer, struct upload *upload, const struct part *part)
{
	scoped_free char *query = NULL;
	struct s3_answer answer;

	if (upload->parts == PARTS_MAX)
		return transfer_fail(transfer, STORE_TOO_LARGE,
		    "it is larger than a multipart upload can be (%u parts of %u MiB)", PARTS_MAX,
		    PART >> 20);
	int len = asprintf(&query, "partNumber=%u&uploadId=%s", ++upload->parts, upload->id);
	bug_if(len < 0);
	const struct s3_request request = {.method = "PUT",
	    .key = transfer->key,
	    .query = query,
	    .body = part->bytes,
	    .len = part->len};
	int status = s3_call(s3, transfer, &request, &answer);
	if (status == 0 && !is_etag(answer.etag))
		status = transfer_fail(
		    transfer, STORE_UNAVAILABLE, "the storage does not confirm a part");
	if (status == 0)
		fprintf(upload->out, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>",
		    upload->parts, answer.etag);
	s3_answer_clear(&answer);
	upload->bytes += part->len;
	return status;
}

/* The answer to the end may be lost, and then the upload is known no more: the object tells. */
static int look_for_object(struct s3 *s3, struct transfer *transfer, const struct upload *upload)
{
	const struct s3_request request = {.method = "HEAD", .key = transfer->key};
	struct s3_answer answer;
	int status = s3_call(s3, transfer, &request, &answer);

	if (status == 0 && answer.length != upload->bytes)
		status = transfer_fail(
		    transfer, STORE_UNAVAILABLE, "the storage has lost the multipart upload");
	s3_answer_clear(&answer);
	return status;
}

static int finish(struct s3 *s3, struct transfer *transfer, struct upload *upload)
{
	scoped_free char *query = NULL;
	struct s3_answer answer;

	fputs("</CompleteMultipartUpload>", upload->out);
	bug_if(fflush(upload->out) != 0);
	int len = asprintf(&query, "uploadId=%s", upload->id);
	bug_if(len < 0);
	const struct s3_request request = {.method = "POST",
	    .key = transfer->key,
	    .query = query,
	    .body = upload->list,
	    .len = upload->list_len};
	int status = s3_call(s3, transfer, &request, &answer);
	s3_answer_clear(&answer);
	if (status != 0 && transfer->failure == STORE_NOT_FOUND)
		return look_for_object(s3, transfer, upload);
	return status;
}

static void abort_encoded(struct s3 *s3, struct transfer *transfer, const char *key, const char *id)
{
	scoped_free char *query = NULL;
	const struct transfer before = {.failure = transfer->failure};
	char text[sizeof(transfer->text)];
	struct s3_answer answer;

	int len = asprintf(&query, "uploadId=%s", id);
	bug_if(len < 0);
	memcpy(text, transfer->text, sizeof(text));
	const struct s3_request request = {
	    .method = "DELETE", .key = key, .query = query, .is_last_word = true};
	for (int i = 0; i < 2; i++) {
		int status = s3_try(s3, transfer, &request, &answer);
		s3_answer_clear(&answer);
		if (status <= 0)
			break;
	}
	transfer->failure = before.failure;
	memcpy(transfer->text, text, sizeof(text));
}

void s3_upload_abort(struct s3 *s3, struct transfer *transfer, const char *key, const char *id)
{
	scoped_free char *encoded = s3_sign_encode(id);

	abort_encoded(s3, transfer, key, encoded);
}

static int send_parts(struct s3 *s3, struct transfer *transfer, struct part *part)
{
	struct upload upload = {.parts = 0};
	int status = begin(s3, transfer, &upload);

	while (status == 0) {
		status = send_part(s3, transfer, &upload, part);
		if (status != 0 || part->is_last)
			break;
		part->len = 0;
		status = fill_part(transfer, part);
		if (status == 0 && part->len == 0)
			break;
	}
	if (status == 0)
		status = transfer_check(transfer);
	if (status == 0)
		status = finish(s3, transfer, &upload);
	if (status != 0 && upload.id)
		abort_encoded(s3, transfer, transfer->key, upload.id);
	if (upload.out)
		fclose(upload.out);
	free(upload.list);
	free(upload.id);
	return status;
}

static int send_whole(struct s3 *s3, struct transfer *transfer, const struct part *part)
{
	const struct s3_request request = {
	    .method = "PUT", .key = transfer->key, .body = part->bytes, .len = part->len};
	struct s3_answer answer;
	int status = s3_call(s3, transfer, &request, &answer);

	s3_answer_clear(&answer);
	return status;
}

int s3_upload(struct s3 *s3, struct transfer *transfer)
{
	struct part part = {.bytes = NULL};
	int status = fill_first(s3, transfer, &part);

	if (status == 0)
		status = part.is_last ? send_whole(s3, transfer, &part)
				      : send_parts(s3, transfer, &part);
	free(part.bytes);
	if (part.has_turn)
		end_turn(s3);
	return status;
}
