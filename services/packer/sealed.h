/* sealed - the outermost layer of an archive: libsodium's secretstream (XChaCha20-Poly1305), in chunks of SEALED_CHUNK bytes.
 *
 * On the wire: the stream's header (24 bytes), then chunks, each SEALED_CHUNK bytes and 17 more; the last one alone may be shorter, and alone has TAG_FINAL. The additional
 * data of the first chunk names what the archive belongs to (agent, wallet, period, number, boot), so it opens for nothing else; each chunk's place is bound by
 * the stream itself. What lacks the last chunk, or has anything after it, is damaged.
 */
#ifndef PACKER_SEALED_H
#define PACKER_SEALED_H

#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "proto/packer.h"

#define SEALED_CHUNK 65536
#define SEALED_DIGEST 32 /* bytes: BLAKE2b-256 of all that is on the wire */

/* Both take the key's bytes out of *archive and wipe them there. fd stays the caller's. Caller owns the result; never NULL. */
struct sealed_writer;
struct sealed_writer *sealed_writer_new(int fd, const char *agent, struct warden_archive *archive);
void sealed_writer_destroy(struct sealed_writer **writer);
/* ERR_UNAVAILABLE: who reads the pipe is gone. */
int sealed_write(struct sealed_writer *writer, const void *bytes, size_t len, struct error *err);
/* The last chunk; without it the archive is none. */
int sealed_finish(struct sealed_writer *writer, uint8_t digest_r[SEALED_DIGEST], uint64_t *len_r,
    struct error *err);

struct sealed_reader;
struct sealed_reader *sealed_reader_new(int fd, const char *agent, struct warden_archive *archive);
void sealed_reader_destroy(struct sealed_reader **reader);
/* The next chunk, borrowed until the next call: its length; 0: the end, and all was as it should be; -1: ERR_INVALID: damaged, another's, cut off. ERR_UNAVAILABLE: the pipe failed. */
ssize_t sealed_read(struct sealed_reader *reader, const uint8_t **bytes_r, struct error *err);
/* After the end. */
void sealed_digest(struct sealed_reader *reader, uint8_t digest_r[SEALED_DIGEST], uint64_t *len_r);

#endif
