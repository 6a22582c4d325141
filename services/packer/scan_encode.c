#include "services/packer/scan_encode.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/wire.h"

/* bytes of the value that a pattern of each form holds */
#define BASE64_PART \
	45 /* 60 characters: on two lines at most, whatever they are wrapped at from 60 on */
#define HEX_PART 30     /* 60 */
#define PERCENT_PART 21 /* %XX each */
#define U_PART 10       /* \u00XX each */
#define UTF16_PART 32
#define LOOKS 1024 /* places tried in a long value */
#define GOOD 24    /* of 32 bytes: base64 has 30 or so, hex 21 and more digits, prose 10 */
#define FORM_BYTES (PATTERN_MAX * 12 + 1)

enum sort { SORT_OTHER, SORT_LOWER, SORT_UPPER, SORT_DIGIT, SORT_BINARY };
static enum sort sort_of(uint8_t c)
{
	if (c >= 'a' && c <= 'z')
		return SORT_LOWER;
	if (c >= 'A' && c <= 'Z')
		return SORT_UPPER;
	if (c >= '0' && c <= '9')
		return SORT_DIGIT;
	return c < 0x20 || c >= 0x7f ? SORT_BINARY : SORT_OTHER;
}

/* Letters, capitals and digits side by side, and how many different ones. */
static unsigned score(const uint8_t *bytes, size_t len)
{
	uint8_t seen[256] = {0};
	unsigned points = 0;
	enum sort before = SORT_OTHER;

	for (size_t i = 0; i < len; i++) {
		enum sort now = sort_of(bytes[i]);

		points += !seen[bytes[i]];
		seen[bytes[i]] = 1;
		points += now == SORT_BINARY ||
			  (now != before && now != SORT_OTHER && before != SORT_OTHER);
		before = now;
	}
	return points;
}

size_t scan_encode_window(const uint8_t *bytes, size_t len, size_t want, bool *is_good_r)
{
	size_t best = 0, step = 1 + len / LOOKS;
	unsigned most = 0;

	if (len <= want)
		want = len;
	for (size_t at = 0; at <= len - want; at += step) {
		unsigned points = score(bytes + at, want);

		if (points > most)
			most = points;
	}
	for (size_t at = 0; at <= len - want; at += step)
		if (score(bytes + at, want) * 20 >= most * 17)
			best = at;
	if (is_good_r)
		*is_good_r = most * 32 >= GOOD * want;
	return best;
}

/* Between LE and BE there is a NUL of difference at each end; without those one pattern is found in both. */
static void add_wide_ascii(
    struct patterns *patterns, struct pattern_of of, const char *text, size_t len)
{
	uint8_t wide[PATTERN_MAX] = {0};
	size_t n = len > UTF16_PART ? UTF16_PART : len;

	for (size_t i = 0; i < n; i++)
		wide[2 * i] = (uint8_t)text[len - n + i];
	if (n > 0)
		patterns_add(patterns, of, wide, 2 * n - 1);
	sodium_memzero(wide, sizeof(wide));
}

/* The characters that hold bits of these bytes alone, when k bytes of a triple come before. */
static void add_base64_at(
    struct patterns *patterns, uint32_t name, const uint8_t *part, size_t len, size_t k)
{
	static const size_t first[3] = {0, 2, 3};
	uint8_t padded[2 + BASE64_PART] = {0};
	char text[2 * sizeof(padded)];
	size_t end = (k + len) * 8 / 6;

	memcpy(padded + k, part, len);
	sodium_bin2base64(
	    text, sizeof(text), padded, k + len, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	struct pattern_of of = {PATTERN_BASE64, name, false};
	struct pattern_of wide = {PATTERN_UTF16_BASE64, name, false};
	for (int is_url = 0; is_url < 2; is_url++) {
		patterns_add(patterns, of, text + first[k], end - first[k]);
		add_wide_ascii(patterns, wide, text + first[k], end - first[k]);
		for (char *c = text; *c; c++)
			*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
		of.form = PATTERN_BASE64URL;
	}
	sodium_memzero(padded, sizeof(padded));
	sodium_memzero(text, sizeof(text));
}

static void add_base64(struct patterns *patterns, uint32_t name, const uint8_t *bytes, size_t len)
{
	size_t at = scan_encode_window(bytes, len, BASE64_PART, NULL);
	size_t part = len < BASE64_PART ? len : BASE64_PART;

	for (size_t k = 0; k < 3; k++)
		add_base64_at(patterns, name, bytes + at, part, k);
}

static void add_hex(struct patterns *patterns, uint32_t name, const uint8_t *bytes, size_t len)
{
	char text[2 * HEX_PART + 1];
	size_t at = scan_encode_window(bytes, len, HEX_PART, NULL);
	size_t part = len < HEX_PART ? len : HEX_PART;

	sodium_bin2hex(text, sizeof(text), bytes + at, part);
	patterns_add(patterns, (struct pattern_of){PATTERN_HEX, name, true}, text, 2 * part);
	add_wide_ascii(
	    patterns, (struct pattern_of){PATTERN_UTF16_HEX, name, true}, text, 2 * part);
	sodium_memzero(text, sizeof(text));
}

struct form {
	char text[FORM_BYTES];
	size_t len;
};

static void put(struct form *form, const char *text, size_t len)
{
	bug_if(len > sizeof(form->text) - 1 - form->len);
	memcpy(form->text + form->len, text, len);
	form->len += len;
	form->text[form->len] = '\0';
}

static void put_escape(struct form *form, const char *fmt, unsigned value)
{
	char text[16];
	int len = snprintf(text, sizeof(text), fmt, value);

	put(form, text, (size_t)len);
}

static bool is_alnum(uint8_t c)
{
	enum sort sort = sort_of(c);

	return sort == SORT_LOWER || sort == SORT_UPPER || sort == SORT_DIGIT;
}

static void add_form(struct patterns *patterns, struct pattern_of of, struct form *form)
{
	patterns_add(patterns, of, form->text, form->len);
	sodium_memzero(form, sizeof(*form));
}

/* plain: what stands as it is beside letters and digits. */
static void add_percent_with(
    struct patterns *patterns, uint32_t name, const uint8_t *part, size_t len, const char *plain)
{
	struct form form = {.len = 0};
	struct pattern_of of = {PATTERN_RAW, name, false};

	for (size_t i = 0; i < len; i++) {
		uint8_t c = part[i];

		if (plain && (is_alnum(c) || strchr(plain, c))) {
			put(&form, (const char *)&c, 1);
			continue;
		}
		put_escape(&form, "%%%02X", c);
		of = (struct pattern_of){PATTERN_PERCENT, name, true};
	}
	add_form(patterns, of, &form);
}

/* As forms send it: white space is '+'. */
static void add_form_urlencoded(
    struct patterns *patterns, uint32_t name, const uint8_t *part, size_t len)
{
	struct form form = {.len = 0};

	if (!memchr(part, ' ', len))
		return;
	for (size_t i = 0; i < len; i++) {
		uint8_t c = part[i];

		if (is_alnum(c) || strchr("*-._", c))
			put(&form, (const char *)&c, 1);
		else if (c == ' ')
			put(&form, "+", 1);
		else
			put_escape(&form, "%%%02X", c);
	}
	add_form(patterns, (struct pattern_of){PATTERN_PERCENT, name, true}, &form);
}

static void add_percent(struct patterns *patterns, uint32_t name, const uint8_t *bytes, size_t len)
{
	/* RFC 3986; the same without ~; Python's quote; JavaScript's encodeURIComponent and encodeURI */
	static const char *const plain[] = {
	    "-_.~", "-_.", "-_.~/", "-_.~!*'()", "-_.~!*'();,/?:@&=+$#"};
	size_t at = scan_encode_window(bytes, len, PATTERN_MAX, NULL);
	size_t part = len < PATTERN_MAX ? len : PATTERN_MAX;

	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		add_percent_with(patterns, name, bytes + at, part, plain[i]);
	add_form_urlencoded(patterns, name, bytes + at, part);
	at = scan_encode_window(bytes, len, PERCENT_PART, NULL);
	part = len < PERCENT_PART ? len : PERCENT_PART;
	add_percent_with(patterns, name, bytes + at, part, NULL);
}

/* One character of valid UTF-8, or one byte where a part begins or ends within a character. */
static size_t next_char(const uint8_t *at, size_t left, uint32_t *char_r)
{
	size_t len = *at < 0xc0 ? 1 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;

	if (len > left)
		len = left;
	*char_r = *at < 0x80 ? *at : *at & (0x7fu >> len);
	for (size_t i = 1; i < len; i++)
		*char_r = *char_r << 6 | (at[i] & 0x3fu);
	return len;
}

static bool is_inside(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

/* A part of UTF-8 without the halves of characters at its ends. */
static void keep_whole(const uint8_t *bytes, size_t len, size_t *at, size_t *part)
{
	for (; *part > 0 && is_inside(bytes[*at]); ++*at)
		--*part;
	if (*at + *part == len)
		return;
	while (*part > 0 && is_inside(bytes[*at + *part]))
		--*part;
}

enum json_style { JSON_PLAIN = 0, JSON_SLASH = 1, JSON_ASCII = 2, JSON_HTML = 4, JSON_ALL = 8 };

static bool json_is_coded(uint32_t c, unsigned style)
{
	return (style & JSON_ALL) || c < 0x20 || ((style & JSON_ASCII) && c >= 0x7f) ||
	       ((style & JSON_HTML) && (c == '<' || c == '>' || c == '&' || c == '\''));
}

/* Returns whether a \u was put, whose digits may be capitals. */
static bool put_json_char(
    struct form *form, const uint8_t *at, size_t len, uint32_t c, unsigned style)
{
	static const char named[] = "\bb\ff\nn\rr\tt";
	const char *name = c && c < 0x20 ? strchr(named, (int)c) : NULL;

	if (name && !(style & JSON_ALL)) {
		put(form, (const char[]){'\\', name[1]}, 2);
		return false;
	}
	if (json_is_coded(c, style)) {
		if (c >= 0x10000)
			put_escape(form, "\\u%04x", 0xd800 + ((c - 0x10000) >> 10));
		put_escape(form, "\\u%04x", c >= 0x10000 ? 0xdc00 + (c & 0x3ff) : c);
		return true;
	}
	if (c == '"' || c == '\\' || (c == '/' && (style & JSON_SLASH)))
		put(form, "\\", 1);
	put(form, (const char *)at, len);
	return false;
}

static void add_json_with(
    struct patterns *patterns, uint32_t name, const uint8_t *part, size_t len, unsigned style)
{
	struct form form = {.len = 0};
	bool is_coded = false;
	uint32_t c;

	for (size_t at = 0, size; at < len; at += size) {
		size = next_char(part + at, len - at, &c);
		is_coded |= put_json_char(&form, part + at, size, c, style);
	}
	bool is_same = form.len == len && memcmp(form.text, part, len) == 0;
	struct pattern_of of = {is_same ? PATTERN_RAW : PATTERN_JSON, name, is_coded};
	/* a string of JSON within a string of JSON, as in the logs of a conversation */
	if (style == JSON_PLAIN && !is_same && form.len <= 2 * PATTERN_MAX) {
		struct form twice = {.len = 0};

		for (size_t at = 0; at < form.len; at++)
			put_json_char(&twice, (const uint8_t *)form.text + at, 1,
			    (uint8_t)form.text[at], JSON_PLAIN);
		add_form(patterns, of, &twice);
	}
	add_form(patterns, of, &form);
}

static void add_json(struct patterns *patterns, uint32_t name, const uint8_t *bytes, size_t len)
{
	static const unsigned styles[] = {JSON_PLAIN, JSON_SLASH, JSON_ASCII,
	    JSON_ASCII | JSON_SLASH, JSON_HTML, JSON_ASCII | JSON_HTML};
	size_t at = scan_encode_window(bytes, len, PATTERN_MAX, NULL);
	size_t part = len < PATTERN_MAX ? len : PATTERN_MAX;

	keep_whole(bytes, len, &at, &part);
	for (size_t i = 0; i < ARRAY_LEN(styles); i++)
		add_json_with(patterns, name, bytes + at, part, styles[i]);
	at = scan_encode_window(bytes, len, U_PART, NULL);
	part = len < U_PART ? len : U_PART;
	keep_whole(bytes, len, &at, &part);
	add_json_with(patterns, name, bytes + at, part, JSON_ALL);
}

static void put_wide(struct form *form, uint32_t unit, bool is_big)
{
	char pair[2] = {(char)(unit & 0xff), (char)(unit >> 8)};
	char swapped[2] = {pair[1], pair[0]};

	put(form, is_big ? swapped : pair, 2);
}

static void add_utf16(struct patterns *patterns, uint32_t name, const uint8_t *bytes, size_t len)
{
	size_t at = scan_encode_window(bytes, len, UTF16_PART, NULL);
	size_t part = len < UTF16_PART ? len : UTF16_PART;
	const struct pattern_of of = {PATTERN_UTF16, name, false};
	bool is_ascii = true;
	uint32_t c;

	keep_whole(bytes, len, &at, &part);
	for (size_t i = 0; i < part; i++)
		is_ascii &= bytes[at + i] < 0x80;
	if (is_ascii) {
		add_wide_ascii(patterns, of, (const char *)bytes + at, part);
		return;
	}
	for (int is_big = 0; is_big < 2; is_big++) {
		struct form form = {.len = 0};

		for (size_t i = 0; i < part; i += next_char(bytes + at + i, part - i, &c)) {
			next_char(bytes + at + i, part - i, &c);
			if (c >= 0x10000)
				put_wide(&form, 0xd800 + ((c - 0x10000) >> 10), is_big);
			put_wide(&form, c >= 0x10000 ? 0xdc00 + (c & 0x3ff) : c, is_big);
		}
		add_form(patterns, of, &form);
	}
}

void scan_encode(struct patterns *patterns, uint32_t name, const uint8_t *bytes, size_t len)
{
	size_t at = scan_encode_window(bytes, len, PATTERN_MAX, NULL);
	size_t part = len < PATTERN_MAX ? len : PATTERN_MAX;

	patterns_add(patterns, (struct pattern_of){PATTERN_RAW, name, false}, bytes + at, part);
	add_base64(patterns, name, bytes, len);
	add_hex(patterns, name, bytes, len);
	if (!utf8_is_valid((const char *)bytes, len) || memchr(bytes, '\0', len))
		return;
	add_percent(patterns, name, bytes, len);
	add_json(patterns, name, bytes, len);
	add_utf16(patterns, name, bytes, len);
}
