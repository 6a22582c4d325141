#include "services/cli/cli.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/scoped.h"

/* Unicode's bidirectional controls, which can make a name read as another. */
static bool is_bidi_control(uint32_t cp)
{
	return cp == 0x061c || cp == 0x200e || cp == 0x200f || (cp >= 0x202a && cp <= 0x202e) ||
	       (cp >= 0x2066 && cp <= 0x2069);
}

/* Could it make a terminal do or show something else than text? */
static bool steers(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || is_bidi_control(cp);
}

/* 0 for bytes that are not UTF-8. */
static uint32_t next_code_point(const unsigned char **at)
{
	const unsigned char *p = *at;
	size_t more = p[0] < 0x80 ? 0 : p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : 1;
	uint32_t cp = more == 0 ? p[0] : p[0] & (0x3fu >> more);

	for (size_t i = 1; i <= more; i++) {
		if (p[0] < 0xc0 || (p[i] & 0xc0) != 0x80) {
			*at = p + 1;
			return 0;
		}
		cp = cp << 6 | (p[i] & 0x3f);
	}
	*at = p + 1 + more;
	return cp;
}

void cli_print_text_to(FILE *out, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	while (*at) {
		const unsigned char *from = at;
		uint32_t cp = next_code_point(&at);
		if (steers(cp))
			fputc('?', out);
		else
			fwrite(from, 1, (size_t)(at - from), out);
	}
}

int cli_fail(const struct error *err)
{
	fputs("multiclaw: ", stderr);
	cli_print_text_to(stderr, err->text);
	if (err->reason[0]) {
		fputs(" (", stderr);
		cli_print_text_to(stderr, err->reason);
		fputc(')', stderr);
	}
	if (err->retry_after_s)
		fprintf(stderr, "; try again in %u s", err->retry_after_s);
	fputc('\n', stderr);
	switch (err->code) {
	case ERR_UNAUTHENTICATED:
		return CLI_SIGNED_OUT;
	case ERR_BUSY:
	case ERR_TIMEOUT:
	case ERR_UNAVAILABLE:
		return CLI_UNAVAILABLE;
	default:
		return CLI_FAILED;
	}
}

int cli_usage(const char *fmt, ...)
{
	va_list args;

	fputs("multiclaw: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs("\nSee 'multiclaw help'.\n", stderr);
	return CLI_USAGE;
}

int cli_report(const struct cli *cli, const char *name, const char *value, const char *text)
{
	if (cli->json)
		cli_print_json(json_pack("{ss}", name, value));
	else if (text)
		puts(text);
	return CLI_OK;
}

int cli_copy(char *to, size_t size, const char *value, const char *what)
{
	size_t len = (size_t)snprintf(to, size, "%s", value);

	return len > 0 && len < size ? CLI_OK : cli_usage("'%s' is not %s", value, what);
}

const char *cli_option(const char *name, int argc, char **argv, int *at)
{
	size_t len = strlen(name);
	const char *word = argv[*at];

	if (strncmp(word, name, len) != 0)
		return NULL;
	if (word[len] == '=')
		return word + len + 1;
	if (word[len] != '\0' || *at + 1 >= argc)
		return NULL;
	return argv[++*at];
}

void cli_print_text(const char *text)
{
	cli_print_text_to(stdout, text);
}

/* A page of an agent is written by others, as much as a name is. Pipes and files get it as it came. */
void cli_print_body(const char *body, size_t len)
{
	const unsigned char *at = (const unsigned char *)body, *end = at + len;

	if (!isatty(STDOUT_FILENO)) {
		fwrite(body, 1, len, stdout);
		return;
	}
	while (at < end) {
		const unsigned char *from = at;
		uint32_t cp = next_code_point(&at);
		if (steers(cp) && cp != '\n' && cp != '\t')
			fputc('?', stdout);
		else
			fwrite(from, 1, (size_t)(at - from), stdout);
	}
}

void cli_print_json(json_t *doc)
{
	/* ASCII only: whatever could steer a terminal is escaped */
	scoped_free char *text =
	    json_dumps(doc, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_PRESERVE_ORDER);

	json_decref(doc);
	puts(text ? text : "null");
}
