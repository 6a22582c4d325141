#include "services/secret-vault/value.h"

#include <string.h>

#include "common/wire.h"
#include "proto/vault.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_-"
#define NAME_MAX_LEN 64
#define PREVIEW_CHARS 8
#define PREVIEW_FROM 20
_Static_assert(PREVIEW_CHARS * 4 <= PREVIEW_MAX, "characters of UTF-8 have 4 bytes at most");

int value_check_name(const char *kind, const char *name, struct error *err)
{
	size_t len = strlen(name);

	if (strcmp(kind, "llm") != 0 && strcmp(kind, "bot") != 0 && strcmp(kind, "custom") != 0)
		return error_refuse(
		    err, ERR_INVALID, "secret_name_invalid", "the kind must be llm, bot or custom");
	if (len == 0 || len > NAME_MAX_LEN || strspn(name, NAME_CHARS) != len)
		return error_refuse(err, ERR_INVALID, "secret_name_invalid",
		    "the name must be 1 to 64 of a-z 0-9 _ -");
	return 0;
}

/* Of valid UTF-8. Returns the character's length in bytes. */
static size_t next_char(const uint8_t *at, uint32_t *char_r)
{
	size_t len = *at < 0x80 ? 1 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;

	*char_r = len == 1 ? *at : *at & (0x7fu >> len);
	for (size_t i = 1; i < len; i++)
		*char_r = *char_r << 6 | (at[i] & 0x3fu);
	return len;
}

static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
}

/* Unicode's White_Space beside the controls, and the byte order mark that editors put in front. */
static bool is_space(uint32_t c)
{
	return c == 0x20 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
	       c == 0x202f || c == 0x205f || c == 0x3000 || c == 0xfeff;
}

/* Of a key or a token: what gets in by copying from a page, and makes each use of it fail. */
static const char *check_one_line(const uint8_t *bytes, size_t len)
{
	uint32_t c = 0;

	for (size_t at = 0, size; at < len; at += size) {
		size = next_char(bytes + at, &c);
		if (is_control(c))
			return "there is a control character or a line end in it";
		if (at == 0 && is_space(c))
			return "it begins with white space";
	}
	return is_space(c) ? "it ends with white space" : NULL;
}

int value_check(const char *kind, const void *bytes, size_t len, struct error *err)
{
	const char *why = NULL;

	if (len == 0)
		why = "it is empty";
	else if (len > VAULT_VALUE_MAX)
		why = "it is longer than 65,536 bytes";
	else if (memchr(bytes, '\0', len))
		why = "there is a NUL in it";
	else if (!utf8_is_valid(bytes, len))
		why = "it is not UTF-8";
	else if (strcmp(kind, "custom") != 0)
		why = check_one_line(bytes, len);
	if (why)
		return error_refuse(
		    err, ERR_INVALID, "secret_value_invalid", "the value is refused: %s", why);
	return 0;
}

size_t value_preview(const void *bytes, size_t len, char preview_r[PREVIEW_MAX + 1])
{
	const uint8_t *at = bytes;
	size_t chars = 0, shown = 0;
	uint32_t c;

	for (size_t i = 0; i < len; i++)
		chars += (at[i] & 0xc0) != 0x80;
	size_t most = chars < PREVIEW_FROM        ? 0
		      : chars / 4 < PREVIEW_CHARS ? chars / 4
						  : PREVIEW_CHARS;
	for (size_t i = 0; i < most; i++)
		shown += next_char(at + shown, &c);
	memcpy(preview_r, bytes, shown);
	preview_r[shown] = '\0';
	return shown;
}
