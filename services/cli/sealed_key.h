/* sealed_key - a hot wallet's secret key on its way from the vault to its owner: sealed to a key that only this process has, and written to a file once. */
#ifndef CLI_SEALED_KEY_H
#define CLI_SEALED_KEY_H

#include "common/base58.h"
#include "common/secret.h"

#define RECIPIENT_BASE64_SIZE 45 /* as the service takes it; in the text to sign it is base58 */

struct recipient { /* X25519, for one answer */
	uint8_t public_key[32];
	struct secret *secret;
};
void recipient_new(struct recipient *recipient_r);
void recipient_wipe(struct recipient *recipient);

/* Opens crypto_box_seal's base64 to the 64 bytes of an Ed25519 key (seed, public key), and checks that they are the key of address. Caller owns the result. */
struct secret *sealed_key_open(
    const struct recipient *recipient, const char *sealed, const char *address, struct error *err);

/* A place for the key, made before it is asked for, because it can be had only once: a new file of mode 0600 whose space is reserved. */
struct key_place {
	const char *path;
	int fd;
};
/* Never touches a file that is there: ERR_CONFLICT. */
int key_place_reserve(const char *path, struct key_place *place_r, struct error *err);
/* Writes the key as the Solana CLI keeps it, on disk when it returns 0. */
int key_place_fill(struct key_place *place, const struct secret *key, struct error *err);
/* Takes the file away unless it was filled. */
void key_place_close(struct key_place *place);

#endif
