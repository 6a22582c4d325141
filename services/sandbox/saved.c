#include "services/sandbox/saved.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* ---- what the vault knows */

void saved_keep_pending(struct saved *saved, size_t keep, version_dropped dropped, void *arg)
{
	struct saved_pending *pending = &saved->pending;
	if (saved->versions.n > 0)
		memcpy(saved->versions.item[0].manifest, saved->digest,
		    sizeof(saved->versions.item[0].manifest));
	versions_add(&saved->versions, &pending->version, keep, dropped, arg);
	saved->number = pending->version.number;
	memcpy(saved->digest, pending->digest, sizeof(saved->digest));
	memcpy(saved->fingerprint, pending->fingerprint, sizeof(saved->fingerprint));
	if (pending->must_fill) {
		saved->must_fill = true;
		saved->filling[0] = '\0';
	}
	saved->trying[0] = '\0';
	*pending = (struct saved_pending){0};
}

static bool has_kept_pending(const struct saved *saved, uint64_t newest, const uint8_t digest[32])
{
	return saved->pending.until_ms && saved->pending.version.number == newest &&
	       memcmp(saved->pending.digest, digest, sizeof(saved->pending.digest)) == 0;
}

/* The vault's store went back in time, and with it what it knows of snapshots: the files here are the newest all the same. */
static void go_back(struct saved *saved, uint64_t newest, const uint8_t digest[32])
{
	while (saved->versions.n > 0 && saved->versions.item[0].number > newest)
		versions_remove(&saved->versions, saved->versions.item[0].number);
	saved->number = newest;
	memcpy(saved->digest, digest, sizeof(saved->digest));
	memset(saved->fingerprint, 0, sizeof(saved->fingerprint));
}

/* The same number made anew, by another host, after the vault's store went back in time. It may be known by its number alone. */
static bool is_another(const struct saved *saved, uint64_t newest, const uint8_t digest[32])
{
	return newest == saved->number && !sodium_is_zero(saved->digest, sizeof(saved->digest)) &&
	       memcmp(saved->digest, digest, sizeof(saved->digest)) != 0;
}

enum saved_source saved_settle(struct saved *saved, uint64_t newest, const uint8_t digest[32],
    uint64_t now_ms, size_t keep, version_dropped dropped, void *arg)
{
	if (has_kept_pending(saved, newest, digest)) {
		saved_keep_pending(saved, keep, dropped, arg);
	} else if (saved->pending.until_ms && now_ms > saved->pending.until_ms) {
		memcpy(saved->trying, saved->pending.version.object, sizeof(saved->trying));
		if (versions_have_object(&saved->versions, saved->trying))
			saved->trying[0] = '\0'; /* of a restore */
		saved->pending = (struct saved_pending){0};
	}
	if (newest < saved->number && !saved->must_fill)
		go_back(saved, newest, digest);
	if (is_another(saved, newest, digest))
		return SAVED_FROM_STORE;
	if (newest == saved->number)
		memcpy(saved->digest, digest, sizeof(saved->digest));
	if (newest == 0)
		return SAVED_LOCAL_ANY;
	return newest != saved->number || saved->is_stale || saved->must_fill ? SAVED_FROM_STORE
									      : SAVED_LOCAL;
}

void saved_filled(struct saved *saved, const char *boot)
{
	if (saved->must_fill && strcmp(saved->filling, boot) == 0) {
		saved->must_fill = false;
		saved->filling[0] = '\0';
	}
}

bool saved_has_objects(const struct saved *saved)
{
	return saved->number || saved->pending.until_ms || saved->trying[0] || saved->handed[0];
}

/* ---- writing */

static json_t *hex_json(const uint8_t *bytes, size_t len)
{
	char text[2 * 32 + 1];
	bug_if(2 * len >= sizeof(text));
	return json_string(sodium_bin2hex(text, sizeof(text), bytes, len));
}

static json_t *version_json(const struct version *version)
{
	return json_pack("[I, I, I, I, I, o, o, b, s, s, s]", (json_int_t)version->number,
	    (json_int_t)version->created_ms, (json_int_t)version->bytes, (json_int_t)version->files,
	    (json_int_t)version->stored_bytes, hex_json(version->digest, sizeof(version->digest)),
	    hex_json(version->manifest, sizeof(version->manifest)), version->is_damaged,
	    version->trigger, version->boot, version->object);
}

static json_t *pending_json(const struct saved_pending *pending)
{
	if (!pending->until_ms)
		return json_null();
	return json_pack("{s:I, s:o, s:o, s:b, s:o}", "until_ms", (json_int_t)pending->until_ms,
	    "digest", hex_json(pending->digest, 32), "fingerprint",
	    hex_json(pending->fingerprint, 32), "fill", pending->must_fill, "version",
	    version_json(&pending->version));
}

json_t *saved_json(const struct saved *saved)
{
	json_t *versions = json_array();
	for (size_t i = 0; i < saved->versions.n; i++)
		json_array_append_new(versions, version_json(&saved->versions.item[i]));
	json_t *json =
	    json_pack("{s:I, s:o, s:o, s:b, s:b, s:b, s:s, s:o, s:o, s:s, s:s, s:s, s:s}", "number",
		(json_int_t)saved->number, "digest", hex_json(saved->digest, 32), "fingerprint",
		hex_json(saved->fingerprint, 32), "unsaved", saved->is_unsaved, "stale",
		saved->is_stale, "fill", saved->must_fill, "filling", saved->filling, "versions",
		versions, "pending", pending_json(&saved->pending), "trying", saved->trying,
		"handed", saved->handed, "outcome", saved->outcome, "why", saved->why);
	bug_if(!json);
	return json;
}

/* ---- reading */

static bool take_text(const json_t *from, char *to, size_t size)
{
	const char *text = json_string_value(from);
	if (!text || strlen(text) >= size)
		return false;
	memcpy(to, text, strlen(text) + 1);
	return true;
}

static bool take_number(const json_t *from, uint64_t *to)
{
	*to = (uint64_t)json_integer_value(from);
	return json_is_integer(from);
}

static bool take_hex(const json_t *from, uint8_t *to, size_t size)
{
	const char *text = json_string_value(from), *end;
	size_t len = 0;
	return text && sodium_hex2bin(to, size, text, strlen(text), NULL, &len, &end) == 0 &&
	       *end == '\0' && len == size;
}

static bool take_bool(const json_t *from, bool *to)
{
	*to = json_is_true(from);
	return json_is_boolean(from);
}

static bool is_object_or_none(const char *object)
{
	return !object[0] || version_object_is_good(object);
}

static bool take_version(const json_t *from, struct version *to)
{
	return json_array_size(from) == 11 && take_number(json_array_get(from, 0), &to->number) &&
	       take_number(json_array_get(from, 1), &to->created_ms) &&
	       take_number(json_array_get(from, 2), &to->bytes) &&
	       take_number(json_array_get(from, 3), &to->files) &&
	       take_number(json_array_get(from, 4), &to->stored_bytes) &&
	       take_hex(json_array_get(from, 5), to->digest, sizeof(to->digest)) &&
	       take_hex(json_array_get(from, 6), to->manifest, sizeof(to->manifest)) &&
	       take_bool(json_array_get(from, 7), &to->is_damaged) &&
	       take_text(json_array_get(from, 8), to->trigger, sizeof(to->trigger)) &&
	       take_text(json_array_get(from, 9), to->boot, sizeof(to->boot)) &&
	       take_text(json_array_get(from, 10), to->object, sizeof(to->object)) &&
	       version_object_is_good(to->object) && to->number > 0;
}

static bool take_versions(const json_t *from, struct versions *to)
{
	const json_t *item;
	size_t i;
	if (!json_is_array(from) || json_array_size(from) > VERSIONS_MAX)
		return false;
	json_array_foreach(from, i, item)
	{
		if (!take_version(item, &to->item[i]))
			return false;
		to->n++;
	}
	return true;
}

static bool take_pending(const json_t *from, struct saved_pending *to)
{
	if (json_is_null(from))
		return true;
	return take_number(json_object_get(from, "until_ms"), &to->until_ms) &&
	       take_hex(json_object_get(from, "digest"), to->digest, 32) &&
	       take_hex(json_object_get(from, "fingerprint"), to->fingerprint, 32) &&
	       take_bool(json_object_get(from, "fill"), &to->must_fill) &&
	       take_version(json_object_get(from, "version"), &to->version);
}

#define GET(key) json_object_get(from, key)
bool saved_take(const json_t *from, struct saved *to)
{
	*to = (struct saved){0};
	return json_is_object(from) && take_number(GET("number"), &to->number) &&
	       take_hex(GET("digest"), to->digest, 32) &&
	       take_hex(GET("fingerprint"), to->fingerprint, 32) &&
	       take_bool(GET("unsaved"), &to->is_unsaved) &&
	       take_bool(GET("stale"), &to->is_stale) && take_bool(GET("fill"), &to->must_fill) &&
	       take_text(GET("filling"), to->filling, sizeof(to->filling)) &&
	       take_versions(GET("versions"), &to->versions) &&
	       take_pending(GET("pending"), &to->pending) &&
	       take_text(GET("trying"), to->trying, sizeof(to->trying)) &&
	       is_object_or_none(to->trying) &&
	       take_text(GET("handed"), to->handed, sizeof(to->handed)) &&
	       take_text(GET("outcome"), to->outcome, sizeof(to->outcome)) &&
	       take_text(GET("why"), to->why, sizeof(to->why));
}
