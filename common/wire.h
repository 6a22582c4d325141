/* wire - bounded pull reader for msgpack (https://github.com/msgpack/msgpack/blob/master/spec.md). It never allocates: msgpack-c's object
 * tree lets a 5-byte frame reserve gigabytes. Only what our messages use: map, array, str, bin, unsigned integer, bool. Shortest
 * forms are not required, anything else is an error. Errors stick: check once at the end. */
#ifndef COMMON_WIRE_H
#define COMMON_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire {
	const uint8_t *at, *end;
	bool bad;
};

void wire_init(struct wire *wire, const void *bytes, size_t len);
/* Each returns the value, or 0/NULL after setting bad. A count larger than the bytes left is bad. Text must be valid UTF-8 without NUL. */
uint32_t wire_map(struct wire *wire);
uint32_t wire_array(struct wire *wire);
const char *wire_str(
    struct wire *wire, size_t *len_r); /* borrowed from the frame, not terminated */
const uint8_t *wire_bin(struct wire *wire, size_t *len_r);
uint64_t wire_uint(struct wire *wire);
bool wire_bool(struct wire *wire);
bool wire_at_end(const struct wire *wire); /* nothing left and not bad */
bool utf8_is_valid(
    const char *text, size_t len); /* shortest form, no surrogates, no NUL, at most U+10FFFF */

#endif
