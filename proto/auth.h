/* auth - calls served by services/auth: proves that a caller controls a wallet and that the wallet owns the asset. */
#ifndef PROTO_AUTH_H
#define PROTO_AUTH_H

#include "common/schema.h"

/* clang-format off */
#define assets_ITEM(F, M) \
	F(M, STR, asset, 32, 44, MUST, "base58 address") \
	F(M, STR, name, 0, 64, MAY, "name on the chain: hostile text")
PROTO_ITEM(assets)

#define auth_challenge_REQ(F, M) \
	F(M, STR, wallet, 32, 44, MUST, "base58 public key that will sign") \
	F(M, STR, asset, 32, 44, MAY, "base58 address; absent: the only one the wallet owns") \
	F(M, STR, act, 0, 32, MAY, "what is to be signed for instead of signing in: hot_wallet, raw_instructions; needs asset") \
	F(M, BIN, recipient, 0, 32, MAY, "with act: X25519 public key the answer is to be sealed to; the text names it") \
	F(M, STR, ip, 2, 45, MUST, "client's address, as nginx saw it")
#define auth_challenge_RSP(F, M) \
	F(M, STR, nonce, 32, 32, MUST, "hex; single use, 5 minutes") \
	F(M, STR, message, 100, 1024, MUST, "the exact text to sign") \
	F(M, STR, domain, 1, 255, MUST, "SIWS field") \
	F(M, STR, address, 32, 44, MUST, "SIWS field") \
	F(M, STR, statement, 1, 255, MUST, "SIWS field") \
	F(M, STR, uri, 1, 255, MUST, "SIWS field") \
	F(M, STR, version, 1, 8, MUST, "SIWS field") \
	F(M, STR, chain_id, 1, 32, MUST, "SIWS field") \
	F(M, STR, issued_at, 20, 24, MUST, "SIWS field, RFC 3339") \
	F(M, STR, expires_at, 20, 24, MUST, "SIWS field expirationTime, RFC 3339")

#define auth_verify_REQ(F, M) \
	F(M, STR, nonce, 1, 64, MUST, "as issued by auth.challenge") \
	F(M, STR, wallet, 32, 44, MUST, "base58 public key of the signer") \
	F(M, BIN, signature, 64, 64, MUST, "Ed25519") \
	F(M, BIN, signed_message, 0, 2048, MAY, "the bytes that were signed, if the wallet wrapped the text") \
	F(M, STR, ip, 2, 45, MUST, "client's address, as nginx saw it") \
	F(M, STR, agent, 0, 128, MAY, "client's User-Agent, for the list of sessions") \
	F(M, STR, token, 0, 2048, MAY_SECRET, "session presented with the request: of the same asset, it ends")
#define auth_verify_RSP(F, M) \
	F(M, STR, token, 0, 2048, MAY_SECRET, "JWT of the new session; absent if assets is not empty") \
	F(M, STR, asset, 0, 44, MAY, "base58 address") \
	F(M, STR, agent_id, 0, 32, MAY, "sandbox id") \
	F(M, STR, name, 0, 64, MAY, "name on the chain: hostile text") \
	F(M, STR, wallet, 0, 44, MAY, "base58 public key") \
	F(M, STR, jti, 0, 32, MAY, "of the session") \
	F(M, UINT, exp_ms, 0, UINT64_MAX, MAY, "Unix milliseconds") \
	F(M, LIST, assets, 0, 100, MUST, "not empty: the challenge named none and the wallet owns these")

#define auth_assets_REQ(F, M) \
	F(M, STR, wallet, 32, 44, MUST, "base58 public key") \
	F(M, STR, ip, 2, 45, MUST, "client's address, as nginx saw it")
#define auth_assets_RSP(F, M) \
	F(M, LIST, assets, 0, 100, MUST, "what the wallet owns in the collection, by the index")

#define auth_confirm_REQ(F, M) \
	F(M, STR, nonce, 1, 64, MUST, "as issued by auth.challenge with an act") \
	F(M, STR, wallet, 32, 44, MUST, "base58 public key of the signer") \
	F(M, BIN, signature, 64, 64, MUST, "Ed25519") \
	F(M, BIN, signed_message, 0, 2048, MAY, "the bytes that were signed, if the wallet wrapped the text") \
	F(M, STR, asset, 32, 44, MUST, "base58 address that the text has to name") \
	F(M, STR, act, 1, 32, MUST, "that the text has to name") \
	F(M, BIN, recipient, 0, 32, MAY, "that the text has to name, or none") \
	F(M, STR, ip, 2, 45, MUST, "client's address, as nginx saw it")
#define auth_confirm_RSP(F, M) \
	F(M, STR, history, 1, 40, MUST, "in which nonce and read were done") \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of the fresh read that shows the wallet as owner")

#define AUTH_CALLS(C) \
	C(auth, challenge, ROLE_ROUTER, ONCE, "Compose the text that this wallet is to sign, to sign in or for an act.") \
	C(auth, verify, ROLE_ROUTER, ONCE, "Check the signature and the ownership, open a session.") \
	C(auth, confirm, ROLE_VAULT | ROLE_WALLET, ONCE, "Check a fresh signature that names an act, and the ownership; opens no session.") \
	C(auth, assets, ROLE_ROUTER, READ, "What does this wallet own in the collection? Spends no RPC.")
AUTH_CALLS(PROTO_DECLARE)
/* clang-format on */

#endif
