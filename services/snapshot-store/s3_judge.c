#include "services/snapshot-store/s3_judge.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "services/snapshot-store/s3_xml.h"

static bool is_one_of(const char *code, const char *const *codes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(code, codes[i]) == 0)
			return true;
	return false;
}
#define IS_ONE_OF(code, codes) is_one_of(code, codes, ARRAY_LEN(codes))

/* Whatever their status: services do not agree on it. */
static const char *const full[] = {"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded",
    "QuotaExceeded", "InsufficientStorage", "InsufficientCapacity", "StorageFull"};
static const char *const passing[] = {"InternalError", "SlowDown", "ServiceUnavailable",
    "RequestTimeout", "BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody",
    "OperationAborted", "TooManyRequests", "Busy"};

/* An answer of 200 to the end of a multipart upload may be an error all the same. */
static bool is_error(const struct s3_answer *answer)
{
	return answer->code[0];
}

static int refuse(struct transfer *transfer, const struct s3_answer *answer,
    enum store_failure failure, const char *what)
{
	return transfer_fail(transfer, failure, "%s (%ld%s%s)", what, answer->status,
	    answer->code[0] ? " " : "", answer->code);
}

static int refuse_clock(struct transfer *transfer, const struct s3_answer *answer)
{
	time_t there = curl_getdate(answer->date, NULL);
	int64_t apart = (int64_t)(clock_unix_ms() / 1000) - (int64_t)there;

	if (there < 0)
		return refuse(transfer, answer, STORE_DENIED,
		    "the clocks of this machine and of the storage differ too much");
	return transfer_fail(transfer, STORE_DENIED,
	    "the clock of this machine is %" PRId64
	    " s %s that of the storage: set it right (%ld %s)",
	    apart < 0 ? -apart : apart, apart < 0 ? "behind" : "ahead of", answer->status,
	    answer->code);
}

static int refuse_missing(struct transfer *transfer, const struct s3_answer *answer)
{
	/* anything else at that address may say 404, and must not make a snapshot look lost */
	if (strcmp(answer->code, "NoSuchKey") == 0 || strcmp(answer->code, "NoSuchUpload") == 0)
		return refuse(transfer, answer, STORE_NOT_FOUND, "there is no such object");
	return refuse(transfer, answer, STORE_UNAVAILABLE,
	    "the storage knows no such place: look at endpoint, style and bucket");
}

static int judge_status(struct transfer *transfer, const struct s3_answer *answer)
{
	switch (answer->status) {
	case 401:
	case 403:
		return refuse(transfer, answer, STORE_DENIED, "the storage denies it");
	case 404:
		return refuse_missing(transfer, answer);
	case 412:
		return refuse(transfer, answer, STORE_DAMAGED, "it was replaced meanwhile");
	case 413:
		return refuse(transfer, answer, STORE_TOO_LARGE, "it is too large for the storage");
	case 408:
	case 429:
	case 500:
	case 502:
	case 503:
	case 504:
		refuse(transfer, answer, STORE_UNAVAILABLE, "the storage has trouble");
		return 1;
	case 507:
		return refuse(transfer, answer, STORE_FULL, "the storage is full");
	default:
		return refuse(transfer, answer, STORE_UNAVAILABLE,
		    answer->status / 100 == 3 ? "the storage sends us elsewhere, where we do not "
						"go: look at endpoint and region"
					      : "the storage refuses it");
	}
}

/* It is shown to people. */
static void make_plain(char *code)
{
	for (; *code; code++)
		if (!isalnum((unsigned char)*code))
			*code = '?';
}

int s3_judge_answer(
    struct transfer *transfer, const struct s3_request *request, struct s3_answer *answer)
{
	if (!request->goes_to_pipe || answer->status / 100 != 2)
		s3_xml_find(answer->body ? answer->body : "", answer->len, "Error/Code",
		    answer->code, sizeof(answer->code));
	make_plain(answer->code);
	if (answer->status / 100 == 2 && !is_error(answer))
		return 0;
	if (IS_ONE_OF(answer->code, full))
		return refuse(transfer, answer, STORE_FULL, "the storage is full");
	if (strcmp(answer->code, "RequestTimeTooSkewed") == 0)
		return refuse_clock(transfer, answer);
	if (strcmp(answer->code, "EntityTooLarge") == 0)
		return refuse(transfer, answer, STORE_TOO_LARGE, "it is too large for the storage");
	if (IS_ONE_OF(answer->code, passing)) {
		refuse(transfer, answer, STORE_UNAVAILABLE, "the storage has trouble");
		return 1;
	}
	return judge_status(transfer, answer);
}

/* The number at *text, which end follows; *text is then behind it. */
static bool take_number(const char **text, char end, uint64_t *number_r)
{
	char *behind;

	errno = 0;
	*number_r = strtoull(*text, &behind, 10);
	if (!isdigit((unsigned char)**text) || errno != 0 || *behind != end)
		return false;
	*text = behind + (end != '\0');
	return true;
}

/* "bytes 5-9/10" */
static bool continues(const struct s3_request *request, struct s3_answer *answer)
{
	static const char unit[] = "bytes ";
	const char *text = answer->range + sizeof(unit) - 1;
	uint64_t first, last;

	return strncmp(answer->range, unit, sizeof(unit) - 1) == 0 &&
	       take_number(&text, '-', &first) && take_number(&text, '/', &last) &&
	       take_number(&text, '\0', &answer->length) && first == request->from &&
	       last + 1 == answer->length && strcmp(answer->etag, request->etag) == 0;
}

int s3_judge_head(struct transfer *transfer, const struct s3_request *request,
    struct s3_answer *answer, long status, int64_t length)
{
	if (request->from) {
		if (status == 206 && continues(request, answer))
			return 0;
		return transfer_fail(transfer, STORE_UNAVAILABLE,
		    "the storage broke off, and does not go on from there (%ld)", status);
	}
	if (status != 200 || length < 0)
		return transfer_fail(transfer, STORE_UNAVAILABLE,
		    "the storage does not say how long it is (%ld)", status);
	answer->length = (uint64_t)length;
	if (answer->length <= transfer->bytes_max)
		return 0;
	return transfer_fail(transfer, STORE_TOO_LARGE,
	    "it has %" PRIu64 " bytes, more than %" PRIu64, answer->length, transfer->bytes_max);
}
