#include <stdbool.h>
#include <string.h>

#include "services/packer/scan_internal.h"

/* A line of 59 characters or more has a whole probe in it, wherever it begins. */
#define PROBE 16
#define STEP 44
#define MANY 32
#define BREAK_MAX 64 /* characters of a line end with the indent of the next line */

/* 1: of base64, base64url or hex, without padding */
static const uint8_t is_body[256] = {['A'] = 1,
    ['B'] = 1,
    ['C'] = 1,
    ['D'] = 1,
    ['E'] = 1,
    ['F'] = 1,
    ['G'] = 1,
    ['H'] = 1,
    ['I'] = 1,
    ['J'] = 1,
    ['K'] = 1,
    ['L'] = 1,
    ['M'] = 1,
    ['N'] = 1,
    ['O'] = 1,
    ['P'] = 1,
    ['Q'] = 1,
    ['R'] = 1,
    ['S'] = 1,
    ['T'] = 1,
    ['U'] = 1,
    ['V'] = 1,
    ['W'] = 1,
    ['X'] = 1,
    ['Y'] = 1,
    ['Z'] = 1,
    ['a'] = 1,
    ['b'] = 1,
    ['c'] = 1,
    ['d'] = 1,
    ['e'] = 1,
    ['f'] = 1,
    ['g'] = 1,
    ['h'] = 1,
    ['i'] = 1,
    ['j'] = 1,
    ['k'] = 1,
    ['l'] = 1,
    ['m'] = 1,
    ['n'] = 1,
    ['o'] = 1,
    ['p'] = 1,
    ['q'] = 1,
    ['r'] = 1,
    ['s'] = 1,
    ['t'] = 1,
    ['u'] = 1,
    ['v'] = 1,
    ['w'] = 1,
    ['x'] = 1,
    ['y'] = 1,
    ['z'] = 1,
    ['0'] = 1,
    ['1'] = 1,
    ['2'] = 1,
    ['3'] = 1,
    ['4'] = 1,
    ['5'] = 1,
    ['6'] = 1,
    ['7'] = 1,
    ['8'] = 1,
    ['9'] = 1,
    ['+'] = 1,
    ['/'] = 1,
    ['-'] = 1,
    ['_'] = 1};

static bool is_probe(const uint8_t *at)
{
	for (size_t i = 0; i < PROBE; i++)
		if (!is_body[at[i]])
			return false;
	return true;
}

/* The same of MANY at once, in a way that compilers make vectors of. */
static bool are_body(const uint8_t *at)
{
	uint8_t others = 0;

	for (size_t i = 0; i < MANY; i++) {
		uint8_t c = at[i], letter = (uint8_t)((c | 0x20) - 'a'), digit = (uint8_t)(c - '0');

		others |= (uint8_t) !((letter < 26) | (digit < 10) | (c == '+') | (c == '/') |
				      (c == '-') | (c == '_'));
	}
	return others == 0;
}

static bool is_break(uint8_t c)
{
	return c == '\n' || c == '\r' || c == ' ' || c == '\t' || c == '\\';
}

/* Where the run begins that position at is in: its own line's, or the one's before, which may be short. */
static size_t run_start(const uint8_t *bytes, size_t at, size_t from)
{
	while (at > from && is_body[bytes[at - 1]])
		at--;
	size_t line = at;
	while (at > from && line - at < BREAK_MAX && is_break(bytes[at - 1]))
		at--;
	size_t before = at;
	while (at > from && is_body[bytes[at - 1]])
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
	size_t n = 0;

	while (from < len) {
		uint8_t c = bytes[from];

		if (!join->is_escaped && len - from >= MANY && are_body(bytes + from)) {
			memcpy(to + n, bytes + from, MANY);
			n += MANY, from += MANY;
			join->breaks = 0;
			continue;
		}

		if (is_body[c] && !join->is_escaped) {
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
	size_t n, end = copy_run(join, bytes, from, len, to, &n);

	/* on one line it was seen already */
	join->is_in_run = end == len;
	if (!join->is_in_run) {
		to[n++] = '\0';
		join->breaks = 0;
		join->is_escaped = false;
	}
	scan_pass(scan, join->stream, to, n);
	return end;
}

/* What the block ends with goes on in the next one, perhaps. */
static size_t tail_start(const uint8_t *bytes, size_t from, size_t len)
{
	size_t at = len;

	while (at > from && len - at < BREAK_MAX && is_break(bytes[at - 1]))
		at--;
	while (at > from && is_body[bytes[at - 1]])
		at--;
	return at;
}

void scan_join_bytes(struct scan *scan, const uint8_t *bytes, size_t len)
{
	size_t done = scan->join.is_in_run ? join_run(scan, bytes, 0, len) : 0;

	for (size_t at = done; at + PROBE <= len && !scan->is_found;) {
		if (!is_probe(bytes + at)) {
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
