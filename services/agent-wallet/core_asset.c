#include "services/agent-wallet/core_asset.h"

#include <string.h>

enum { KEY_ASSET = 1, KEY_PLUGIN_HEADER = 3, KEY_PLUGIN_REGISTRY = 4 };
enum { AUTHORITY_COLLECTION = 2, PLUGIN_AUTHORITY_ADDRESS = 3 };
enum { FREEZE_EXECUTE = 16, PERMANENT_FREEZE_EXECUTE = 17 };
enum { EXTERNAL_AGENT_IDENTITY = 6 };
enum { EVENT_EXECUTE = 4, FLAG_APPROVE = 2 };

struct cursor {
	const uint8_t *data;
	size_t len, at;
	bool bad;
};

static const uint8_t *take(struct cursor *cursor, uint64_t len)
{
	if (cursor->bad || len > cursor->len - cursor->at) {
		cursor->bad = true;
		return NULL;
	}
	const uint8_t *p = cursor->data + cursor->at;
	cursor->at += (size_t)len;
	return p;
}

static uint64_t take_number(struct cursor *cursor, size_t size)
{
	const uint8_t *p = take(cursor, size);
	uint64_t n = 0;
	for (size_t i = size; p && i > 0; i--)
		n = n << 8 | p[i - 1];
	return n;
}

static void seek(struct cursor *cursor, uint64_t at)
{
	if (at > cursor->len)
		cursor->bad = true;
	else
		cursor->at = (size_t)at;
}

static void skip_authority(struct cursor *cursor)
{
	if (take_number(cursor, 1) == PLUGIN_AUTHORITY_ADDRESS)
		take(cursor, PUBKEY_LEN);
}

/* At its offset: the type once more, then a bool. */
static bool is_frozen_at(const struct cursor *cursor, uint64_t type, uint64_t offset)
{
	struct cursor plugin = *cursor;
	seek(&plugin, offset);
	return take_number(&plugin, 1) == type && take_number(&plugin, 1) == 1;
}

static void read_plugin(struct cursor *cursor, struct core_asset *asset)
{
	uint64_t type = take_number(cursor, 1);
	skip_authority(cursor);
	uint64_t offset = take_number(cursor, 8);
	if (!cursor->bad && (type == FREEZE_EXECUTE || type == PERMANENT_FREEZE_EXECUTE))
		asset->execute_frozen |= is_frozen_at(cursor, type, offset);
}

static void read_external(struct cursor *cursor, struct core_asset *asset)
{
	bool approves = false;
	uint64_t type = take_number(cursor, 1);
	skip_authority(cursor);
	if (take_number(cursor, 1) == 1) {
		uint64_t n = take_number(cursor, 4);
		for (uint64_t i = 0; !cursor->bad && i < n; i++) {
			uint64_t event = take_number(cursor, 1), flags = take_number(cursor, 4);
			approves |= event == EVENT_EXECUTE && (flags & FLAG_APPROVE);
		}
	}
	take(cursor, 8);
	for (int i = 0; i < 2; i++)
		if (take_number(cursor, 1) == 1)
			take(cursor, 8);
	if (!cursor->bad)
		asset->identity |= type == EXTERNAL_AGENT_IDENTITY && approves;
}

static void read_registry(struct cursor *cursor, struct core_asset *asset)
{
	if (take_number(cursor, 1) != KEY_PLUGIN_REGISTRY)
		cursor->bad = true;
	uint64_t n = take_number(cursor, 4);
	for (uint64_t i = 0; !cursor->bad && i < n; i++)
		read_plugin(cursor, asset);
	n = take_number(cursor, 4);
	for (uint64_t i = 0; !cursor->bad && i < n; i++)
		read_external(cursor, asset);
}

static void read_plugins(struct cursor *cursor, struct core_asset *asset)
{
	for (int i = 0; i < 2; i++) /* name, uri */
		take(cursor, take_number(cursor, 4));
	if (take_number(cursor, 1) == 1)
		take(cursor, 8);
	if (!cursor->bad && cursor->at < cursor->len) {
		if (take_number(cursor, 1) != KEY_PLUGIN_HEADER)
			cursor->bad = true;
		seek(cursor, take_number(cursor, 8));
		read_registry(cursor, asset);
	}
	asset->plugins_known = !cursor->bad;
}

bool core_asset_read(const uint8_t *data, size_t len, struct core_asset *asset_r)
{
	struct cursor cursor = {.data = data, .len = len};
	memset(asset_r, 0, sizeof(*asset_r));
	if (take_number(&cursor, 1) != KEY_ASSET)
		return false;
	const uint8_t *owner = take(&cursor, PUBKEY_LEN);
	uint64_t tag = take_number(&cursor, 1);
	const uint8_t *authority = tag ? take(&cursor, PUBKEY_LEN) : NULL;
	if (cursor.bad || tag > AUTHORITY_COLLECTION)
		return false;
	memcpy(asset_r->owner, owner, PUBKEY_LEN);
	asset_r->has_collection = tag == AUTHORITY_COLLECTION;
	if (asset_r->has_collection)
		memcpy(asset_r->collection, authority, PUBKEY_LEN);
	read_plugins(&cursor, asset_r);
	return true;
}
