/* The first byte chooses a message, the rest is its frame. What the codec accepts must come back the same from encoding and
 * decoding again, and msgpack-c must see one object of the same length. */
#include <msgpack.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/codec.h"
#include "common/envelope.h"
#include "common/scoped.h"
#include "proto/registry.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return sodium_init() < 0 ? -1 : 0;
}

static const struct proto_message *choose(uint8_t byte)
{
	size_t i = byte % (2 * proto_ncalls + 2);

	if (i < 2 * proto_ncalls)
		return i % 2 ? proto_calls[i / 2]->rsp : proto_calls[i / 2]->req;
	return i % 2 ? &envelope_reply_message : &envelope_request_message;
}

static void compare_with_msgpack_c(const uint8_t *bytes, size_t len)
{
	msgpack_unpacked unpacked;
	size_t offset = 0;

	msgpack_unpacked_init(&unpacked);
	bug_if(msgpack_unpack_next(&unpacked, (const char *)bytes, len, &offset) !=
	       MSGPACK_UNPACK_SUCCESS);
	bug_if(offset != len || unpacked.data.type != MSGPACK_OBJECT_MAP);
	msgpack_unpacked_destroy(&unpacked);
}

static void check_again(const struct proto_message *message, const void *value)
{
	msgpack_sbuffer first = {0}, second = {0};
	scoped_free void *again = malloc(message->size + 1);
	char text[256];
	struct wire wire;

	bug_if(codec_encode(message, value, &first, NULL) != 0);
	wire_init(&wire, first.data, first.size);
	bug_if(codec_decode(message, &wire, again, NULL) != 0 || !wire_at_end(&wire));
	bug_if(memcmp(again, value, message->size) != 0);
	bug_if(codec_encode(message, again, &second, NULL) != 0);
	bug_if(first.size != second.size || memcmp(first.data, second.data, first.size) != 0);
	bug_if(strlen(codec_describe(message, value, text, sizeof(text))) >= sizeof(text));
	msgpack_sbuffer_destroy(&first);
	msgpack_sbuffer_destroy(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct error err = {0};
	struct wire wire;

	if (size == 0)
		return 0;
	const struct proto_message *message = choose(bytes[0]);
	scoped_free void *value = malloc(message->size + 1);
	wire_init(&wire, bytes + 1, size - 1);
	if (codec_decode(message, &wire, value, &err) == 0) {
		compare_with_msgpack_c(bytes + 1, (size_t)(wire.at - (bytes + 1)));
		check_again(message, value);
		return 0;
	}
	bug_if(err.code != ERR_INVALID || strlen(err.text) == 0 || !wire.bad);
	bug_if(!utf8_is_valid(err.text, strlen(err.text)));
	return 0;
}
