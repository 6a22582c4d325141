/* solana_program - the programs whose instructions are composed, read or counted here, by name and by address. */
#ifndef COMMON_SOLANA_PROGRAM_H
#define COMMON_SOLANA_PROGRAM_H

#include "common/base58.h"

/* name, title, address */
#define SOLANA_PROGRAMS(X) \
	X(SYSTEM, "System Program", "11111111111111111111111111111111") \
	X(CORE, "Metaplex Core", "CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d") \
	X(TOKEN, "SPL Token", "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA") \
	X(TOKEN_2022, "Token-2022", "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb") \
	X(ASSOCIATED_TOKEN, "Associated Token Account", \
	    "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL") \
	X(COMPUTE_BUDGET, "Compute Budget", "ComputeBudget111111111111111111111111111111") \
	X(LIGHTHOUSE, "Lighthouse", "L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95") \
	X(AGENT_TOOLS, "Metaplex Agent Tools", "TLREGni9ZEyGC3vnPZtqUh95xQ8oPqJSvNjvB7FGK8S") \
	X(AGENT_IDENTITY, "Metaplex Agent Identity", \
	    "1DREGFgysWYxLnRnKQnwrxnJQeSMk2HmGaC6whw2B2p") \
	X(ED25519, "Ed25519 verification", "Ed25519SigVerify111111111111111111111111111") \
	X(SECP256K1, "secp256k1 verification", "KeccakSecp256k11111111111111111111111111111") \
	X(SECP256R1, "secp256r1 verification", "Secp256r1SigVerify1111111111111111111111111")
enum solana_program {
#define SOLANA_PROGRAM_ENUM(name, title, address) SOLANA_PROGRAM_##name,
	SOLANA_PROGRAMS(SOLANA_PROGRAM_ENUM)
#undef SOLANA_PROGRAM_ENUM
	    SOLANA_PROGRAM_OTHER
};

/* Of a program that is not SOLANA_PROGRAM_OTHER; static. */
const uint8_t *solana_program_key(enum solana_program program);
const char *solana_program_title(enum solana_program program);
enum solana_program solana_program_of(const uint8_t key[PUBKEY_LEN]);

#endif
