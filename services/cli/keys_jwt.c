#include "services/cli/keys_jwt.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "common/secret.h"
#include "services/cli/keys.h"
#include "services/cli/keys_file.h"

#define FILE_MAX (16 * 1024)
#define KEYS_MAX 16 /* session reads no more */
#define LINE_MAX_LEN 512
#define KID_SIZE 33
#define KEY_LEN 32
#define KEY_TEXT_SIZE 45 /* base64 of 32 bytes and its NUL */
#define TEN_YEARS_S (UINT64_C(10) * 366 * 86400)
#define BEGIN_AFTER_S 60 /* every replica has read the file by then: it looks every 5 s */
#define OVERLAP_S (7 * 86400 + 3600)

struct line {
	char kid[KID_SIZE];
	uint64_t not_before, not_after;
	char key[192];
};
/* The file's text while it is changed: in guarded memory, as it is made of keys. */
struct text {
	char *at;
	size_t len;
};

static void text_free(struct text *text)
{
	sodium_free(text->at);
}
#define scoped_text __attribute__((cleanup(text_free)))

static struct text text_new(void)
{
	struct text text = {.at = sodium_malloc(FILE_MAX)};

	bug_if(!text.at);
	return text;
}

static int append(struct text *text, const char *bytes, size_t len, struct error *err)
{
	if (len > FILE_MAX - text->len)
		return error_set(err, ERR_CONFLICT, "jwt.keys would be too large");
	memcpy(text->at + text->len, bytes, len);
	text->len += len;
	return 0;
}

static int append_line(struct text *text, const struct line *line, struct error *err)
{
	char out[LINE_MAX_LEN];
	int len = snprintf(out, sizeof(out), "%s %" PRIu64 " %" PRIu64 " %s\n", line->kid,
	    line->not_before, line->not_after, line->key);
	int rc = append(text, out, (size_t)len, err);

	sodium_memzero(out, sizeof(out));
	return rc;
}

/* A day and some random digits: sorted by age for people, unique for programs. */
static int append_new(struct text *text, uint64_t begin, uint64_t end, struct error *err)
{
	struct line line = {.not_before = begin, .not_after = end};
	uint8_t key[KEY_LEN];
	time_t when = (time_t)begin;
	struct tm day;

	gmtime_r(&when, &day);
	strftime(line.kid, sizeof(line.kid), "%Y%m%d", &day);
	snprintf(line.kid + 8, sizeof(line.kid) - 8, "-%08" PRIx32, randombytes_random());
	randombytes_buf(key, sizeof(key));
	sodium_bin2base64(
	    line.key, KEY_TEXT_SIZE, key, sizeof(key), sodium_base64_VARIANT_ORIGINAL);
	int rc = append_line(text, &line, err);
	if (rc == 0)
		printf("made signing key %s, used %s\n", line.kid,
		    begin > clock_unix_ms() / 1000 ? "in a minute" : "at once");
	sodium_memzero(key, sizeof(key));
	sodium_memzero(&line, sizeof(line));
	return rc;
}

int keys_jwt_create(const char *path, struct error *err)
{
	static const char head[] =
	    "# kid, not before, not after (Unix seconds), key. Change it with `multiclaw keys`.\n";
	scoped_text struct text text = text_new();
	uint64_t now = clock_unix_ms() / 1000;

	if (append(&text, head, strlen(head), err) < 0 ||
	    append_new(&text, now, now + TEN_YEARS_S, err) < 0)
		return -1;
	return key_file_create(
	    path, &(struct key_file){.mode = 0600, .bytes = text.at, .len = text.len}, err);
}

/* What is done to each key of the file; false: it goes. */
typedef bool (*change)(void *arg, struct line *line);

static bool parse_seconds(const char *text, uint64_t *seconds_r)
{
	if (!text || strlen(text) > 12 || strspn(text, "0123456789") != strlen(text))
		return false;
	*seconds_r = strtoull(text, NULL, 10);
	return true;
}

static bool copy_word(char *to, size_t size, const char *word)
{
	return word && (size_t)snprintf(to, size, "%s", word) < size;
}

/* Takes the text apart. */
static bool parse_line(char *text, struct line *line)
{
	char *rest = NULL;
	const char *kid = strtok_r(text, " \t", &rest);
	const char *begin = strtok_r(NULL, " \t", &rest);
	const char *end = strtok_r(NULL, " \t", &rest);
	const char *key = strtok_r(NULL, " \t", &rest);

	return copy_word(line->kid, sizeof(line->kid), kid) &&
	       parse_seconds(begin, &line->not_before) && parse_seconds(end, &line->not_after) &&
	       copy_word(line->key, sizeof(line->key), key) && !strtok_r(NULL, " \t", &rest);
}

static int change_line(const char *at, size_t len, change what, void *arg, struct text *out,
    size_t *nkeys, struct error *err)
{
	char text[LINE_MAX_LEN];
	struct line line;
	int rc = 0;

	if (len == 0 || at[0] == '#')
		return append(out, at, len, err) < 0 ? -1 : append(out, "\n", 1, err);
	if (len >= sizeof(text))
		return -1;
	memcpy(text, at, len);
	text[len] = '\0';
	if (!parse_line(text, &line))
		rc = -1;
	else if (what(arg, &line)) {
		++*nkeys;
		rc = append_line(out, &line, err);
	}
	sodium_memzero(text, sizeof(text));
	sodium_memzero(&line, sizeof(line));
	return rc;
}

/* Copies the file's lines to out, each key changed. */
static int change_lines(const struct secret *file, change what, void *arg, struct text *out,
    size_t *nkeys, struct error *err)
{
	const char *at = (const char *)secret_bytes(file), *end = at + secret_len(file);
	unsigned number = 1;

	for (; at < end; number++) {
		const char *next = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((next ? next : end) - at);
		if (change_line(at, len, what, arg, out, nkeys, err) < 0)
			return error_set(err, ERR_INVALID,
			    "jwt.keys: line %u is not a key; nothing was changed", number);
		at += len + 1;
	}
	return 0;
}

static char *path_of(const char *folder)
{
	char *path = NULL;

	bug_if(asprintf(&path, "%s/jwt.keys", folder) < 0);
	return path;
}

struct rotation {
	uint64_t now;
};

static bool end_key(void *arg, struct line *line)
{
	const struct rotation *rotation = arg;
	uint64_t end = rotation->now + BEGIN_AFTER_S + OVERLAP_S;

	if (line->not_after > end)
		line->not_after = end;
	return line->not_after >= rotation->now;
}

int keys_rotate(const char *folder, struct error *err)
{
	struct rotation rotation = {clock_unix_ms() / 1000};
	scoped_free char *path = path_of(folder);
	scoped_text struct text out = text_new();
	size_t nkeys = 0;

	bug_if(sodium_init() < 0);
	scoped_secret struct secret *file = secret_read_file(path, FILE_MAX, err);
	if (!file || change_lines(file, end_key, &rotation, &out, &nkeys, err) < 0)
		return -1;
	if (nkeys == KEYS_MAX)
		return error_set(
		    err, ERR_CONFLICT, "jwt.keys holds %d keys already: retire one", KEYS_MAX);
	uint64_t begin = rotation.now + BEGIN_AFTER_S;
	if (append_new(&out, begin, begin + TEN_YEARS_S, err) < 0)
		return -1;
	return key_file_replace(
	    path, &(struct key_file){.mode = 0600, .bytes = out.at, .len = out.len}, err);
}

struct retirement {
	const char *kid;
	bool found;
};

static bool drop_key(void *arg, struct line *line)
{
	struct retirement *retirement = arg;

	if (strcmp(line->kid, retirement->kid) != 0)
		return true;
	retirement->found = true;
	return false;
}

int keys_retire(const char *folder, const char *kid, struct error *err)
{
	struct retirement retirement = {.kid = kid};
	scoped_free char *path = path_of(folder);
	scoped_text struct text out = text_new();
	size_t nkeys = 0;

	bug_if(sodium_init() < 0);
	scoped_secret struct secret *file = secret_read_file(path, FILE_MAX, err);
	if (!file || change_lines(file, drop_key, &retirement, &out, &nkeys, err) < 0)
		return -1;
	if (!retirement.found)
		return error_set(err, ERR_NOT_FOUND, "there is no signing key %s", kid);
	if (nkeys == 0)
		return error_set(err, ERR_CONFLICT,
		    "%s is the only signing key: rotate first, and wait a minute", kid);
	if (key_file_replace(
		path, &(struct key_file){.mode = 0600, .bytes = out.at, .len = out.len}, err) < 0)
		return -1;
	printf("retired signing key %s: its sessions end\n", kid);
	return 0;
}
