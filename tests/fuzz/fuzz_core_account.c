/* The first bytes say how large the account claims to be, the rest is its data. Whatever it holds, the verdict is the same for the whole and for the slice, a name is
 * valid text, and an owner is named only by a verdict that has one. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "common/wire.h"
#include "services/chain-oracle/core_account.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint8_t collection[PUBKEY_LEN];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	pubkey_parse("EdmxWPmx2WH6WgFfTdu9xfkYf3k1g5wD1zccTVySEEh1", collection);
	return sodium_init() < 0 ? -1 : 0;
}

static void check(const struct core_asset *asset)
{
	char owner[PUBKEY_TEXT_MAX + 1];
	bool has_owner = core_verdict_has_owner(asset->verdict);
	core_asset_owner(asset, owner);
	if ((strcmp(owner, CORE_NOBODY) == 0) == has_owner ||
	    !utf8_is_valid(asset->name, strlen(asset->name)) || (!has_owner && asset->name[0]))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size < 2)
		return 0;
	size_t len = size - 2;
	scoped_free uint8_t *data = malloc(len + !len);
	memcpy(data, bytes + 2, len);
	struct core_account account = {
	    .exists = !(bytes[0] & 1), .lamports = bytes[0] & 2, .data = data, .len = len};
	/* smaller than what is there, just as large, or larger */
	account.space = bytes[0] & 4 ? len : (uint64_t)bytes[1] * bytes[1];
	if (!(bytes[0] & 8))
		pubkey_parse(CORE_PROGRAM, account.program);
	struct core_asset whole, slice;
	core_account_read(&account, collection, &whole);
	check(&whole);
	if (account.len > CORE_SLICE && account.len <= account.space) {
		account.len = CORE_SLICE;
		core_account_read(&account, collection, &slice);
		if (slice.verdict != whole.verdict ||
		    memcmp(slice.owner, whole.owner, PUBKEY_LEN) != 0 ||
		    strcmp(slice.name, whole.name) != 0)
			abort();
	}
	return 0;
}
