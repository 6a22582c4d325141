/* scan_patterns - the list of byte strings that are looked for. A long one is kept in part: its last PATTERN_MAX bytes. Left out is what would be found everywhere: under SCAN_SECRET_MIN bytes, fewer
 * than 4 different bytes or at most 4 over and over ("aaaaaaaa", "abcdabcd"), an even run ("12345678", "abcdefgh").
 */
#ifndef PACKER_SCAN_PATTERNS_H
#define PACKER_SCAN_PATTERNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_MAX 64 /* bytes: the time to compile grows with it */

enum pattern_form {
	PATTERN_RAW,
	PATTERN_BASE64,
	PATTERN_BASE64URL,
	PATTERN_HEX,
	PATTERN_PERCENT,
	PATTERN_JSON,
	PATTERN_UTF16,
	PATTERN_UTF16_BASE64,
	PATTERN_UTF16_HEX,
};

struct pattern {
	uint8_t bytes[PATTERN_MAX];
	uint8_t len;
	bool is_caseless;
	uint8_t form; /* enum pattern_form */
	uint32_t name;
};
struct patterns {
	struct pattern *at;
	size_t n, size;
};

struct pattern_of { /* what the next ones belong to */
	enum pattern_form form;
	uint32_t name; /* number of the secret's name */
	bool is_caseless;
};
void patterns_add(struct patterns *patterns, struct pattern_of of, const void *bytes, size_t len);
/* Is left out, as above. */
bool patterns_is_common(const uint8_t *bytes, size_t len);
/* Each once; their order changes. */
void patterns_unique(struct patterns *patterns);
/* Wiped and freed. */
void patterns_clear(struct patterns *patterns);
/* "base64", ...; static. */
const char *pattern_form_name(enum pattern_form form);

#endif
