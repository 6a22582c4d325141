#include "services/packer/sealed.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OVERHEAD crypto_secretstream_xchacha20poly1305_ABYTES
#define HEADER crypto_secretstream_xchacha20poly1305_HEADERBYTES
#define FINAL crypto_secretstream_xchacha20poly1305_TAG_FINAL

#define SEALED_WHAT "multiclaw archive 1"

/* What the first chunk is bound to: texts that end with their NUL, numbers little-endian. */
struct sealed_name {
	uint8_t bytes[sizeof(SEALED_WHAT) + 33 + 45 + 33 + 16];
	size_t len;
};

static void add(struct sealed_name *name, const void *bytes, size_t len)
{
	bug_if(name->len + len > sizeof(name->bytes));
	memcpy(name->bytes + name->len, bytes, len);
	name->len += len;
}

static void add_number(struct sealed_name *name, uint64_t number)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(number >> (8 * i));
	add(name, bytes, sizeof(bytes));
}

static struct sealed_name name_of(const char *agent, const struct warden_archive *archive)
{
	struct sealed_name name = {0};

	add(&name, SEALED_WHAT, sizeof(SEALED_WHAT));
	add(&name, agent, strlen(agent) + 1);
	add(&name, archive->wallet, strlen(archive->wallet) + 1);
	add_number(&name, archive->period);
	add_number(&name, archive->number);
	add(&name, archive->boot, strlen(archive->boot) + 1);
	return name;
}

/* ---- writing ---- */

struct sealed_writer {
	crypto_secretstream_xchacha20poly1305_state stream;
	crypto_generichash_state digest;
	struct sealed_name name;
	int fd;
	bool has_begun;
	uint64_t written;
	size_t len;
	uint8_t header[HEADER];
	uint8_t plain[SEALED_CHUNK], sealed[SEALED_CHUNK + OVERHEAD];
};

struct sealed_writer *sealed_writer_new(int fd, const char *agent, struct warden_archive *archive)
{
	struct sealed_writer *writer = calloc(1, sizeof(*writer));

	bug_if(!writer);
	writer->fd = fd;
	writer->name = name_of(agent, archive);
	crypto_generichash_init(&writer->digest, NULL, 0, SEALED_DIGEST);
	crypto_secretstream_xchacha20poly1305_init_push(
	    &writer->stream, writer->header, archive->key);
	sodium_memzero(archive->key, sizeof(archive->key));
	return writer;
}

void sealed_writer_destroy(struct sealed_writer **writer)
{
	if (*writer)
		sodium_memzero(*writer, sizeof(**writer));
	free(*writer);
	*writer = NULL;
}

static int put(struct sealed_writer *writer, const uint8_t *bytes, size_t len, struct error *err)
{
	crypto_generichash_update(&writer->digest, bytes, len);
	writer->written += len;
	while (len > 0) {
		ssize_t put = write(writer->fd, bytes, len);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return error_set(err, ERR_UNAVAILABLE,
			    "the archive is not taken any more: %s",
			    errno == EPIPE ? "the snapshot store gave up" : strerror(errno));
		bytes += put;
		len -= (size_t)put;
	}
	return 0;
}

static int put_chunk(struct sealed_writer *writer, uint8_t tag, struct error *err)
{
	const uint8_t *bound = writer->has_begun ? NULL : writer->name.bytes;
	unsigned long long len;

	if (!writer->has_begun && put(writer, writer->header, HEADER, err) != 0)
		return -1;
	crypto_secretstream_xchacha20poly1305_push(&writer->stream, writer->sealed, &len,
	    writer->plain, writer->len, bound, bound ? writer->name.len : 0, tag);
	writer->has_begun = true;
	writer->len = 0;
	return put(writer, writer->sealed, (size_t)len, err);
}

int sealed_write(struct sealed_writer *writer, const void *bytes, size_t len, struct error *err)
{
	const uint8_t *at = bytes;

	while (len > 0) {
		/* one that is full waits: it may be the last */
		if (writer->len == SEALED_CHUNK && put_chunk(writer, 0, err) != 0)
			return -1;
		size_t n = SEALED_CHUNK - writer->len < len ? SEALED_CHUNK - writer->len : len;
		memcpy(writer->plain + writer->len, at, n);
		writer->len += n;
		at += n;
		len -= n;
	}
	return 0;
}

int sealed_finish(struct sealed_writer *writer, uint8_t digest_r[SEALED_DIGEST], uint64_t *len_r,
    struct error *err)
{
	if (put_chunk(writer, FINAL, err) != 0)
		return -1;
	crypto_generichash_final(&writer->digest, digest_r, SEALED_DIGEST);
	*len_r = writer->written;
	return 0;
}

/* ---- reading ---- */

struct sealed_reader {
	crypto_secretstream_xchacha20poly1305_state stream;
	crypto_generichash_state digest;
	struct sealed_name name;
	int fd;
	bool has_begun, has_ended;
	uint64_t read;
	uint8_t key[crypto_secretstream_xchacha20poly1305_KEYBYTES];
	uint8_t plain[SEALED_CHUNK], sealed[SEALED_CHUNK + OVERHEAD];
};

struct sealed_reader *sealed_reader_new(int fd, const char *agent, struct warden_archive *archive)
{
	struct sealed_reader *reader = calloc(1, sizeof(*reader));

	bug_if(!reader);
	reader->fd = fd;
	reader->name = name_of(agent, archive);
	memcpy(reader->key, archive->key, sizeof(reader->key));
	sodium_memzero(archive->key, sizeof(archive->key));
	crypto_generichash_init(&reader->digest, NULL, 0, SEALED_DIGEST);
	return reader;
}

void sealed_reader_destroy(struct sealed_reader **reader)
{
	if (*reader)
		sodium_memzero(*reader, sizeof(**reader));
	free(*reader);
	*reader = NULL;
}

/* As many as there are, up to len. */
static ssize_t take(struct sealed_reader *reader, size_t len, struct error *err)
{
	size_t have = 0;

	while (have < len) {
		ssize_t got = read(reader->fd, reader->sealed + have, len - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set(err, ERR_UNAVAILABLE, "the archive cannot be read: %s",
			    strerror(errno));
		if (got == 0)
			break;
		have += (size_t)got;
	}
	crypto_generichash_update(&reader->digest, reader->sealed, have);
	reader->read += have;
	return (ssize_t)have;
}

static int begin(struct sealed_reader *reader, struct error *err)
{
	ssize_t len = take(reader, HEADER, err);

	if (len < 0)
		return -1;
	if (len != HEADER)
		return error_set(err, ERR_INVALID, "the archive is cut off");
	crypto_secretstream_xchacha20poly1305_init_pull(
	    &reader->stream, reader->sealed, reader->key);
	sodium_memzero(reader->key, sizeof(reader->key));
	return 0;
}

static ssize_t check_end(struct sealed_reader *reader, struct error *err)
{
	ssize_t len = take(reader, 1, err);

	if (len > 0)
		return error_set(err, ERR_INVALID, "something follows the archive's end");
	return len;
}

static ssize_t open_chunk(struct sealed_reader *reader, size_t len, struct error *err)
{
	const uint8_t *bound = reader->has_begun ? NULL : reader->name.bytes;
	unsigned long long plain_len;
	uint8_t tag;

	if (len < OVERHEAD)
		return error_set(err, ERR_INVALID, "the archive is cut off");
	if (crypto_secretstream_xchacha20poly1305_pull(&reader->stream, reader->plain, &plain_len,
		&tag, reader->sealed, len, bound, bound ? reader->name.len : 0) != 0)
		return error_set(
		    err, ERR_INVALID, "the archive is damaged, cut off, or not of this snapshot");
	reader->has_begun = true;
	reader->has_ended = tag == FINAL;
	/* a chunk that is not full is the last: else bytes on the wire could be cut in more than one way */
	if (!reader->has_ended && (tag != 0 || plain_len != SEALED_CHUNK))
		return error_set(err, ERR_INVALID, "the archive has a chunk of no known kind");
	return (ssize_t)plain_len;
}

ssize_t sealed_read(struct sealed_reader *reader, const uint8_t **bytes_r, struct error *err)
{
	if (reader->has_ended)
		return check_end(reader, err);
	if (!reader->has_begun && begin(reader, err) != 0)
		return -1;
	ssize_t len = take(reader, sizeof(reader->sealed), err);
	if (len < 0)
		return -1;
	ssize_t plain_len = open_chunk(reader, (size_t)len, err);
	if (plain_len <= 0)
		return plain_len < 0 ? -1 : check_end(reader, err);
	*bytes_r = reader->plain;
	return plain_len;
}

void sealed_digest(struct sealed_reader *reader, uint8_t digest_r[SEALED_DIGEST], uint64_t *len_r)
{
	crypto_generichash_final(&reader->digest, digest_r, SEALED_DIGEST);
	*len_r = reader->read;
}
