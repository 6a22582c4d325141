#include "services/chain-oracle/core_account.h"

#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/pubkey.h"
#include "common/wire.h"

enum { KEY_UNINITIALIZED = 0, KEY_ASSET = 1, KEY_HASHED = 2 };
enum { AUTHORITY_NONE = 0, AUTHORITY_COLLECTION = 2 /* 1: an address */ };

/* Reads forward through the account. A field that lies outside the account is bad; one that is
 * inside the account but behind the bytes we have is merely unread. */
struct cursor {
	const struct core_account *account;
	uint64_t at;
	bool bad;
};

static const uint8_t *take(struct cursor *cursor, uint64_t len)
{
	const struct core_account *account = cursor->account;
	if (cursor->bad || cursor->at > account->space || len > account->space - cursor->at) {
		cursor->bad = true;
		return NULL;
	}
	uint64_t at = cursor->at;
	cursor->at += len;
	return at + len <= account->len ? account->data + at : NULL;
}

/* False: the length is bad, or behind what we have, and so is everything that follows it. */
static bool take_length(struct cursor *cursor, uint64_t *len_r)
{
	const uint8_t *p = take(cursor, 4);
	if (!p)
		return false;
	*len_r = (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
	return true;
}

/* At most CORE_NAME_MAX bytes of the name, cut between characters; "" if it is not text. */
static void copy_name(const struct core_account *account, uint64_t at, uint64_t len, char *name)
{
	size_t have = at < account->len ? account->len - (size_t)at : 0;
	size_t n = len < have ? (size_t)len : have;
	if (n > CORE_NAME_MAX)
		n = CORE_NAME_MAX;
	if (n > 0)
		memcpy(name, account->data + at, n);
	/* a cut may leave up to three bytes of a character behind */
	size_t shortest = n < len && n > 3 ? n - 3 : n;
	while (n > shortest && !utf8_is_valid(name, n))
		n--;
	name[n] = '\0';
	if (!utf8_is_valid(name, n))
		name[0] = '\0';
}

/* Everything behind the update authority that belongs to AssetV1 itself. */
static void read_rest(struct cursor *cursor, char *name)
{
	uint64_t len;
	if (!take_length(cursor, &len))
		return;
	uint64_t name_at = cursor->at;
	take(cursor, len);
	if (cursor->bad)
		return;
	copy_name(cursor->account, name_at, len, name);
	if (!take_length(cursor, &len))
		return;
	take(cursor, len);
	const uint8_t *seq = take(cursor, 1);
	if (!seq)
		return;
	if (*seq == 1)
		take(cursor, 8);
	else if (*seq != 0)
		cursor->bad = true;
}

static enum core_verdict read_asset(const struct core_account *account,
    const uint8_t collection[PUBKEY_LEN], struct core_asset *asset)
{
	struct cursor cursor = {.account = account, .at = 1};
	const uint8_t *owner = take(&cursor, PUBKEY_LEN);
	const uint8_t *tag = take(&cursor, 1);
	if (!owner || !tag || *tag > AUTHORITY_COLLECTION)
		return CORE_MALFORMED;
	const uint8_t *authority = NULL;
	if (*tag != AUTHORITY_NONE && !(authority = take(&cursor, PUBKEY_LEN)))
		return CORE_MALFORMED;
	read_rest(&cursor, asset->name);
	if (cursor.bad)
		return CORE_MALFORMED;
	if (*tag != AUTHORITY_COLLECTION)
		return CORE_NO_COLLECTION;
	if (memcmp(authority, collection, PUBKEY_LEN) != 0)
		return CORE_WRONG_COLLECTION;
	memcpy(asset->owner, owner, PUBKEY_LEN);
	return CORE_OWNED;
}

/* PubSub's way to say that an account is gone: no lamports, no data, of the System Program. */
static bool is_gone(const struct core_account *account)
{
	static const uint8_t system_program[PUBKEY_LEN];
	return account->lamports == 0 && account->space == 0 &&
	       memcmp(account->program, system_program, PUBKEY_LEN) == 0;
}

static enum core_verdict judge(const struct core_account *account,
    const uint8_t collection[PUBKEY_LEN], struct core_asset *asset)
{
	uint8_t program[PUBKEY_LEN];
	bug_if(pubkey_parse(CORE_PROGRAM, program) < 0);
	if (!account->exists || is_gone(account))
		return CORE_MISSING;
	if (memcmp(account->program, program, PUBKEY_LEN) != 0)
		return CORE_WRONG_PROGRAM;
	if (account->len == 0 || account->len > account->space)
		return CORE_MALFORMED;
	switch (account->data[0]) {
	case KEY_UNINITIALIZED:
		return account->space == 1 ? CORE_BURNED : CORE_MALFORMED;
	case KEY_HASHED:
		return CORE_HASHED;
	case KEY_ASSET:
		return read_asset(account, collection, asset);
	default:
		return CORE_MALFORMED;
	}
}

void core_account_read(const struct core_account *account, const uint8_t collection[PUBKEY_LEN],
    struct core_asset *asset_r)
{
	memset(asset_r, 0, sizeof(*asset_r));
	struct core_account prefix = *account;
	if (prefix.len > CORE_SLICE)
		prefix.len = CORE_SLICE;
	asset_r->verdict = judge(&prefix, collection, asset_r);
	if (!core_verdict_has_owner(asset_r->verdict))
		asset_r->name[0] = '\0';
}

void core_asset_check_signer(struct core_asset *asset)
{
	if (asset->verdict == CORE_OWNED && !pubkey_is_on_curve(asset->owner))
		asset->verdict = CORE_OFF_CURVE;
}

static const struct {
	const char *text;
	bool has_owner;
} verdicts[] = {
#define CORE_VERDICT_ROW(name, text, has_owner) [CORE_##name] = {(text), (has_owner)},
    CORE_VERDICTS(CORE_VERDICT_ROW)
#undef CORE_VERDICT_ROW
};

const char *core_verdict_text(enum core_verdict verdict)
{
	return verdicts[verdict].text;
}

bool core_verdict_has_owner(enum core_verdict verdict)
{
	return verdicts[verdict].has_owner;
}

char *core_asset_owner(const struct core_asset *asset, char text[PUBKEY_TEXT_MAX + 1])
{
	if (core_verdict_has_owner(asset->verdict))
		return pubkey_text(asset->owner, text);
	snprintf(text, PUBKEY_TEXT_MAX + 1, "%s", CORE_NOBODY);
	return text;
}
