/* Sign-in: the bytes a wallet says it signed, the challenge as stored in Redis, and a text composed of arbitrary values. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "services/auth/client_address.h"
#include "services/auth/nonce.h"
#include "services/auth/offchain.h"
#include "services/auth/siws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT "a text\nof two lines"

static void read_envelope(const uint8_t *data, size_t size)
{
	uint8_t signer[PUBKEY_LEN];
	memset(signer, 1, sizeof(signer));
	if (!offchain_holds(data, size, signer, TEXT, strlen(TEXT)))
		return;
	/* whatever was around it, the text is the end of the buffer */
	bug_if(size < strlen(TEXT) || memcmp(data + size - strlen(TEXT), TEXT, strlen(TEXT)) != 0);
}

static void read_stored(const uint8_t *data, size_t size)
{
	struct nonce_record record, back;
	struct error err;
	if (nonce_decode(data, size, &record, &err) != 0)
		return;
	msgpack_sbuffer once, again;
	msgpack_sbuffer_init(&once);
	msgpack_sbuffer_init(&again);
	bug_if(nonce_encode(&record, &once, &err) != 0);
	bug_if(nonce_decode(once.data, once.size, &back, &err) != 0);
	bug_if(nonce_encode(&back, &again, &err) != 0);
	bug_if(once.size != again.size || memcmp(once.data, again.data, once.size) != 0);
	msgpack_sbuffer_destroy(&once);
	msgpack_sbuffer_destroy(&again);
}

static void compose(const char *value)
{
	struct siws fields = {.domain = "d", .address = "a", .statement = value, .uri = value};
	char text[SIWS_TEXT_MAX + 1];
	struct error err;
	struct client_address address;
	if (siws_compose(&fields, text, &err) == 0 && *value) {
		/* two lines, an empty one, the statement, an empty one, the field */
		size_t lines = 0;
		for (const char *at = text; *at; at++)
			lines += *at == '\n';
		bug_if(lines != 5);
	}
	client_address_parse(value, &address, &err);
	siws_chain_id(value);
	nonce_is_valid(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	bug_if(!text);
	memcpy(text, data, size);
	text[size] = '\0';
	read_envelope(data, size);
	read_stored(data, size);
	compose(text);
	free(text);
	return 0;
}
