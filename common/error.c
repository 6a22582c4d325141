#include "common/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

static const char *const code_names[] = {
#define ERROR_NAME(name, text) [ERR_##name] = (text),
    ERROR_CODES(ERROR_NAME)
#undef ERROR_NAME
};

/* A text that was cut must stay valid UTF-8: it may travel in a reply, and the codec refuses half a character. */
static void drop_half_character(char *text, size_t len)
{
	size_t start = len;

	while (start > 0 && len - start < 4 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0)
		return;
	unsigned char lead = (unsigned char)text[start - 1];
	size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
	if (len - start + 1 < want)
		text[start - 1] = '\0';
}

__attribute__((format(printf, 4, 0))) static void fill(
    struct error *err, enum error_code code, const char *reason, const char *fmt, va_list ap)
{
	/* arguments may point into *err itself ("while reading: %s", err->text) */
	struct error made = {.code = code};
	int len = vsnprintf(made.text, sizeof(made.text), fmt, ap);

	if (len >= (int)sizeof(made.text))
		drop_half_character(made.text, sizeof(made.text) - 1);
	snprintf(made.reason, sizeof(made.reason), "%s", reason);
	*err = made;
}

int error_set(struct error *err, enum error_code code, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		fill(err, code, "", fmt, ap);
		va_end(ap);
	}
	return -1;
}

int error_refuse(struct error *err, enum error_code code, const char *reason, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		fill(err, code, reason, fmt, ap);
		va_end(ap);
	}
	return -1;
}

const char *error_name(enum error_code code)
{
	bug_if((size_t)code >= ARRAY_LEN(code_names));
	return code_names[code];
}

enum error_code error_from_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(code_names); i++)
		if (strcmp(code_names[i], name) == 0)
			return (enum error_code)i;
	return ERR_INTERNAL;
}

void error_bug(const char *file, int line, const char *what)
{
	log_error("bug", "file", file, "line", log_u64((uint64_t)line), "condition", what);
	abort();
}

void fatal(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error("cannot start", "why", text);
	exit(1);
}
