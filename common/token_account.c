#include "common/token_account.h"

#include <string.h>

#include "common/little_endian.h"

enum { TYPE_AT = TOKEN_ACCOUNT_LEN, TYPE_MINT = 1, TYPE_ACCOUNT = 2 };
enum { STATE_INITIALIZED = 1, STATE_FROZEN = 2 };
/* numbers of Token-2022's extensions of mints, and what the accounts of such a mint carry for them, with 4 bytes of header */
enum { EXT_TRANSFER_FEE = 1, EXT_NON_TRANSFERABLE = 9, EXT_TRANSFER_HOOK = 14, EXT_PAUSABLE = 26 };
enum {
	IMMUTABLE_OWNER_LEN = 4,
	FEE_AMOUNT_LEN = 12,
	NON_TRANSFERABLE_LEN = 4,
	HOOK_ACCOUNT_LEN = 5,
	PAUSABLE_LEN = 4
};

/* Four bytes; programs write 0 or 1. */
static bool is_some(const uint8_t *tag)
{
	return little_endian_u32(tag) != 0;
}

bool token_account_read(const uint8_t *data, size_t len, struct token_account *account_r)
{
	memset(account_r, 0, sizeof(*account_r));
	if (len < TOKEN_ACCOUNT_LEN || len == TOKEN_MULTISIG_LEN ||
	    (len > TOKEN_ACCOUNT_LEN && data[TYPE_AT] != TYPE_ACCOUNT) ||
	    (data[108] != STATE_INITIALIZED && data[108] != STATE_FROZEN))
		return false;
	account_r->mint = data;
	account_r->owner = data + 32;
	account_r->amount = little_endian_u64(data + 64);
	account_r->frozen = data[108] == STATE_FROZEN;
	account_r->wrapped = is_some(data + 109);
	if (is_some(data + 72)) {
		account_r->delegate = data + 76;
		account_r->delegated = little_endian_u64(data + 121);
	}
	if (is_some(data + 129))
		account_r->closer = data + 133;
	return true;
}

/* TransferFeeConfig: authorities 32 each, withheld u64, then two of epoch u64, maximum u64, basis points u16. */
static unsigned read_fee(const uint8_t *value, size_t len)
{
	unsigned bps = 0;
	for (size_t at = 72; at + 18 <= len; at += 18) {
		unsigned rate = value[at + 16] | (unsigned)value[at + 17] << 8;
		if (little_endian_u64(value + at + 8) > 0 && rate > bps)
			bps = rate;
	}
	return bps;
}

static void read_extension(unsigned type, const uint8_t *value, size_t len, struct token_mint *mint)
{
	static const uint8_t nobody[PUBKEY_LEN];
	switch (type) {
	case EXT_TRANSFER_FEE:
		mint->account_len += FEE_AMOUNT_LEN;
		mint->fee_bps = read_fee(value, len);
		break;
	case EXT_NON_TRANSFERABLE:
		mint->account_len += NON_TRANSFERABLE_LEN;
		mint->stays = true;
		break;
	case EXT_TRANSFER_HOOK: /* authority, program */
		mint->account_len += HOOK_ACCOUNT_LEN;
		mint->hooked = len < 64 || memcmp(value + 32, nobody, PUBKEY_LEN) != 0;
		break;
	case EXT_PAUSABLE:
		mint->account_len += PAUSABLE_LEN;
		break;
	default:
		break;
	}
}

static void read_extensions(const uint8_t *data, size_t len, struct token_mint *mint)
{
	size_t at = TYPE_AT + 1;
	while (at + 4 <= len) {
		unsigned type = data[at] | (unsigned)data[at + 1] << 8;
		size_t size = data[at + 2] | (size_t)data[at + 3] << 8;
		at += 4;
		if (type == 0 || size > len - at)
			return;
		read_extension(type, data + at, size, mint);
		at += size;
	}
}

bool token_mint_read(bool token_2022, const uint8_t *data, size_t len, struct token_mint *mint_r)
{
	memset(mint_r, 0, sizeof(*mint_r));
	if (len < TOKEN_MINT_LEN || data[45] != 1 || (!token_2022 && len != TOKEN_MINT_LEN) ||
	    (len > TOKEN_MINT_LEN &&
		(len <= TYPE_AT || len == TOKEN_MULTISIG_LEN || data[TYPE_AT] != TYPE_MINT)))
		return false;
	mint_r->decimals = data[44];
	mint_r->account_len = TOKEN_ACCOUNT_LEN + (token_2022 ? 1 + IMMUTABLE_OWNER_LEN : 0);
	if (len > TOKEN_MINT_LEN)
		read_extensions(data, len, mint_r);
	return true;
}
