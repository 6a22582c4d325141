/* s3_judge - what an answer means: done, no, or not now. */
#ifndef SNAPSHOT_STORE_S3_JUDGE_H
#define SNAPSHOT_STORE_S3_JUDGE_H

#include "services/snapshot-store/s3_call.h"

/* Of a whole answer; fills answer->code. 0, -1, 1 as s3_try; 1 and -1 after transfer_fail. */
int s3_judge_answer(
    struct transfer *transfer, const struct s3_request *request, struct s3_answer *answer);
/* Of the head of an object that is to go into the pipe, before its first byte does. length: Content-Length, -1: none. Fills answer->length. 0, or -1 after
 * transfer_fail. */
int s3_judge_head(struct transfer *transfer, const struct s3_request *request,
    struct s3_answer *answer, long status, int64_t length);

#endif
