/* sample - values and frames made from a message's descriptor alone, so that a new message is tested without a new test.
 * Frames are packed here and by msgpack-c, not by the codec under test, and may be twisted at one field. */
#ifndef TESTS_PROTO_SAMPLE_H
#define TESTS_PROTO_SAMPLE_H

#include <msgpack.h>
#include <stdbool.h>

#include "common/codec.h"

enum sample { SMALLEST, TYPICAL, LARGEST };

/* Every message of the suite: both sides of every call, the envelopes. */
size_t sample_messages(const struct proto_message *const **messages_r);

/* A value in which every field is as small as it may be (a MAY field: absent), of middling size and present, or as large as
 * it may be. In memory of exactly the message's size; caller frees. */
void *sample_new(const struct proto_message *message, enum sample sample);
/* Gives one field n bytes, n records, or the value n; beyond the limit by one at most. */
void sample_set(const struct proto_field *field, void *value, uint64_t n);
/* n of a field as it stands. */
uint64_t sample_measure(const struct proto_field *field, const void *value);
const void *sample_data(const struct proto_field *field, const void *value);
void *sample_record(const struct proto_field *field, const void *value, size_t i);

/* What the frame does wrong, at one field of the message or of its records. */
enum act { AS_IS, OMIT, REPEAT, RESIZE, RETYPE, RETEXT, ADD_BEFORE, ADD_AFTER, KEY_AS_BIN };
enum kind {
	KIND_NIL,
	KIND_BOOL,
	KIND_UINT,
	KIND_NEGATIVE,
	KIND_FLOAT,
	KIND_STR,
	KIND_BIN,
	KIND_ARRAY,
	KIND_MAP,
	KIND_EXT,
	NKINDS
};
struct twist {
	enum act act;
	const struct proto_field *field;
	uint64_t n;       /* RESIZE */
	enum kind kind;   /* RETYPE */
	const char *text; /* RETEXT, and the name that ADD_* adds */
	size_t len;
};
enum kind sample_kind(const struct proto_field *field);
void sample_pack(msgpack_sbuffer *buf, const struct proto_message *message, const void *value,
    const struct twist *twist);

#endif
