/* Accounts that agent-wallet reads: whatever they hold, what is said of them points into them, and of a beginning no more is known than of the whole. */
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/agent-wallet/core_asset.h"
#include "common/token_account.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_inside(const uint8_t *key, const uint8_t *data, size_t len)
{
	if (key && (key < data || key + PUBKEY_LEN > data + len))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	scoped_free uint8_t *data = malloc(size + !size);
	struct core_asset asset;
	struct token_account account;
	struct token_mint mint;
	memcpy(data, bytes, size);
	if (!core_asset_read(data, size, &asset) && (asset.identity || asset.has_collection))
		abort();
	if (token_account_read(data, size, &account)) {
		check_inside(account.mint, data, size);
		check_inside(account.owner, data, size);
		check_inside(account.delegate, data, size);
		check_inside(account.closer, data, size);
	}
	for (int token_2022 = 0; token_2022 < 2; token_2022++)
		if (token_mint_read(token_2022, data, size, &mint) &&
		    mint.account_len < TOKEN_ACCOUNT_LEN)
			abort();
	return 0;
}
