/* codec - one encoder and one strict decoder for every message, walking its descriptor (schema.h). On the wire a message is a map from
 * field name to value. The decoder refuses: a missing MUST field, an unknown, repeated or non-string key, a wrong type, a value out of
 * its limits, an embedded NUL or invalid UTF-8 in text, nesting other than declared; every refusal names message and field. */
#ifndef COMMON_CODEC_H
#define COMMON_CODEC_H

#include <msgpack/sbuffer.h>

#include "common/error.h"
#include "common/schema.h"
#include "common/wire.h"

/* Appends the message to buf. Fails with ERR_INTERNAL if a value breaks its own limits (both directions are checked). */
int codec_encode(const struct proto_message *message, const void *value, msgpack_sbuffer *buf,
    struct error *err);
/* Reads one message from wire into value (message->size bytes, all of it overwritten); leaves wire behind it. ERR_INVALID. */
int codec_decode(
    const struct proto_message *message, struct wire *wire, void *value, struct error *err);
/* Wipes a decoded or built value, secrets included. */
void codec_wipe(const struct proto_message *message, void *value);
/* key=value text for debug logs; SECRET fields show as "(secret)". Truncates. Returns buf. */
char *codec_describe(
    const struct proto_message *message, const void *value, char *buf, size_t size);

#endif
