#include "services/packer/scan_values.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scoped.h"
#include "proto/warden.h"
#include "services/packer/scan.h"
#include "services/packer/scan_encode.h"
#include "services/packer/scan_pem.h"
#include "services/packer/scan_wallet.h"

#define FILES_BYTES_MAX (160u << 20) /* 64 MiB at most are live, and were given at the start */
#define PATH_LEN_MAX 1024
#define EXTRA_UNTIL 12000 /* patterns */
#define LONG 256
#define EXTRA_WINDOWS 8
#define JSON_SECRET_MIN 16
#define WORD_MAX 15
#define NUMBER_MAX 11

uint32_t values_name(struct values *values, const char *path, const char *part)
{
	char(*name)[VALUE_NAME_MAX + 1] =
	    realloc(values->name, (values->nnames + 1) * sizeof(*name));

	bug_if(!name);
	values->name = name;
	if (part[0])
		snprintf(name[values->nnames], sizeof(*name), "%.40s (%s)", path, part);
	else
		snprintf(name[values->nnames], sizeof(*name), "%s", path);
	return (uint32_t)values->nnames++;
}

void values_add(struct values *values, uint32_t name, const void *bytes, size_t len, bool is_extra)
{
	if (len >= SCAN_SECRET_MIN && !patterns_is_common(bytes, len) &&
	    (!is_extra || values->patterns.n < EXTRA_UNTIL))
		scan_encode(&values->patterns, name, bytes, len);
}

static bool is_word(const uint8_t *bytes, size_t len)
{
	bool has_upper = false, has_lower = false;

	if (len > WORD_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalpha(bytes[i]) && !strchr("-_. ", bytes[i]))
			return false;
		has_upper |= i > 0 && isupper(bytes[i]);
		has_lower |= i > 0 && islower(bytes[i]);
	}
	return !(has_upper && has_lower);
}

static bool is_number(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isdigit(bytes[i]))
			return false;
	return len <= NUMBER_MAX;
}

static void add_long(struct values *values, uint32_t name, const uint8_t *bytes, size_t len)
{
	size_t stride = (len - PATTERN_MAX) / EXTRA_WINDOWS;
	bool is_good;

	values_add(values, name, bytes + scan_encode_window(bytes, len, PATTERN_MAX, &is_good),
	    PATTERN_MAX, false);
	/* not from the front, which may be the same in many */
	for (size_t i = 0; i < EXTRA_WINDOWS && stride > 0; i++) {
		const uint8_t *part = bytes + PATTERN_MAX + i * stride;
		size_t left = (size_t)(bytes + len - part), want = stride + PATTERN_MAX;
		size_t at =
		    scan_encode_window(part, left < want ? left : want, PATTERN_MAX, &is_good);

		if (is_good && left - at >= PATTERN_MAX)
			values_add(values, name, part + at, PATTERN_MAX, true);
	}
}

/* scheme://user:password@ */
static void add_password(struct values *values, uint32_t name, const uint8_t *bytes, size_t len)
{
	const uint8_t *from = memmem(bytes, len, "://", 3);

	if (!from)
		return;
	from += 3;
	const uint8_t *end = bytes + len, *at = memchr(from, '@', (size_t)(end - from));
	const uint8_t *colon = at ? memchr(from, ':', (size_t)(at - from)) : NULL;
	if (colon && !is_word(colon + 1, (size_t)(at - colon - 1)))
		values_add(values, name, colon + 1, (size_t)(at - colon - 1), false);
}

static void add_value(struct values *values, const char *path, const uint8_t *bytes, size_t len);

static bool is_credential(const char *key)
{
	static const char *const words[] = {"token", "secret", "password", "passwd", "passphrase",
	    "key", "credential", "signing", "mnemonic", "seed", "jwt", "cookie"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasestr(key, words[i]))
			return true;
	return false;
}

/* "token_uri" and its like: where tokens are got, the same for all. */
static bool is_page(const char *text)
{
	return strncasecmp(text, "http", 4) == 0 && strstr(text, "://") && !strchr(text, '@');
}

static void add_strings(struct values *values, const char *path, const char *key, json_t *json)
{
	const char *name;
	json_t *member;
	size_t i;

	json_object_foreach(json, name, member) add_strings(values, path, name, member);
	json_array_foreach(json, i, member) add_strings(values, path, key, member);
	if (json_is_string(json) && is_credential(key) && !is_page(json_string_value(json)) &&
	    json_string_length(json) >= JSON_SECRET_MIN)
		add_value(values, path, (const uint8_t *)json_string_value(json),
		    json_string_length(json));
}

static bool add_json(struct values *values, const char *path, const uint8_t *bytes, size_t len)
{
	scoped_json json_t *json = json_loadb((const char *)bytes, len, JSON_ALLOW_NUL, NULL);

	if (!json)
		return false;
	add_strings(values, path, "", json);
	return true;
}

static void add_value(struct values *values, const char *path, const uint8_t *bytes, size_t len)
{
	if (len < SCAN_SECRET_MIN || is_word(bytes, len) || is_number(bytes, len))
		return;
	bool is_json = (bytes[0] == '{' || bytes[0] == '[') && add_json(values, path, bytes, len);
	/* a PEM's own lines are what is looked for */
	if (!is_json && scan_pem_add(values, path, bytes, len))
		return;
	uint32_t name = values_name(values, path, "");
	if (len > LONG)
		add_long(values, name, bytes, len);
	else
		values_add(values, name, bytes, len, false);
	add_password(values, name, bytes, len);
}

static bool is_configuration(const char *path)
{
	static const char *const paths[] = {
	    "custom/egress-hosts", "custom/allow-service-workers", "custom/snapshot-exclude"};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (strcmp(path, paths[i]) == 0)
			return true;
	return false;
}

static void add_file(struct values *values, const char *path, const uint8_t *bytes, size_t len)
{
	while (len > 0 && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r'))
		len--;
	if (len == 0 || is_configuration(path))
		return;
	if ((strcmp(path, "channels.json") == 0 || strcmp(path, "openclaw.json") == 0) &&
	    add_json(values, path, bytes, len))
		return;
	if (strcmp(path, "wallet/hot.json") == 0 && scan_wallet_add(values, path, bytes, len))
		return;
	add_value(values, path, bytes, len);
}

static int parse(struct values *values, const uint8_t *bytes, size_t len, struct error *err)
{
	struct warden_file head;
	char path[PATH_LEN_MAX + 1];

	for (size_t at = 0; at < len; at += head.size) {
		if (len - at < sizeof(head))
			return error_set(err, ERR_INVALID, "the secrets are cut off");
		memcpy(&head, bytes + at, sizeof(head));
		at += sizeof(head);
		if (head.path_len == 0 || head.path_len > PATH_LEN_MAX ||
		    head.path_len > len - at || head.size > len - at - head.path_len)
			return error_set(err, ERR_INVALID, "the secrets are malformed");
		memcpy(path, bytes + at, head.path_len);
		path[head.path_len] = '\0';
		at += head.path_len;
		add_file(values, path, bytes + at, head.size);
	}
	patterns_unique(&values->patterns);
	return 0;
}

static int read_all(int fd, uint8_t *bytes, size_t len, struct error *err)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = pread(fd, bytes + at, len - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_set(err, ERR_UNAVAILABLE, "the secrets cannot be read: %s",
			    n < 0 ? strerror(errno) : "cut off");
		at += (size_t)n;
	}
	return 0;
}

int values_read(struct values *values_r, int fd, struct error *err)
{
	struct stat st;

	*values_r = (struct values){0};
	if (fstat(fd, &st) != 0)
		return error_set(
		    err, ERR_UNAVAILABLE, "the secrets cannot be read: %s", strerror(errno));
	if (st.st_size < 0 || st.st_size > FILES_BYTES_MAX)
		return error_set(err, ERR_INVALID, "the secrets are too large");
	size_t len = (size_t)st.st_size;
	uint8_t *bytes = malloc(len + 1);
	bug_if(!bytes);
	int rc = read_all(fd, bytes, len, err);
	if (rc == 0)
		rc = parse(values_r, bytes, len, err);
	sodium_memzero(bytes, len);
	free(bytes);
	if (rc != 0)
		values_clear(values_r);
	return rc;
}

void values_clear(struct values *values)
{
	patterns_clear(&values->patterns);
	free(values->name);
	*values = (struct values){0};
}
