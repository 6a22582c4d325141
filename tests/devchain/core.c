#include "tests/devchain/core.h"

#include <stdlib.h>
#include <string.h>

#define KEY_ASSET 1
#define KEY_HEADER 3
#define KEY_REGISTRY 4
#define KEY_COLLECTION 5
#define PLUGIN_TRANSFER_DELEGATE 3
#define PLUGIN_ATTRIBUTES 6
#define AUTHORITY_OWNER 1
#define AUTHORITY_UPDATE 2
#define AUTHORITY_ADDRESS 3
#define CREATE_FEE 1500000u
#define EXTERNAL_AGENT_IDENTITY 6
#define EXTERNAL_LEN 22 /* of its record, without an address */
#define EVENT_EXECUTE 4
#define CHECK_CAN_APPROVE 2u
#define PLUGINS_MAX 64

/* Writes when out is set, and only counts when it is not: one function describes a layout and its size. */
struct writer {
	uint8_t *out;
	size_t len;
};

static void put(struct writer *w, const void *bytes, size_t len)
{
	if (w->out)
		memcpy(w->out + w->len, bytes, len);
	w->len += len;
}

static void put_u8(struct writer *w, uint8_t value)
{
	put(w, &value, 1);
}

static void put_le(struct writer *w, uint64_t value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		put_u8(w, (uint8_t)(value >> (8 * i)));
}

static void put_text(struct writer *w, const char *text)
{
	put_le(w, strlen(text), 4);
	put(w, text, strlen(text));
}

struct reader {
	const uint8_t *at, *end;
	bool bad;
};

static const uint8_t *take(struct reader *r, uint64_t len)
{
	const uint8_t *at = r->at;

	if (r->bad || (uint64_t)(r->end - r->at) < len) {
		r->bad = true;
		return NULL;
	}
	r->at += len;
	return at;
}

static uint64_t take_le(struct reader *r, size_t len)
{
	const uint8_t *at = take(r, len);
	uint64_t value = 0;

	for (size_t i = 0; at && i < len; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

static void set_program(struct account_state *state)
{
	bug_if(pubkey_parse(CORE_PROGRAM, state->program) != 0);
}

bool core_is_asset(const struct account_state *state)
{
	uint8_t program[PUBKEY_LEN];

	bug_if(pubkey_parse(CORE_PROGRAM, program) != 0);
	return state->lamports && state->len >= 34 && state->data[0] == KEY_ASSET &&
	       memcmp(state->program, program, PUBKEY_LEN) == 0;
}

bool core_is_collection(const struct account_state *state)
{
	uint8_t program[PUBKEY_LEN];

	bug_if(pubkey_parse(CORE_PROGRAM, program) != 0);
	return state->lamports && state->len >= 49 && state->data[0] == KEY_COLLECTION &&
	       memcmp(state->program, program, PUBKEY_LEN) == 0;
}

bool core_asset_owner(const struct account_state *asset, uint8_t owner_r[PUBKEY_LEN])
{
	if (!core_is_asset(asset))
		return false;
	memcpy(owner_r, asset->data + 1, PUBKEY_LEN);
	return true;
}

bool core_asset_collection(const struct account_state *asset, uint8_t collection_r[PUBKEY_LEN])
{
	if (!core_is_asset(asset) || asset->len < 66 || asset->data[33] != CORE_UPDATE_COLLECTION)
		return false;
	memcpy(collection_r, asset->data + 34, PUBKEY_LEN);
	return true;
}

static void write_collection(
    struct writer *w, const uint8_t *authority, const char *name, const char *uri)
{
	put_u8(w, KEY_COLLECTION);
	put(w, authority, PUBKEY_LEN);
	put_text(w, name);
	put_text(w, uri);
	put_le(w, 0, 4);
	put_le(w, 0, 4);
}

void core_collection_create(const uint8_t authority[PUBKEY_LEN], const char *name, const char *uri,
    struct account_state *state_r)
{
	struct writer w = {0};

	*state_r = (struct account_state){0};
	write_collection(&w, authority, name, uri);
	w = (struct writer){.out = account_state_resize(state_r, w.len)};
	write_collection(&w, authority, name, uri);
	set_program(state_r);
	state_r->lamports = rent_exempt(state_r->len);
}

static void write_attributes(struct writer *w, const struct core_asset *asset)
{
	put_u8(w, PLUGIN_ATTRIBUTES);
	put_le(w, asset->nattributes, 4);
	for (size_t i = 0; i < asset->nattributes; i++) {
		put_text(w, asset->attributes[i].key);
		put_text(w, asset->attributes[i].value);
	}
}

/* header_at is where the header's registry offset is patched in, once it is known */
static void write_plugins(struct writer *w, const struct core_asset *asset)
{
	size_t header = w->len, delegate, attributes;
	struct writer offset;

	put_u8(w, KEY_HEADER);
	put_le(w, 0, 8);
	delegate = w->len;
	if (asset->has_delegate)
		put_u8(w, PLUGIN_TRANSFER_DELEGATE);
	attributes = w->len;
	if (asset->nattributes)
		write_attributes(w, asset);
	offset = (struct writer){.out = w->out, .len = header + 1};
	put_le(&offset, w->len, 8);
	put_u8(w, KEY_REGISTRY);
	put_le(w, (uint64_t)asset->has_delegate + (asset->nattributes > 0), 4);
	if (asset->has_delegate) {
		put_u8(w, PLUGIN_TRANSFER_DELEGATE);
		put_u8(w, AUTHORITY_ADDRESS);
		put(w, asset->delegate, PUBKEY_LEN);
		put_le(w, delegate, 8);
	}
	if (asset->nattributes) {
		put_u8(w, PLUGIN_ATTRIBUTES);
		put_u8(w, AUTHORITY_UPDATE);
		put_le(w, attributes, 8);
	}
	put_le(w, 0, 4);
}

static void write_asset(struct writer *w, const struct core_asset *asset)
{
	put_u8(w, KEY_ASSET);
	put(w, asset->owner, PUBKEY_LEN);
	put_u8(w, (uint8_t)asset->update);
	if (asset->update != CORE_UPDATE_NONE)
		put(w, asset->authority, PUBKEY_LEN);
	put_text(w, asset->name);
	put_text(w, asset->uri);
	put_u8(w, asset->has_seq);
	if (asset->has_seq)
		put_le(w, asset->seq, 8);
	if (asset->nattributes || asset->has_delegate)
		write_plugins(w, asset);
}

void core_asset_create(const struct core_asset *asset, struct account_state *state_r)
{
	struct writer w = {0};

	*state_r = (struct account_state){0};
	write_asset(&w, asset);
	w = (struct writer){.out = account_state_resize(state_r, w.len)};
	write_asset(&w, asset);
	set_program(state_r);
	state_r->lamports = rent_exempt(state_r->len) + CREATE_FEE;
}

/* Where an asset's sequence number and its plugins are. */
struct layout {
	size_t seq;              /* offset of the u64, 0: none */
	size_t header, registry; /* 0: no plugins */
};

static int read_layout(
    const struct account_state *asset, struct layout *layout_r, struct error *err)
{
	struct reader r;

	*layout_r = (struct layout){0};
	if (!core_is_asset(asset))
		return error_set(err, ERR_INVALID, "not a Core asset");
	r = (struct reader){asset->data + 33, asset->data + asset->len, false};
	if (take_le(&r, 1) != CORE_UPDATE_NONE)
		take(&r, PUBKEY_LEN);
	take(&r, take_le(&r, 4));
	take(&r, take_le(&r, 4));
	if (take_le(&r, 1)) {
		layout_r->seq = (size_t)(r.at - asset->data);
		take(&r, 8);
	}
	if (!r.bad && r.at < r.end) {
		layout_r->header = (size_t)(r.at - asset->data);
		uint64_t key = take_le(&r, 1), registry = take_le(&r, 8);
		if (key != KEY_HEADER || registry >= asset->len)
			r.bad = true;
		layout_r->registry = (size_t)registry;
	}
	return r.bad ? error_set(err, ERR_INVALID, "the asset's bytes cannot be read") : 0;
}

static void bump_seq(struct account_state *asset, const struct layout *layout)
{
	uint8_t *seq = layout->seq ? asset->data + layout->seq : NULL;

	for (size_t i = 0; seq && i < 8 && ++seq[i] == 0; i++)
		;
}

static bool owner_managed(uint64_t type)
{
	return type == 1 || type == 2 || type == 3 || type == 14 || type == 16;
}

struct record {
	uint64_t type, authority;
	const uint8_t *address; /* NULL: the authority is no address */
	const uint8_t *offset;  /* 8 bytes */
};

static bool take_record(struct reader *r, struct record *record_r)
{
	record_r->type = take_le(r, 1);
	record_r->authority = take_le(r, 1);
	record_r->address = record_r->authority == AUTHORITY_ADDRESS ? take(r, PUBKEY_LEN) : NULL;
	record_r->offset = take(r, 8);
	return record_r->offset != NULL;
}

static int open_registry(const struct account_state *asset, size_t registry, struct reader *r,
    uint64_t *n_r, struct error *err)
{
	*r = (struct reader){asset->data + registry, asset->data + asset->len, false};
	uint64_t key = take_le(r, 1);
	*n_r = take_le(r, 4);
	if (r->bad || key != KEY_REGISTRY || *n_r > PLUGINS_MAX)
		return error_set(err, ERR_INVALID, "the plugin registry cannot be read");
	return 0;
}

/* One external record; *approves_r: it is an AgentIdentity that may approve Execute. */
static void take_external(struct reader *r, bool *approves_r)
{
	uint64_t type = take_le(r, 1), authority = take_le(r, 1);

	if (authority == AUTHORITY_ADDRESS)
		take(r, PUBKEY_LEN);
	if (take_le(r, 1))
		for (uint64_t n = take_le(r, 4); n > 0 && !r->bad; n--) {
			uint64_t event = take_le(r, 1), flags = take_le(r, 4);
			*approves_r |= type == EXTERNAL_AGENT_IDENTITY && event == EVENT_EXECUTE &&
				       flags & CHECK_CAN_APPROVE;
		}
	take(r, 8);
	for (int i = 0; i < 2; i++)
		if (take_le(r, 1))
			take(r, 8);
}

/* The external records, as they stand; empty and bad if they cannot be read. */
static bool take_externals(struct reader *r)
{
	bool approves = false;

	for (uint64_t n = take_le(r, 4); n > 0 && !r->bad; n--)
		take_external(r, &approves);
	return approves && !r->bad;
}

/* The registry is written again over itself, shorter by 32 bytes for each authority that falls back to the owner; the account keeps
 * its length, so what was there stays behind it. */
static int reset_authorities(struct account_state *asset, size_t registry, struct error *err)
{
	struct reader r;
	struct account_state scoped_state fresh = {0};
	struct writer w = {.out = account_state_resize(&fresh, asset->len)};
	uint64_t n;

	if (open_registry(asset, registry, &r, &n, err) != 0)
		return -1;
	put_u8(&w, KEY_REGISTRY);
	put_le(&w, n, 4);
	for (uint64_t i = 0; i < n; i++) {
		struct record record;

		if (!take_record(&r, &record))
			return error_set(err, ERR_INVALID, "the plugin registry is cut short");
		put_u8(&w, (uint8_t)record.type);
		put_u8(
		    &w, owner_managed(record.type) ? AUTHORITY_OWNER : (uint8_t)record.authority);
		if (record.address && !owner_managed(record.type))
			put(&w, record.address, PUBKEY_LEN);
		put(&w, record.offset, 8);
	}
	const uint8_t *externals = r.at;
	take_externals(&r);
	if (r.bad)
		return error_set(err, ERR_INVALID, "the external plugins cannot be read");
	put(&w, externals, (size_t)(r.at - externals));
	memcpy(asset->data + registry, fresh.data, w.len);
	return 0;
}

/* Its record in the registry; false: it has none. */
static bool find_plugin(
    const struct account_state *asset, enum core_plugin plugin, struct record *record_r)
{
	struct layout layout;
	struct reader r;
	uint64_t n;

	if (read_layout(asset, &layout, NULL) != 0 || !layout.registry ||
	    open_registry(asset, layout.registry, &r, &n, NULL) != 0)
		return false;
	for (uint64_t i = 0; i < n && take_record(&r, record_r); i++)
		if (record_r->type == (uint64_t)plugin)
			return true;
	return false;
}

bool core_asset_is_set(const struct account_state *asset, enum core_plugin plugin)
{
	struct record record;

	if (!find_plugin(asset, plugin, &record))
		return false;
	struct reader r = {record.offset, record.offset + 8, false};
	uint64_t at = take_le(&r, 8);
	return at < asset->len - 1 && asset->data[at + 1] != 0;
}

bool core_asset_is_held_by(
    const struct account_state *asset, enum core_plugin plugin, const uint8_t authority[PUBKEY_LEN])
{
	struct record record;

	return find_plugin(asset, plugin, &record) && record.address &&
	       memcmp(record.address, authority, PUBKEY_LEN) == 0;
}

static bool find_externals(const struct account_state *asset, size_t registry, struct reader *r)
{
	struct record record;
	uint64_t n;

	if (open_registry(asset, registry, r, &n, NULL) != 0)
		return false;
	while (n > 0 && take_record(r, &record))
		n--;
	return !r->bad;
}

bool core_asset_lets_agents_execute(const struct account_state *asset)
{
	struct layout layout;
	struct reader r;

	return read_layout(asset, &layout, NULL) == 0 && layout.registry &&
	       find_externals(asset, layout.registry, &r) && take_externals(&r);
}

static void write_identity(struct writer *w, uint64_t offset)
{
	put_u8(w, EXTERNAL_AGENT_IDENTITY);
	put_u8(w, AUTHORITY_UPDATE);
	put_u8(w, 1);
	put_le(w, 1, 4);
	put_u8(w, EVENT_EXECUTE);
	put_le(w, CHECK_CAN_APPROVE, 4);
	put_le(w, offset, 8);
	put_u8(w, 0);
	put_u8(w, 0);
}

/* What is before the registry stays; then the identity, then the registry with one record more. */
static int rewrite_with_identity(struct account_state *asset, size_t registry, const char *uri,
    struct writer *w, struct error *err)
{
	struct reader r = {0};
	uint64_t n;

	if (!find_externals(asset, registry, &r))
		return error_set(err, ERR_INVALID, "the plugin registry cannot be read");
	const uint8_t *records = asset->data + registry, *externals = r.at;
	n = take_le(&r, 4);
	const uint8_t *first = r.at;
	struct reader again = {externals, r.end, false};
	if (take_externals(&again))
		return error_set(err, ERR_CONFLICT, "it has an AgentIdentity");
	if (again.bad)
		return error_set(err, ERR_INVALID, "the external plugins cannot be read");
	put(w, asset->data, registry);
	uint64_t identity = w->len;
	put_u8(w, EXTERNAL_AGENT_IDENTITY);
	put_text(w, uri);
	uint64_t fresh = w->len;
	put(w, records, (size_t)(externals - records));
	put_le(w, n + 1, 4);
	put(w, first, (size_t)(again.at - first));
	write_identity(w, identity);
	struct writer header = {.out = w->out, .len = 0};
	struct layout layout;
	bug_if(read_layout(asset, &layout, NULL) != 0);
	header.len = layout.header + 1;
	put_le(&header, fresh, 8);
	return 0;
}

/* An asset without plugins gets an empty header and registry first. */
static void add_registry(struct account_state *asset)
{
	struct account_state fresh = *asset;

	fresh.data = NULL;
	struct writer w = {.out = account_state_resize(&fresh, asset->len + 9 + 9)};
	put(&w, asset->data, asset->len);
	put_u8(&w, KEY_HEADER);
	put_le(&w, asset->len + 9, 8);
	put_u8(&w, KEY_REGISTRY);
	put_le(&w, 0, 4);
	put_le(&w, 0, 4);
	free(asset->data);
	*asset = fresh;
}

int core_asset_add_identity(struct account_state *asset, const char *uri, struct error *err)
{
	uint64_t fees = asset->lamports - rent_exempt(asset->len);
	struct account_state scoped_state fresh = {0};
	struct layout layout;

	if (read_layout(asset, &layout, err) != 0)
		return -1;
	if (!layout.registry) {
		add_registry(asset);
		bug_if(read_layout(asset, &layout, NULL) != 0);
	}
	struct writer w = {
	    .out = account_state_resize(&fresh, asset->len + strlen(uri) + 5 + EXTERNAL_LEN)};
	if (rewrite_with_identity(asset, layout.registry, uri, &w, err) != 0)
		return -1;
	memcpy(account_state_resize(asset, w.len), fresh.data, w.len);
	asset->lamports = rent_exempt(asset->len) + fees;
	return 0;
}

int core_transfer(struct account_state *asset, const uint8_t to[PUBKEY_LEN], struct error *err)
{
	struct layout layout;

	if (read_layout(asset, &layout, err) != 0)
		return -1;
	if (layout.registry && reset_authorities(asset, layout.registry, err) != 0)
		return -1;
	memcpy(asset->data + 1, to, PUBKEY_LEN);
	bump_seq(asset, &layout);
	return 0;
}

int core_burn(struct account_state *asset, struct error *err)
{
	uint64_t rent = rent_exempt(asset->len);
	uint64_t fees = asset->lamports > rent ? asset->lamports - rent : 0;

	if (!core_is_asset(asset))
		return error_set(err, ERR_INVALID, "not a Core asset");
	account_state_resize(asset, 1);
	asset->lamports = rent_exempt(1) + fees;
	return 0;
}

int core_move(struct account_state *asset, enum core_update update,
    const uint8_t authority[PUBKEY_LEN], struct error *err)
{
	struct layout layout;

	if (read_layout(asset, &layout, err) != 0)
		return -1;
	if (asset->data[33] == CORE_UPDATE_NONE || update == CORE_UPDATE_NONE)
		return error_set(
		    err, ERR_INVALID, "an asset without update authority cannot be moved");
	asset->data[33] = (uint8_t)update;
	memcpy(asset->data + 34, authority, PUBKEY_LEN);
	bump_seq(asset, &layout);
	return 0;
}

static void add_u32(uint8_t *at, int delta)
{
	struct reader r = {at, at + 4, false};
	struct writer w = {.out = at};
	int64_t value = (int64_t)take_le(&r, 4) + delta;

	put_le(&w, value < 0 ? 0 : (uint64_t)value, 4);
}

int core_collection_count(struct account_state *collection, int minted, int size, struct error *err)
{
	const uint8_t *counters;
	struct reader r;

	if (!core_is_collection(collection))
		return error_set(err, ERR_INVALID, "not a Core collection");
	r = (struct reader){collection->data, collection->data + collection->len, false};
	take(&r, 33);
	take(&r, take_le(&r, 4));
	take(&r, take_le(&r, 4));
	counters = take(&r, 8);
	if (!counters)
		return error_set(err, ERR_INVALID, "the collection's bytes cannot be read");
	add_u32(collection->data + (counters - collection->data), minted);
	add_u32(collection->data + (counters - collection->data) + 4, size);
	return 0;
}
