#include "services/router/lines.h"

#include <string.h>

#include "common/wire.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* By the first byte; 1 for those that begin no character. */
static size_t length_of(uint8_t first)
{
	if (first >= 0xf0)
		return 4;
	if (first >= 0xe0)
		return 3;
	return first >= 0xc0 ? 2 : 1;
}

static size_t make_text(const uint8_t *bytes, size_t len, char *text)
{
	size_t at = 0, used = 0;
	while (at < len) {
		size_t n = length_of(bytes[at]);
		if (n <= len - at && utf8_is_valid((const char *)bytes + at, n)) {
			memcpy(text + used, bytes + at, n);
			used += n;
			at += n;
		} else {
			memcpy(text + used, replacement, sizeof(replacement) - 1);
			used += sizeof(replacement) - 1;
			at++;
		}
	}
	return used;
}

static void emit(struct lines *lines, char *text_r, size_t *text_len_r)
{
	size_t len = lines->len;
	if (len > 0 && lines->bytes[len - 1] == '\r')
		len--;
	*text_len_r = make_text(lines->bytes, len, text_r);
	lines->len = 0;
}

bool lines_add(struct lines *lines, const uint8_t *bytes, size_t len, size_t *used_r, char *text_r,
    size_t *text_len_r)
{
	size_t room = LINES_MAX - lines->len;
	size_t part = len < room ? len : room;
	const uint8_t *end = memchr(bytes, '\n', part);
	if (end)
		part = (size_t)(end - bytes);
	memcpy(lines->bytes + lines->len, bytes, part);
	lines->len += part;
	*used_r = end ? part + 1 : part;
	if (!end && lines->len < LINES_MAX)
		return false;
	emit(lines, text_r, text_len_r);
	return true;
}

bool lines_flush(struct lines *lines, char *text_r, size_t *text_len_r)
{
	if (lines->len == 0)
		return false;
	emit(lines, text_r, text_len_r);
	return true;
}
