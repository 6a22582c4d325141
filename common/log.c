#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

#define LINE_MAX_BYTES 8192
/* kept free at the end of the line, so that a line that was cut can say so */
#define CUT_MARK " cut=yes"

struct line {
	size_t len;
	bool cut;
	char text[LINE_MAX_BYTES];
};

static struct {
	char service[32];
	char replica[64];
	enum log_level lowest;
} state = {.service = "multiclaw", .lowest = LOG_INFO};

/* what the loop serves is nothing that another thread's lines are about */
static _Thread_local struct {
	char trace[40];
	char caller[80];
	char call[80];
} request;

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from ? from : "");
}

void log_open(const char *service, const char *replica, enum log_level lowest)
{
	copy_text(state.service, sizeof(state.service), service);
	copy_text(state.replica, sizeof(state.replica), replica);
	state.lowest = lowest;
}

void log_request(const char *trace, const char *caller, const char *call)
{
	copy_text(request.trace, sizeof(request.trace), trace);
	copy_text(request.caller, sizeof(request.caller), caller);
	copy_text(request.call, sizeof(request.call), call);
}

static void put(struct line *line, const char *text, size_t len)
{
	if (line->cut || len > sizeof(line->text) - sizeof(CUT_MARK) - 1 - line->len) {
		line->cut = true;
		return;
	}
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void put_str(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

/* Length of the UTF-8 character at s and its code point; 0 if there is none. s is NUL-terminated, so no read passes its end. */
static size_t character_at(const unsigned char *s, uint32_t *point_r)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = s[0] < 0x80   ? 1
		     : s[0] < 0xc2 ? 0
		     : s[0] < 0xe0 ? 2
		     : s[0] < 0xf0 ? 3
		     : s[0] < 0xf5 ? 4
				   : 0;
	uint32_t point = len == 1 ? s[0] : s[0] & (0xffU >> (len + 1));

	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (s[i] & 0x3fU);
	}
	if (len == 0 || point < least[len] || point > 0x10ffff ||
	    (point >= 0xd800 && point < 0xe000))
		return 0;
	*point_r = point;
	return len;
}

bool log_is_deceptive(uint32_t point)
{
	return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0xad || point == 0x61c ||
	       point == 0x180e || (point >= 0x200b && point <= 0x200f) ||
	       (point >= 0x2028 && point <= 0x202e) || (point >= 0x2060 && point <= 0x206f) ||
	       point == 0xfeff || (point >= 0xfff9 && point <= 0xfffb) ||
	       (point >= 0xe0000 && point <= 0xe0fff);
}

static bool is_plain(const char *text)
{
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("\"\\=", *c))
			return false;
	return *text != '\0';
}

static void put_quoted(struct line *line, const char *text)
{
	char escaped[16];

	put(line, "\"", 1);
	for (const char *c = text; *c;) {
		uint32_t point = 0;
		size_t len = character_at((const unsigned char *)c, &point);

		if (len == 0)
			snprintf(escaped, sizeof(escaped), "\\x%02x", (unsigned)(unsigned char)*c);
		else if (*c == '"' || *c == '\\')
			snprintf(escaped, sizeof(escaped), "\\%c", *c);
		else if (*c == '\n')
			snprintf(escaped, sizeof(escaped), "\\n");
		else
			snprintf(escaped, sizeof(escaped), "\\u{%" PRIx32 "}", point);
		if (len > 0 && *c != '"' && *c != '\\' && !log_is_deceptive(point))
			put(line, c, len);
		else
			put_str(line, escaped);
		c += len ? len : 1;
	}
	put(line, "\"", 1);
}

static void put_pair(struct line *line, const char *key, const char *value)
{
	put(line, " ", 1);
	put_str(line, key);
	put(line, "=", 1);
	if (!value)
		put(line, "-", 1);
	else if (is_plain(value))
		put_str(line, value);
	else
		put_quoted(line, value);
}

static void put_context(struct line *line, const char *key, const char *value)
{
	if (value[0])
		put_pair(line, key, value);
}

static void flush_line(struct line *line)
{
	const char *at = line->text;

	if (line->cut) {
		memcpy(line->text + line->len, CUT_MARK, strlen(CUT_MARK));
		line->len += strlen(CUT_MARK);
	}
	line->text[line->len++] = '\n';
	/* one write, so that lines of several processes on one pipe do not mix; a log that cannot be written stops nobody */
	while (line->len > 0) {
		ssize_t n = write(STDERR_FILENO, at, line->len);
		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			at += n;
			line->len -= (size_t)n;
		}
	}
}

static void write_line(const char *level, const char *message, va_list pairs)
{
	char time[CLOCK_RFC3339_LEN + 1];
	struct line line;
	int saved_errno = errno;

	line.len = 0;
	line.cut = false;
	put_str(&line, clock_rfc3339(clock_unix_ms(), time, sizeof(time)));
	put(&line, " ", 1);
	put_str(&line, level);
	put(&line, " ", 1);
	put_str(&line, state.service);
	put_context(&line, "replica", state.replica);
	put_pair(&line, "msg", message);
	put_context(&line, "trace", request.trace);
	put_context(&line, "caller", request.caller);
	put_context(&line, "call", request.call);
	for (const char *key; (key = va_arg(pairs, const char *));)
		put_pair(&line, key, va_arg(pairs, const char *));
	flush_line(&line);
	errno = saved_errno;
}

void log_write(enum log_level level, const char *message, ...)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	va_list pairs;

	if (level < state.lowest)
		return;
	va_start(pairs, message);
	write_line(names[level], message, pairs);
	va_end(pairs);
}

void log_write_audit(const char *message, ...)
{
	va_list pairs;

	va_start(pairs, message);
	write_line("audit", message, pairs);
	va_end(pairs);
}

const char *log_u64(uint64_t n)
{
	static _Thread_local char text[8][24];
	static _Thread_local unsigned next;
	char *to = text[next++ % 8];

	snprintf(to, sizeof(text[0]), "%" PRIu64, n);
	return to;
}
