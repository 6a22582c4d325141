#include "services/packer/scan_patterns.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "services/packer/scan.h"

#define DIFFERENT_MIN 4
#define PERIOD_MAX 4

static bool is_run(const uint8_t *bytes, size_t len)
{
	for (size_t i = 2; i < len; i++)
		if ((uint8_t)(bytes[i] - bytes[i - 1]) != (uint8_t)(bytes[1] - bytes[0]))
			return false;
	return true;
}

static bool repeats(const uint8_t *bytes, size_t len)
{
	for (size_t period = 1; period <= PERIOD_MAX && period < len; period++)
		if (memcmp(bytes, bytes + period, len - period) == 0)
			return true;
	return false;
}

bool patterns_is_common(const uint8_t *bytes, size_t len)
{
	uint8_t seen[256] = {0};
	unsigned different = 0;

	for (size_t i = 0; i < len; i++) {
		different += !seen[bytes[i]];
		seen[bytes[i]] = 1;
	}
	return different < DIFFERENT_MIN || is_run(bytes, len) || repeats(bytes, len);
}

/* Not realloc, which would leave a copy behind. */
static void grow(struct patterns *patterns)
{
	size_t size = patterns->size ? 2 * patterns->size : 256;
	struct pattern *at = calloc(size, sizeof(*at));

	bug_if(!at);
	if (patterns->at) {
		memcpy(at, patterns->at, patterns->n * sizeof(*at));
		sodium_memzero(patterns->at, patterns->n * sizeof(*at));
		free(patterns->at);
	}
	patterns->at = at;
	patterns->size = size;
}

void patterns_add(struct patterns *patterns, struct pattern_of of, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;

	if (len > PATTERN_MAX) {
		from += len - PATTERN_MAX;
		len = PATTERN_MAX;
	}
	if (len < SCAN_SECRET_MIN || patterns_is_common(from, len))
		return;
	if (patterns->n == patterns->size)
		grow(patterns);
	struct pattern *pattern = &patterns->at[patterns->n++];
	memcpy(pattern->bytes, from, len);
	pattern->len = (uint8_t)len;
	pattern->form = (uint8_t)of.form;
	pattern->name = of.name;
	pattern->is_caseless = of.is_caseless;
}

static int compare(const void *one, const void *other)
{
	const struct pattern *a = one, *b = other;
	int by = memcmp(a->bytes, b->bytes, PATTERN_MAX);

	if (by == 0)
		by = (a->len > b->len) - (a->len < b->len);
	if (by == 0)
		by = (a->is_caseless > b->is_caseless) - (a->is_caseless < b->is_caseless);
	if (by == 0)
		by = (a->form > b->form) - (a->form < b->form);
	if (by == 0)
		by = (a->name > b->name) - (a->name < b->name);
	return by;
}

void patterns_unique(struct patterns *patterns)
{
	size_t kept = 0;

	if (patterns->n == 0)
		return;
	qsort(patterns->at, patterns->n, sizeof(*patterns->at), compare);
	for (size_t i = 1; i < patterns->n; i++) {
		const struct pattern *a = &patterns->at[kept], *b = &patterns->at[i];

		if (a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0 &&
		    a->is_caseless == b->is_caseless)
			continue;
		patterns->at[++kept] = *b;
	}
	sodium_memzero(&patterns->at[kept + 1], (patterns->n - kept - 1) * sizeof(*patterns->at));
	patterns->n = kept + 1;
}

void patterns_clear(struct patterns *patterns)
{
	if (patterns->at)
		sodium_memzero(patterns->at, patterns->size * sizeof(*patterns->at));
	free(patterns->at);
	*patterns = (struct patterns){0};
}

const char *pattern_form_name(enum pattern_form form)
{
	static const char *const names[] = {
	    [PATTERN_RAW] = "as it is",
	    [PATTERN_BASE64] = "base64",
	    [PATTERN_BASE64URL] = "base64url",
	    [PATTERN_HEX] = "hex",
	    [PATTERN_PERCENT] = "percent-encoded",
	    [PATTERN_JSON] = "JSON-escaped",
	    [PATTERN_UTF16] = "UTF-16",
	    [PATTERN_UTF16_BASE64] = "base64 in UTF-16",
	    [PATTERN_UTF16_HEX] = "hex in UTF-16",
	};
	return names[form];
}
