#include "common/http_guard.h"

#include <event2/buffer.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

/* 18 digits cannot overflow */
#define LENGTH_DIGITS_MAX 18

struct framing {
	unsigned hosts, lengths, encodings;
	uint64_t length;
};

/* RFC 9110 section 5.6.2 */
static bool is_token(const char *text)
{
	static const bool allowed[256] = {
	    ['!'] = 1,
	    ['#'] = 1,
	    ['$'] = 1,
	    ['%'] = 1,
	    ['&'] = 1,
	    ['\''] = 1,
	    ['*'] = 1,
	    ['+'] = 1,
	    ['-'] = 1,
	    ['.'] = 1,
	    ['^'] = 1,
	    ['_'] = 1,
	    ['`'] = 1,
	    ['|'] = 1,
	    ['~'] = 1,
	    ['0' ... '9'] = 1,
	    ['A' ... 'Z'] = 1,
	    ['a' ... 'z'] = 1,
	};
	const unsigned char *c = (const unsigned char *)text;

	if (!*c)
		return false;
	for (; *c; c++) {
		if (!allowed[*c])
			return false;
	}
	return true;
}

static bool has_controls(const char *value)
{
	for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
		if ((*c < 0x20 && *c != '\t') || *c == 0x7f)
			return true;
	}
	return false;
}

static bool read_length(const char *value, uint64_t *length_r)
{
	size_t digits = strspn(value, "0123456789");
	uint64_t n = 0;

	if (digits == 0 || digits > LENGTH_DIGITS_MAX || value[digits])
		return false;
	for (size_t i = 0; i < digits; i++)
		n = n * 10 + (uint64_t)(value[i] - '0');
	*length_r = n;
	return true;
}

static const char *judge_target(const struct evhttp_request *native)
{
	const char *target = native->uri;

	/* "//x" would be an authority to evhttp's URI parser, any target of CONNECT is one, and "#" would shorten the path */
	if (native->type == EVHTTP_REQ_CONNECT || !target || target[0] != '/' || target[1] == '/')
		return "target is not a path";
	for (const unsigned char *c = (const unsigned char *)target; *c; c++) {
		if (*c <= 0x20 || *c >= 0x7f || *c == '#')
			return "target is not a path";
	}
	return NULL;
}

static const char *judge_header(const struct evkeyval *header, struct framing *framing)
{
	if (!is_token(header->key))
		return "header name is not a token";
	if (has_controls(header->value))
		return "header value has control characters";
	switch (strlen(header->key)) {
	case sizeof("Host") - 1:
		framing->hosts += strcasecmp(header->key, "Host") == 0;
		break;
	case sizeof("Content-Length") - 1:
		if (strcasecmp(header->key, "Content-Length") != 0)
			break;
		framing->lengths++;
		if (!read_length(header->value, &framing->length))
			return "Content-Length is not a number";
		break;
	case sizeof("Transfer-Encoding") - 1:
		if (strcasecmp(header->key, "Transfer-Encoding") != 0)
			break;
		framing->encodings++;
		if (strcasecmp(header->value, "chunked") != 0)
			return "Transfer-Encoding is not chunked";
		break;
	}
	return NULL;
}

/* evhttp reads a body after these methods only. */
static bool may_have_body(const struct evhttp_request *native)
{
	const unsigned methods = EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
				 EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH;

	return (native->type & methods) != 0;
}

/* What the headers announce must be exactly what was read, or the rest would be taken for the next request. */
static const char *judge_framing(const struct evhttp_request *native, const struct framing *framing)
{
	if (framing->hosts != 1)
		return "not exactly one Host";
	if (framing->lengths + framing->encodings > 1)
		return "more than one body length";
	if (framing->encodings && (native->minor != 1 || !may_have_body(native)))
		return "Transfer-Encoding not expected";
	if (!framing->encodings && framing->length != evbuffer_get_length(native->input_buffer))
		return "body not expected";
	return NULL;
}

const char *http_guard(const struct evhttp_request *native)
{
	struct framing framing = {0};
	const struct evkeyval *header;
	const char *why = judge_target(native);

	if (native->major != 1 || (native->minor != 0 && native->minor != 1))
		return "version is not 1.0 or 1.1";
	if (why)
		return why;
	TAILQ_FOREACH(header, native->input_headers, next)
	{
		why = judge_header(header, &framing);
		if (why)
			return why;
	}
	return judge_framing(native, &framing);
}
