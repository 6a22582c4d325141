/* archive_out - an archive as it is written: pax tar, zstd, sealed (sealed.h), into a pipe. */
#ifndef PACKER_ARCHIVE_OUT_H
#define PACKER_ARCHIVE_OUT_H

#include <archive_entry.h>
#include <stdint.h>

#include "services/packer/sealed.h"

#define ARCHIVE_WINDOW_LOG 23 /* of zstd: what an archive asks of who unpacks it, at most 8 MiB */

struct archive_out;
/* Takes the key out of *archive. Caller owns the result; NULL with err. */
struct archive_out *archive_out_new(
    int fd, const char *agent, struct warden_archive *archive, int level, struct error *err);
void archive_out_destroy(struct archive_out **out);

/* Then as many bytes as the entry's size, holes as zeros: those are not read. ERR_UNAVAILABLE: the pipe is gone. */
int archive_out_entry(struct archive_out *out, struct archive_entry *entry, struct error *err);
int archive_out_bytes(struct archive_out *out, const void *bytes, size_t len, struct error *err);
int archive_out_finish(
    struct archive_out *out, uint8_t digest_r[SEALED_DIGEST], uint64_t *len_r, struct error *err);

#endif
