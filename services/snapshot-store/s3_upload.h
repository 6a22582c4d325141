/* s3_upload - PUT to an S3-compatible service: what fits one part in one request, more as a multipart upload. */
#ifndef SNAPSHOT_STORE_S3_UPLOAD_H
#define SNAPSHOT_STORE_S3_UPLOAD_H

#include "services/snapshot-store/s3_call.h"

int s3_upload(struct s3 *s3, struct transfer *transfer);
/* Gives up an interrupted upload; says nothing to who asked. */
void s3_upload_abort(struct s3 *s3, struct transfer *transfer, const char *key, const char *id);

#endif
