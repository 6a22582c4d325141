#include "services/packer/scan.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/packer/scan_internal.h"

#define GIB ((uint64_t)1 << 30)

static const struct scan_budget budget_usual = {
    .file_bytes = 4 * GIB, .file_ratio = 64, .all_bytes = 64 * GIB, .all_ratio = 8};

struct literals {
	const char **text;
	unsigned *flags, *ids;
	size_t *len;
	unsigned n;
};

static void add_literal(struct literals *literals, const uint8_t *text, size_t len, unsigned flags)
{
	literals->text[literals->n] = (const char *)text;
	literals->len[literals->n] = len;
	literals->flags[literals->n] = flags;
	literals->ids[literals->n] = literals->n;
	literals->n++;
}

static int compile(struct scanner *scanner, struct literals *literals, struct error *err)
{
	hs_compile_error_t *failure = NULL;
	const struct patterns *patterns = &scanner->values.patterns;

	for (size_t i = 0; i < patterns->n; i++)
		add_literal(literals, patterns->at[i].bytes, patterns->at[i].len,
		    patterns->at[i].is_caseless ? HS_FLAG_CASELESS : 0);
	for (int magic = 0; magic < MAGIC_ZLIB; magic++) {
		size_t len;
		const uint8_t *text = unpack_magic((enum scan_magic)magic, &len);

		add_literal(literals, text, len, 0);
	}
	hs_error_t rc = hs_compile_lit_multi(literals->text, literals->flags, literals->ids,
	    literals->len, literals->n, HS_MODE_STREAM, NULL, &scanner->database, &failure);
	if (rc == HS_SUCCESS)
		rc = hs_alloc_scratch(scanner->database, &scanner->scratch);
	/* its own text might name a pattern */
	hs_free_compile_error(failure);
	return rc == HS_SUCCESS ? 0
				: error_set(err, ERR_UNAVAILABLE,
				      "the search for secrets cannot be prepared (%d)", rc);
}

/* What is freed held patterns. */
static void *take(size_t size)
{
	size_t *at = NULL;

	if (posix_memalign((void **)&at, 64, size + 64) != 0)
		return NULL;
	*at = size;
	return (uint8_t *)at + 64;
}

static void give_back(void *bytes)
{
	if (!bytes)
		return;
	uint8_t *at = (uint8_t *)bytes - 64;
	size_t size;

	memcpy(&size, at, sizeof(size));
	sodium_memzero(at, size + 64);
	free(at);
}

static int prepare(struct scanner *scanner, struct error *err)
{
	size_t n = scanner->values.patterns.n + MAGICS;
	struct literals literals = {
	    .text = calloc(n, sizeof(*literals.text)),
	    .len = calloc(n, sizeof(*literals.len)),
	    .flags = calloc(n, sizeof(*literals.flags)),
	    .ids = calloc(n, sizeof(*literals.ids)),
	};

	bug_if(!literals.text || !literals.len || !literals.flags || !literals.ids);
	int rc = compile(scanner, &literals, err);
	free(literals.text);
	free(literals.len);
	free(literals.flags);
	free(literals.ids);
	/* names and forms are needed still */
	for (size_t i = 0; i < scanner->values.patterns.n; i++)
		sodium_memzero(scanner->values.patterns.at[i].bytes, PATTERN_MAX);
	return rc;
}

struct scanner *scanner_new(int files, struct error *err)
{
	struct scanner *scanner = calloc(1, sizeof(*scanner));

	bug_if(!scanner);
	scanner->budget = budget_usual;
	if (hs_valid_platform() != HS_SUCCESS) {
		error_set(err, ERR_UNAVAILABLE,
		    "this processor lacks SSSE3, which the search for secrets needs");
		scanner_destroy(&scanner);
		return NULL;
	}
	hs_set_database_allocator(take, give_back);
	if (values_read(&scanner->values, files, err) != 0 ||
	    (scanner->values.patterns.n > 0 && prepare(scanner, err) != 0)) {
		scanner_destroy(&scanner);
		return NULL;
	}
	scanner->joined = malloc(SCAN_BLOCK + 64);
	bug_if(!scanner->joined);
	return scanner;
}

void scanner_destroy(struct scanner **scanner)
{
	struct scanner *s = *scanner;

	if (!s)
		return;
	*scanner = NULL;
	hs_free_scratch(s->scratch);
	hs_free_database(s->database);
	values_clear(&s->values);
	free(s->joined);
	free(s);
}

size_t scanner_patterns(const struct scanner *scanner)
{
	return scanner->values.patterns.n;
}

struct scan *scan_new(struct scanner *scanner, struct scan *top, unsigned depth)
{
	struct scan *scan = calloc(1, sizeof(*scan));

	bug_if(!scan);
	scan->scanner = scanner;
	scan->top = top ? top : scan;
	scan->depth = depth;
	if (scanner->database) {
		bug_if(hs_open_stream(scanner->database, 0, &scan->stream) != HS_SUCCESS);
		bug_if(hs_open_stream(scanner->database, 0, &scan->join.stream) != HS_SUCCESS);
	}
	return scan;
}

struct scan *scan_begin(struct scanner *scanner)
{
	return scan_new(scanner, NULL, 0);
}

void scan_refuse(struct scan *scan, const char *what)
{
	if (scan->is_found)
		return;
	scan->is_found = true;
	snprintf(scan->what, sizeof(scan->what), "%s", what);
}

bool scan_spend(struct scan *scan, size_t len)
{
	struct scanner *scanner = scan->scanner;
	const struct scan_budget *budget = &scanner->budget;

	scan->top->work += len;
	scanner->work += len;
	if (scan->top->work <= budget->file_bytes + budget->file_ratio * scan->top->bytes &&
	    scanner->work <= budget->all_bytes + budget->all_ratio * scanner->bytes)
		return true;
	scan_refuse(scan, "cannot be looked into: too large when unpacked");
	return false;
}

struct pass {
	struct scan *scan;
	bool is_joined; /* its offsets are not the block's */
};

static int found(
    unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *arg)
{
	struct pass *pass = arg;
	struct scan *scan = pass->scan;
	const struct values *values = &scan->scanner->values;

	(void)from;
	(void)flags;
	if (id < values->patterns.n) {
		const struct pattern *pattern = &values->patterns.at[id];
		char what[SCAN_WHAT_MAX];

		snprintf(what, sizeof(what), "%s: %s%s", values->name[pattern->name],
		    pattern_form_name((enum pattern_form)pattern->form),
		    scan->depth > 0 ? ", compressed" : "");
		scan_refuse(scan, what);
		return 1;
	}
	if (pass->is_joined || scan->depth >= SCAN_DEPTH || scan->ncandidates == SCAN_CANDIDATES)
		return 0;
	scan->candidate[scan->ncandidates].magic = (uint8_t)(id - values->patterns.n);
	scan->candidate[scan->ncandidates].end = (uint32_t)(to - scan->at);
	scan->ncandidates++;
	return 0;
}

void scan_pass(struct scan *scan, hs_stream_t *stream, const uint8_t *bytes, size_t len)
{
	struct pass pass = {scan, stream != scan->stream};
	hs_error_t rc = hs_scan_stream(
	    stream, (const char *)bytes, (unsigned)len, 0, scan->scanner->scratch, found, &pass);

	bug_if(rc != HS_SUCCESS && rc != HS_SCAN_TERMINATED);
}

static void feed(struct scan *scan, struct unpack **child, const uint8_t *bytes, size_t len)
{
	bool is_over = false;

	unpack_bytes(*child, bytes, len, &is_over);
	if (!is_over && !scan->is_found)
		return;
	unpack_end(*child);
	unpack_destroy(child);
}

static void feed_children(struct scan *scan, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < SCAN_CHILDREN && !scan->is_found; i++)
		if (scan->child[i])
			feed(scan, &scan->child[i], bytes, len);
}

static struct unpack **free_child(struct scan *scan)
{
	for (size_t i = 0; i < SCAN_CHILDREN; i++)
		if (!scan->child[i])
			return &scan->child[i];
	return NULL;
}

static void try_candidates(struct scan *scan, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < scan->ncandidates && !scan->is_found; i++) {
		struct unpack **child = free_child(scan);
		enum scan_magic magic = (enum scan_magic)scan->candidate[i].magic;
		size_t magic_len, end = scan->candidate[i].end;

		if (!child)
			return;
		unpack_magic(magic, &magic_len);
		*child = unpack_new(scan, magic, scan->at + end == magic_len);
		feed(scan, child, bytes + end, len - end);
	}
}

static bool is_zlib_head(const uint8_t *at)
{
	return at[0] == 0x78 && (at[1] == 0x01 || at[1] == 0x5e || at[1] == 0x9c || at[1] == 0xda);
}

/* One zlib stream after the other. One that is none is left behind its first byte. */
static void try_zlib(struct scan *scan, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	while (at < len && !scan->is_found) {
		size_t from = at;
		bool is_over = false;

		if (!scan->zlib) {
			const uint8_t *next = memchr(bytes + at, 0x78, len - at);

			if (!next)
				return;
			from = (size_t)(next - bytes);
			at = from + 1;
			if (from + 1 < len && !is_zlib_head(next))
				continue;
			scan->zlib = unpack_new(scan, MAGIC_ZLIB, false);
		}
		size_t taken = unpack_bytes(scan->zlib, bytes + from, len - from, &is_over);
		if (!is_over)
			return;
		unpack_end(scan->zlib);
		if (!scan->is_found && taken > 1 && from + taken > at)
			at = from + taken;
		unpack_destroy(&scan->zlib);
	}
}

static void note_head(struct scan *scan, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len && scan->at + i < sizeof(scan->head); i++)
		scan->head[scan->at + i] = bytes[i];
	scan->is_zlib = scan->depth < SCAN_DEPTH &&
			(is_zlib_head(scan->head) || memcmp(scan->head, "PACK", 4) == 0 ||
			    memcmp(scan->head, "%PDF-", 5) == 0);
}

static void scan_block(struct scan *scan, const uint8_t *bytes, size_t len)
{
	if (scan->at < sizeof(scan->head))
		note_head(scan, bytes, len);
	scan->ncandidates = 0;
	scan_pass(scan, scan->stream, bytes, len);
	if (!scan->is_found)
		scan_join_bytes(scan, bytes, len);
	if (scan->depth < SCAN_DEPTH) {
		feed_children(scan, bytes, len);
		try_candidates(scan, bytes, len);
		if (scan->is_zlib && !scan->is_found)
			try_zlib(scan, bytes, len);
	}
	scan->at += len;
	if (scan == scan->top) {
		scan->bytes += len;
		scan->scanner->bytes += len;
	}
}

static bool tell(const struct scan *scan, char what_r[SCAN_WHAT_MAX])
{
	if (scan->is_found)
		memcpy(what_r, scan->what, SCAN_WHAT_MAX);
	return !scan->is_found;
}

bool scan_bytes(struct scan *scan, const void *bytes, size_t len, char what_r[SCAN_WHAT_MAX])
{
	const uint8_t *at = bytes;

	for (size_t n; len > 0 && !scan->is_found && scan->scanner->database; at += n, len -= n) {
		n = len < SCAN_BLOCK ? len : SCAN_BLOCK;
		scan_block(scan, at, n);
	}
	return tell(scan, what_r);
}

static void end_children(struct scan *scan)
{
	for (size_t i = 0; i <= SCAN_CHILDREN; i++) {
		struct unpack **child = i < SCAN_CHILDREN ? &scan->child[i] : &scan->zlib;

		if (*child && !scan->is_found)
			unpack_end(*child);
		unpack_destroy(child);
	}
}

void scan_cut(struct scan *scan)
{
	static const uint8_t none[1] = {0xff};
	char what[SCAN_WHAT_MAX];

	end_children(scan);
	scan_bytes(scan, none, 1, what);
}

bool scan_end(struct scan **scan, char what_r[SCAN_WHAT_MAX])
{
	struct scan *s = *scan;

	*scan = NULL;
	end_children(s);
	bool is_clean = tell(s, what_r);
	if (s->stream)
		hs_close_stream(s->stream, NULL, NULL, NULL);
	if (s->join.stream)
		hs_close_stream(s->join.stream, NULL, NULL, NULL);
	free(s);
	return is_clean;
}
