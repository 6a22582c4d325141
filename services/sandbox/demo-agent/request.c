#include "services/sandbox/demo-agent/request.h"

#include <string.h>
#include <strings.h>

static const char token_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "!#$%&'*+-.^_`|~";

size_t request_head_len(const char *bytes, size_t len)
{
	const char *end = memmem(bytes, len, "\r\n\r\n", 4);

	return end ? (size_t)(end - bytes) + 4 : 0;
}

bool request_number(const char *text, uint64_t max, uint64_t *number_r)
{
	uint64_t number = 0;
	size_t len = strspn(text, "0123456789");

	if (len == 0 || len > 19 || text[len] != '\0')
		return false;
	for (size_t i = 0; i < len; i++)
		number = number * 10 + (uint64_t)(text[i] - '0');
	*number_r = number;
	return number <= max;
}

/* The next line, cut off at its CRLF; NULL: it holds a control character, so it is none. */
static char *next_line(char **at)
{
	char *line = *at, *end = strstr(line, "\r\n");

	if (!end)
		return NULL;
	*end = '\0';
	*at = end + 2;
	for (const char *c = line; *c; c++)
		if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
			return NULL;
	return line;
}

static int read_request_line(char *line, struct request *request)
{
	char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;

	if (!version)
		return 400;
	*target++ = '\0';
	*version++ = '\0';
	if (!line[0] || strspn(line, token_chars) != strlen(line) || target[0] != '/')
		return 400;
	if (strcmp(version, "HTTP/1.1") != 0)
		return strncmp(version, "HTTP/", 5) == 0 ? 505 : 400;
	request->method = line;
	request->path = target;
	char *query = strchr(target, '?');
	if (query)
		*query++ = '\0';
	request->query = query ? query : target + strlen(target);
	return 0;
}

struct handshake {
	bool is_upgrade, is_connection, is_version;
	const char *key;
};

/* Is word one of the comma-separated ones in list? */
static bool lists(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; *at; at += strcspn(at, ",")) {
		at += strspn(at, ", \t");
		size_t found = strcspn(at, ", \t");
		if (found == len && strncasecmp(at, word, len) == 0)
			return true;
	}
	return false;
}

static int read_length(struct request *request, const char *value)
{
	if (request->has_length || !request_number(value, INT64_MAX, &request->content_length))
		return 400;
	request->has_length = true;
	return 0;
}

static int read_field(
    struct request *request, struct handshake *handshake, const char *name, const char *value)
{
	if (strcasecmp(name, "Content-Length") == 0)
		return read_length(request, value);
	if (strcasecmp(name, "Transfer-Encoding") == 0) {
		if (request->is_chunked || strcasecmp(value, "chunked") != 0)
			return 400;
		request->is_chunked = true;
	} else if (strcasecmp(name, "Authorization") == 0) {
		if (request->authorization)
			return 400;
		request->authorization = value;
	} else if (strcasecmp(name, "Expect") == 0) {
		if (strcasecmp(value, "100-continue") != 0)
			return 417;
		request->expects_continue = true;
	} else if (strcasecmp(name, "Upgrade") == 0) {
		handshake->is_upgrade = strcasecmp(value, "websocket") == 0;
	} else if (strcasecmp(name, "Connection") == 0) {
		handshake->is_connection = lists(value, "upgrade");
	} else if (strcasecmp(name, "Sec-WebSocket-Version") == 0) {
		handshake->is_version = strcmp(value, "13") == 0;
	} else if (strcasecmp(name, "Sec-WebSocket-Key") == 0) {
		if (handshake->key || strlen(value) != REQUEST_KEY_LEN)
			return 400;
		handshake->key = value;
	}
	return 0;
}

/* "Name: value", without blanks around the value; a line that goes on from the one before begins with a blank, and is refused. */
static int read_line(struct request *request, struct handshake *handshake, char *line)
{
	size_t name_len = strspn(line, token_chars);

	if (name_len == 0 || line[name_len] != ':')
		return 400;
	line[name_len] = '\0';
	char *value = line + name_len + 1;
	value += strspn(value, " \t");
	size_t len = strlen(value);
	while (len > 0 && strchr(" \t", value[len - 1]))
		value[--len] = '\0';
	return read_field(request, handshake, line, value);
}

int request_parse(char *head, size_t len, struct request *request_r)
{
	struct handshake handshake = {0};
	char *at = head, *line;
	int status;

	*request_r = (struct request){0};
	if (memchr(head, '\0', len) || len < 4)
		return 400;
	head[len - 2] = '\0'; /* the empty line: what is before it ends with CRLF */
	if (!(line = next_line(&at)) || (status = read_request_line(line, request_r)) != 0)
		return line ? status : 400;
	while (*at) {
		if (!(line = next_line(&at)))
			return 400;
		if ((status = read_line(request_r, &handshake, line)) != 0)
			return status;
	}
	if (request_r->has_length && request_r->is_chunked)
		return 400;
	if (handshake.is_upgrade && handshake.is_connection && handshake.is_version)
		request_r->websocket_key = handshake.key;
	return 0;
}
