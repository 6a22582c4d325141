#include <stdbool.h>
#include <string.h>

#include "services/packer/scan_internal.h"

/* A line of 59 characters or more has a whole probe in it, wherever it begins. */
#define PROBE 16
#define STEP 44
#define LINE_MIN 59
#define BREAK_MAX 64 /* characters of a line end with the indent of the next line */

typedef uint8_t chars __attribute__((vector_size(PROBE)));
_Static_assert(
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first character is in the lowest bits");

static bool is_body(uint8_t c)
{
	return (uint8_t)((c | 0x20) - 'a') < 26 || (uint8_t)(c - '0') < 10 || c == '+' ||
	       c == '/' || c == '-' || c == '_';
}

/* How many of the next PROBE characters, from the first on, are of base64, base64url or hex (without padding). */
static size_t body_len(const uint8_t *at)
{
	chars c;
	uint64_t half[2];

	memcpy(&c, at, sizeof(c));
	chars is = (chars)(((c | 0x20) - 'a') < 26) | (chars)((c - '0') < 10) | (chars)(c == '+') |
		   (chars)(c == '/') | (chars)(c == '-') | (chars)(c == '_');
	memcpy(half, &is, sizeof(half));
	if (~half[0])
		return (size_t)__builtin_ctzll(~half[0]) / 8;
	return ~half[1] ? 8 + (size_t)__builtin_ctzll(~half[1]) / 8 : PROBE;
}

static bool is_break(uint8_t c)
{
	return c == '\n' || c == '\r' || c == ' ' || c == '\t' || c == '\\';
}

/* Where the run begins that position at is in: its own line's, or the one's before, which may be short. */
static size_t run_start(const uint8_t *bytes, size_t at, size_t from)
{
	while (at > from && is_body(bytes[at - 1]))
		at--;
	size_t line = at;
	while (at > from && line - at < BREAK_MAX && is_break(bytes[at - 1]))
		at--;
	size_t before = at;
	while (at > from && is_body(bytes[at - 1]))
		at--;
	return at == before ? line : at;
}

/* Is this character part of a line end, after what came before? */
static bool passes_break(struct scan_join *join, uint8_t c)
{
	bool was_escaped = join->is_escaped;

	join->is_escaped = c == '\\';
	if (c == '\n' || c == '\r' || c == '\\' || (was_escaped && (c == 'n' || c == 'r')))
		return ++join->breaks <= BREAK_MAX;
	return join->breaks > 0 && (c == ' ' || c == '\t') && ++join->breaks <= BREAK_MAX;
}

/* Copies the run that begins at from, without its line ends; returns where it ends, len if it goes on. */
static size_t copy_run(
    struct scan_join *join, const uint8_t *bytes, size_t from, size_t len, uint8_t *to, size_t *n_r)
{
	size_t n = 0, part;

	while (from < len) {
		if (!join->is_escaped && len - from >= PROBE &&
		    (part = body_len(bytes + from)) > 0) {
			memcpy(to + n, bytes + from, PROBE);
			n += part, from += part;
			join->breaks = 0;
			continue;
		}
		uint8_t c = bytes[from];
		if (is_body(c) && !join->is_escaped) {
			to[n++] = c;
			join->breaks = 0;
		} else if (!passes_break(join, c)) {
			break;
		}
		from++;
	}
	*n_r = n;
	return from;
}

static size_t join_run(struct scan *scan, const uint8_t *bytes, size_t from, size_t len)
{
	struct scan_join *join = &scan->join;
	uint8_t *to = scan->scanner->joined;
	bool was_in_run = join->is_in_run;
	size_t n, end;

	if (!was_in_run) {
		join->breaks = 0;
		join->is_escaped = false;
	}
	end = copy_run(join, bytes, from, len, to, &n);
	join->is_in_run = end == len;
	/* on one line it was seen already */
	if (!was_in_run && !join->is_in_run && (n == end - from || n < LINE_MIN))
		return end;
	if (!join->is_in_run)
		to[n++] = '\0';
	scan_pass(scan, join->stream, to, n);
	return end;
}

/* What the block ends with goes on in the next one, perhaps. */
static size_t tail_start(const uint8_t *bytes, size_t from, size_t len)
{
	size_t at = len;

	while (at > from && len - at < BREAK_MAX && is_break(bytes[at - 1]))
		at--;
	while (at > from && is_body(bytes[at - 1]))
		at--;
	return at;
}

void scan_join_bytes(struct scan *scan, const uint8_t *bytes, size_t len)
{
	size_t done = scan->join.is_in_run ? join_run(scan, bytes, 0, len) : 0;

	for (size_t at = done; at + PROBE <= len && !scan->is_found;) {
		/* the last one alone says no to most */
		if (!is_body(bytes[at + PROBE - 1]) || body_len(bytes + at) < PROBE) {
			at += STEP;
			continue;
		}
		done = join_run(scan, bytes, run_start(bytes, at, done), len);
		/* the line before was none of the kind */
		if (done <= at)
			done = join_run(scan, bytes, at, len);
		at = done;
	}
	if (scan->is_found || done == len)
		return;
	size_t tail = tail_start(bytes, done, len);
	if (tail < len)
		join_run(scan, bytes, tail, len);
}
