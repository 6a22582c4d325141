/* keypair - a wallet's key as the Solana command line keeps it: a JSON array of 64 numbers, seed then public key. */
#ifndef SERVICES_CLI_KEYPAIR_H
#define SERVICES_CLI_KEYPAIR_H

#include "common/base58.h"
#include "common/secret.h"

struct keypair {
	uint8_t public_key[PUBKEY_LEN];
	struct secret *secret; /* 64 bytes, libsodium's form */
};

/* Reads and checks that the public half belongs to the seed. Warns on stderr if others can read the file. */
int keypair_read(const char *path, struct keypair *keypair_r, struct error *err);
void keypair_wipe(struct keypair *keypair);
void keypair_sign(const struct keypair *keypair, const void *message, size_t len,
    uint8_t signature_r[SIGNATURE_LEN]);

#endif
