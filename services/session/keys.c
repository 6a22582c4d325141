#include "services/session/keys.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (16 * 1024)
#define KEY_MIN 32
#define KEY_MAX 128
#define DIGITS "0123456789"
#define KID_CHARS DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-"

struct word {
	const char *at;
	size_t len;
};

static struct word next_word(const char **at, const char *end)
{
	while (*at < end && (**at == ' ' || **at == '\t'))
		(*at)++;
	struct word word = {.at = *at};
	while (*at < end && **at != ' ' && **at != '\t')
		(*at)++;
	word.len = (size_t)(*at - word.at);
	return word;
}

static int parse_kid(struct word word, char kid_r[KID_MAX + 1])
{
	if (word.len == 0 || word.len > KID_MAX)
		return -1;
	memcpy(kid_r, word.at, word.len);
	kid_r[word.len] = '\0';
	return strspn(kid_r, KID_CHARS) == word.len ? 0 : -1;
}

static int parse_seconds(struct word word, uint64_t *seconds_r)
{
	char text[13];
	if (word.len == 0 || word.len >= sizeof(text))
		return -1;
	memcpy(text, word.at, word.len);
	text[word.len] = '\0';
	if (strspn(text, DIGITS) != word.len)
		return -1;
	*seconds_r = strtoull(text, NULL, 10);
	return 0;
}

/* A random key of 32 bytes is printable text, or has fewer than 8 different bytes, once in 10^13 keys. A passphrase, an example from a manual, a run
 * of zeros: always. */
static bool looks_random(const uint8_t *bytes, size_t len)
{
	bool seen[256] = {false}, text = true;
	size_t different = 0;
	for (size_t i = 0; i < len; i++) {
		different += !seen[bytes[i]];
		seen[bytes[i]] = true;
		text = text && ((bytes[i] >= 0x20 && bytes[i] < 0x7f) || bytes[i] == '\n');
	}
	return !text && different >= 8;
}

static int parse_secret(struct word word, struct secret **secret_r, const char **why_r)
{
	uint8_t bytes[KEY_MAX];
	size_t len = 0;
	int rc = sodium_base642bin(bytes, sizeof(bytes), word.at, word.len, NULL, &len, NULL,
	    sodium_base64_VARIANT_ORIGINAL);
	*why_r = NULL;
	if (rc != 0)
		*why_r = "the key is not base64 of at most 128 bytes";
	else if (len < KEY_MIN)
		*why_r = "the key is shorter than 32 bytes";
	else if (!looks_random(bytes, len))
		*why_r = "the key is a placeholder or a text, not random bytes";
	else
		*secret_r = secret_new(bytes, len);
	sodium_memzero(bytes, sizeof(bytes));
	return *why_r ? -1 : 0;
}

static void compose_header(struct signing_key *key)
{
	char json[96];
	int len = snprintf(
	    json, sizeof(json), "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}", key->kid);
	bug_if(len < 0 || (size_t)len >= sizeof(json));
	jws_encode(json, (size_t)len, key->header, sizeof(key->header));
}

/* Returns NULL, or what is wrong with the line. key->secret is set only on success. */
static const char *parse_line(const char *at, const char *end, struct signing_key *key)
{
	const char *why = NULL;
	struct secret *secret = NULL;
	if (parse_kid(next_word(&at, end), key->kid) != 0)
		return "the id is not 1 to 32 of A-Z a-z 0-9 . _ -";
	if (parse_seconds(next_word(&at, end), &key->not_before_s) != 0 ||
	    parse_seconds(next_word(&at, end), &key->not_after_s) != 0)
		return "a time is not whole Unix seconds";
	if (key->not_before_s >= key->not_after_s)
		return "the key ends before it begins";
	struct word text = next_word(&at, end);
	if (next_word(&at, end).len != 0)
		return "there is something after the key";
	if (parse_secret(text, &secret, &why) != 0)
		return why;
	key->secret = secret;
	compose_header(key);
	return NULL;
}

static const struct signing_key *find(const struct keys *keys, const char *kid)
{
	for (size_t i = 0; i < keys->len; i++) {
		if (strcmp(keys->key[i].kid, kid) == 0)
			return &keys->key[i];
	}
	return NULL;
}

static const char *add_line(struct keys *keys, const char *at, const char *end)
{
	struct signing_key key = {0};
	if (keys->len == KEYS_MAX)
		return "there are more than 16 keys";
	const char *why = parse_line(at, end, &key);
	if (why)
		return why;
	if (find(keys, key.kid)) {
		secret_destroy(&key.secret);
		return "the id is used twice";
	}
	keys->key[keys->len++] = key;
	return NULL;
}

struct keys *keys_parse(const char *text, size_t len, struct error *err)
{
	struct keys *keys = calloc(1, sizeof(*keys));
	bug_if(!keys);
	const char *at = text, *end = text + len;
	for (unsigned line = 1; at < end; line++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		stop = stop ? stop : end;
		const char *first = at;
		bool blank = next_word(&first, stop).len == 0;
		const char *why = blank || *at == '#' ? NULL : add_line(keys, at, stop);
		if (why) {
			error_set(err, ERR_INVALID, "line %u: %s", line, why);
			keys_destroy(&keys);
			return NULL;
		}
		at = stop + 1;
	}
	if (keys->len == 0) {
		error_set(err, ERR_INVALID, "there is no key in it");
		keys_destroy(&keys);
	}
	return keys;
}

struct keys *keys_read(const char *path, struct error *err)
{
	scoped_secret struct secret *file = secret_read_file(path, FILE_MAX, err);
	if (!file)
		return NULL;
	struct error why;
	struct keys *keys = keys_parse((const char *)secret_bytes(file), secret_len(file), &why);
	if (!keys)
		error_set(err, ERR_INVALID, "%s: %s", path, why.text);
	return keys;
}

void keys_destroy(struct keys **keys)
{
	if (!*keys)
		return;
	for (size_t i = 0; i < (*keys)->len; i++)
		secret_destroy(&(*keys)->key[i].secret);
	free(*keys);
	*keys = NULL;
}

const struct signing_key *keys_signer(const struct keys *keys, uint64_t now_s)
{
	const struct signing_key *newest = NULL;
	for (size_t i = 0; i < keys->len; i++) {
		const struct signing_key *key = &keys->key[i];
		bool usable = key->not_before_s <= now_s && now_s < key->not_after_s;
		if (usable && (!newest || key->not_before_s > newest->not_before_s))
			newest = key;
	}
	return newest;
}

static bool verifies(const struct signing_key *key, uint64_t now_s)
{
	return key->not_before_s <= now_s + CLOCK_SKEW_S && now_s < key->not_after_s;
}

const struct signing_key *keys_match(const struct keys *keys, const struct jws *jws, uint64_t now_s)
{
	for (size_t i = 0; i < keys->len; i++) {
		if (verifies(&keys->key[i], now_s) && jws_header_is(jws, keys->key[i].header))
			return &keys->key[i];
	}
	return NULL;
}

const struct signing_key *keys_named(const struct keys *keys, const char *kid, uint64_t now_s)
{
	const struct signing_key *key = find(keys, kid);
	return key && verifies(key, now_s) ? key : NULL;
}

bool keys_retired(const struct keys *old, uint64_t then_s, const struct keys *new, uint64_t now_s)
{
	for (size_t i = 0; i < old->len; i++) {
		const struct signing_key *was = &old->key[i];
		const struct signing_key *is = new ? find(new, was->kid) : NULL;
		bool same = is && secret_equal(is->secret, secret_bytes(was->secret),
				      secret_len(was->secret));
		if (verifies(was, then_s) && !(same && verifies(is, now_s)))
			return true;
	}
	return false;
}

uint64_t keys_next_end(const struct keys *keys, uint64_t now_s)
{
	uint64_t next = UINT64_MAX;
	for (size_t i = 0; i < keys->len; i++) {
		uint64_t end = keys->key[i].not_after_s;
		if (end > now_s && end < next)
			next = end;
	}
	return next;
}
