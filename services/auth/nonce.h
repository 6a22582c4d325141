/* nonce - the single-use name of a challenge, and what is kept in the ledger under it: the exact text, and whom it is for. */
#ifndef AUTH_NONCE_H
#define AUTH_NONCE_H

#include "common/codec.h"
#include "common/base58.h"

#define NONCE_LEN 32 /* hex of 128 random bits */
#define NONCE_TTL_MS 300000u

/* clang-format off */
#define nonce_record_FIELDS(F, M) \
	F(M, STR, wallet, 32, 44, MUST, "base58 public key that is to sign") \
	F(M, STR, asset, 32, 44, MAY, "base58 address the text names") \
	F(M, STR, act, 0, 32, MAY, "that the text names; absent: signing in") \
	F(M, BIN, recipient, 0, 32, MAY, "with act: X25519 public key that the text names") \
	F(M, STR, text, 100, 1024, MUST, "the exact bytes to sign") \
	F(M, UINT, expires_ms, 1, UINT64_MAX, MUST, "Unix milliseconds, as the text says")
PROTO_DECLARE_MESSAGE(nonce_record, nonce_record_FIELDS)
/* clang-format on */

void nonce_new(char nonce[NONCE_LEN + 1]);
bool nonce_is_valid(const char *nonce); /* could be one of ours */

int nonce_encode(const struct nonce_record *record, msgpack_sbuffer *buf, struct error *err);
/* Exactly one record and nothing behind it. ERR_INVALID. */
int nonce_decode(const void *bytes, size_t len, struct nonce_record *record_r, struct error *err);

#endif
