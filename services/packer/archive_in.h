/* archive_in - an archive as it is read: from a pipe, opened (sealed.h), unfolded by zstd with a small window, as tar and as nothing else. */
#ifndef PACKER_ARCHIVE_IN_H
#define PACKER_ARCHIVE_IN_H

#include <archive_entry.h>
#include <stdint.h>

#include "services/packer/sealed.h"

struct archive_in;
/* Takes the key out of *archive. Caller owns the result; NULL with err. */
struct archive_in *archive_in_new(
    int fd, const char *agent, struct warden_archive *archive, struct error *err);
void archive_in_destroy(struct archive_in **in);

/* 1: the next entry, borrowed until the next call. 0: the end, and the stream ended where it should. -1: ERR_INVALID: the archive is damaged; ERR_UNAVAILABLE: the pipe is. */
int archive_in_entry(struct archive_in *in, struct archive_entry **entry_r, struct error *err);
/* 1: a piece of the entry's data, borrowed until the next call; 0: it has no more; -1 as above. */
int archive_in_bytes(struct archive_in *in, const void **bytes_r, size_t *len_r, int64_t *offset_r,
    struct error *err);
/* After the end. */
void archive_in_digest(struct archive_in *in, uint8_t digest_r[SEALED_DIGEST], uint64_t *len_r);

#endif
