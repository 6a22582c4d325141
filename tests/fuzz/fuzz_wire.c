/* Walks any bytes with the wire reader and holds each scalar against msgpack-c's unpacker. */
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What the last reader that did not refuse read, for the comparison. */
struct seen {
	int readers; /* how many accepted the same bytes */
	msgpack_object_type type;
	uint64_t n;        /* the number, or the length */
	const void *bytes; /* of text or bytes */
	const uint8_t *end;
};

static void note(struct seen *seen, const struct wire *wire, msgpack_object_type type, uint64_t n,
    const void *bytes)
{
	if (!wire->bad)
		*seen = (struct seen){seen->readers + 1, type, n, bytes, wire->at};
}

static struct seen read_any(const struct wire *at)
{
	struct seen seen = {0};
	struct wire wire;
	size_t len = 0;

	wire = *at;
	uint64_t n = wire_uint(&wire);
	note(&seen, &wire, MSGPACK_OBJECT_POSITIVE_INTEGER, n, NULL);
	wire = *at;
	bool flag = wire_bool(&wire);
	note(&seen, &wire, MSGPACK_OBJECT_BOOLEAN, flag, NULL);
	wire = *at;
	const char *text = wire_str(&wire, &len);
	note(&seen, &wire, MSGPACK_OBJECT_STR, len, text);
	wire = *at;
	const uint8_t *bin = wire_bin(&wire, &len);
	note(&seen, &wire, MSGPACK_OBJECT_BIN, len, bin);
	wire = *at;
	uint32_t count = wire_array(&wire);
	note(&seen, &wire, MSGPACK_OBJECT_ARRAY, count, NULL);
	wire = *at;
	count = wire_map(&wire);
	note(&seen, &wire, MSGPACK_OBJECT_MAP, count, NULL);
	return seen;
}

static void compare(const struct seen *seen, const msgpack_object *object)
{
	bug_if(object->type != seen->type);
	if (seen->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		bug_if(object->via.u64 != seen->n);
	if (seen->type == MSGPACK_OBJECT_BOOLEAN)
		bug_if(object->via.boolean != (seen->n != 0));
	/* where an empty text begins is nobody's business */
	if (seen->type == MSGPACK_OBJECT_STR)
		bug_if(object->via.str.size != seen->n ||
		       (seen->n > 0 && object->via.str.ptr != seen->bytes));
	if (seen->type == MSGPACK_OBJECT_BIN)
		bug_if(object->via.bin.size != seen->n ||
		       (seen->n > 0 && object->via.bin.ptr != seen->bytes));
}

/* Containers are not given to msgpack-c: their counts alone would make it reserve gigabytes. */
static void compare_scalar(const struct wire *at, const struct seen *seen)
{
	msgpack_unpacked unpacked;
	size_t offset = 0, len = (size_t)(seen->end - at->at);

	if (seen->type == MSGPACK_OBJECT_ARRAY || seen->type == MSGPACK_OBJECT_MAP) {
		bug_if(seen->n > (uint64_t)(at->end - seen->end));
		return;
	}
	msgpack_unpacked_init(&unpacked);
	msgpack_unpack_return status =
	    msgpack_unpack_next(&unpacked, (const char *)at->at, len, &offset);
	bug_if(status != MSGPACK_UNPACK_SUCCESS || offset != len);
	compare(seen, &unpacked.data);
	msgpack_unpacked_destroy(&unpacked);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct wire wire;

	wire_init(&wire, bytes, size);
	while (wire.at < wire.end) {
		struct seen seen = read_any(&wire);

		bug_if(seen.readers > 1);
		if (seen.readers == 0)
			break;
		bug_if(seen.end <= wire.at || seen.end > wire.end);
		compare_scalar(&wire, &seen);
		wire.at = seen.end;
	}
	return 0;
}
