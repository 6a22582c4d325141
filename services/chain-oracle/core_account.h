/* core_account - who owns a Metaplex Core asset, read from its account. Pure: bytes in, verdict out.
 *
 * Layout of AssetV1 (Borsh, mpl-core 2181404): key u8 = 1, owner 32, update authority tag u8 (0 none,
 * 1 address, 2 collection) + 32 unless none, name u32 + bytes, uri u32 + bytes, seq option u64, then
 * plugins. The plugins, and the stale bytes that a transfer may leave behind their registry, are never
 * looked at: nothing in them decides who the owner is, and their format grows.
 *
 * The verdict is the same for the whole account and for its first CORE_SLICE bytes, which is all that
 * is ever asked for: accounts can be 10 MB long, and their owners choose how long.
 */
#ifndef CHAIN_ORACLE_CORE_ACCOUNT_H
#define CHAIN_ORACLE_CORE_ACCOUNT_H

#include <stdbool.h>

#include "common/base58.h"

#define CORE_PROGRAM "CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d"
#define CORE_NAME_MAX 64
#define CORE_SLICE (70 + CORE_NAME_MAX) /* to the end of the longest name that is shown */
#define CORE_NOBODY "nobody"            /* as the ledger knows it */

/* name, text on the bus, does it name an owner */
#define CORE_VERDICTS(X) \
	X(OWNED, "owned", true) \
	X(OFF_CURVE, "off_curve", true) /* a program's address: it owns, but cannot sign */ \
	X(BURNED, "burned", false)      /* one zero byte is left */ \
	X(MISSING, "missing", false) \
	X(WRONG_PROGRAM, "wrong_program", false) \
	X(HASHED, "hashed", false) /* compressed: the owner is not in the account */ \
	X(MALFORMED, "malformed", false) \
	X(NO_COLLECTION, "no_collection", false) \
	X(WRONG_COLLECTION, "wrong_collection", false)
enum core_verdict {
#define CORE_VERDICT_ENUM(name, text, has_owner) CORE_##name,
	CORE_VERDICTS(CORE_VERDICT_ENUM)
#undef CORE_VERDICT_ENUM
};

struct core_account {
	bool exists;
	uint8_t program[PUBKEY_LEN]; /* that owns the account */
	bool executable;
	uint64_t lamports;
	uint64_t space; /* size of the account; len is less if only its beginning was asked for */
	const uint8_t *data; /* borrowed */
	size_t len;
};

struct core_asset {
	enum core_verdict verdict;
	uint8_t owner[PUBKEY_LEN];    /* if the verdict names one */
	char name[CORE_NAME_MAX + 1]; /* likewise; hostile text, but valid UTF-8 without NUL */
};

void core_account_read(const struct core_account *account, const uint8_t collection[PUBKEY_LEN],
    struct core_asset *asset_r);

/* Makes owned off_curve if no key can exist for the owner. Apart, because it costs more than all the rest, and only a sign-in wants to know. */
void core_asset_check_signer(struct core_asset *asset);

const char *core_verdict_text(enum core_verdict verdict);
bool core_verdict_has_owner(enum core_verdict verdict);
/* Base58 of the owner, or CORE_NOBODY. Returns text. */
char *core_asset_owner(const struct core_asset *asset, char text[PUBKEY_TEXT_MAX + 1]);

#endif
