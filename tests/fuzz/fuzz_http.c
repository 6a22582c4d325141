/* Gives any bytes to the server on a real socket. What reaches the handler is held against a reader that follows RFC 9112 to the letter: as long as
 * that reader understands what came, the server must have seen the same requests in the same order, or have closed the connection. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/http_server.h"
#include "common/scoped.h"

#define SIZE_MAX_BYTES 8192 /* no body can reach the limit that is answered without closing */
#define SEEN_MAX 256
#define STILL_ROUNDS 3

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct seen {
	char method[8];
	char target[SIZE_MAX_BYTES];
	size_t body_len;
};

static struct fixture {
	struct event_base *base;
	struct http_server *server;
	struct sockaddr_un at;
	struct seen *seen;
	size_t nseen;
} fixture = {.at = {.sun_family = AF_UNIX}};

static void count_host(void *arg, const char *name, const char *value)
{
	for (const char *c = value; *c; c++)
		bug_if((unsigned char)*c < 0x20 && *c != '\t');
	*(unsigned *)arg += strcasecmp(name, "Host") == 0;
}

static void handler(void *arg, struct http_request *request)
{
	struct seen *seen = &fixture.seen[fixture.nseen];
	const char *query = http_query(request);
	unsigned hosts = 0;
	bool repeated;

	(void)arg;
	http_headers(request, count_host, &hosts);
	bug_if(hosts != 1 || !http_header(request, "host", &repeated) || repeated);
	bug_if(http_path(request)[0] != '/');
	if (fixture.nseen < SEEN_MAX - 1)
		fixture.nseen++;
	snprintf(seen->method, sizeof(seen->method), "%s", http_method(request));
	snprintf(seen->target, sizeof(seen->target), "%s%s%s", http_path(request),
	    *query ? "?" : "", query);
	seen->body_len = evbuffer_get_length(evhttp_request_get_input_buffer(http_native(request)));
	json_t *body = http_body_json(request, NULL);
	if (body)
		http_reply_json(request, 200, body);
	else
		http_reply_text(request, 200, "text/plain", seen->target, strlen(seen->target));
}

static void tear_down(void)
{
	http_server_destroy(&fixture.server);
	event_base_free(fixture.base);
	free(fixture.seen);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char address[64];
	struct error err;

	(void)argc, (void)argv;
	signal(SIGPIPE, SIG_IGN);
	bug_if(sodium_init() < 0);
	fixture.base = event_base_new();
	fixture.seen = calloc(SEEN_MAX, sizeof(fixture.seen[0]));
	snprintf(address, sizeof(address), "unix:/tmp/fuzz-http-%d", getpid());
	snprintf(fixture.at.sun_path, sizeof(fixture.at.sun_path), "%s", address + strlen("unix:"));
	fixture.server = http_server_new(fixture.base, address, handler, NULL, &err);
	bug_if(!fixture.server || !fixture.seen);
	atexit(tear_down);
	return 0;
}

/* ---- the reader to the letter ---- */

struct strict {
	const char *at, *end;
};

static bool is_tchar(char c)
{
	return c && strchr("!#$%&'*+-.^_`|~0123456789"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
			c);
}

/* A line without its CRLF, copied and terminated; false if there is none or it holds a stray CR, LF or NUL. */
static bool strict_line(struct strict *s, char line[SIZE_MAX_BYTES + 1])
{
	const char *crlf = memmem(s->at, (size_t)(s->end - s->at), "\r\n", 2);

	if (!crlf)
		return false;
	size_t len = (size_t)(crlf - s->at);
	memcpy(line, s->at, len);
	line[len] = '\0';
	s->at = crlf + 2;
	return strlen(line) == len && !strpbrk(line, "\r\n");
}

static bool strict_first(struct strict *s, struct seen *out, int *minor_r)
{
	char line[SIZE_MAX_BYTES + 1];

	if (!strict_line(s, line))
		return false;
	char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;
	if (!version)
		return false;
	*target++ = '\0';
	*version++ = '\0';
	for (const char *c = line; *c; c++)
		if (!is_tchar(*c))
			return false;
	for (const char *c = target; *c; c++)
		if (*c <= ' ' || *c >= 0x7f || *c == '#')
			return false;
	*minor_r = strcmp(version, "HTTP/1.1") == 0 ? 1 : 0;
	snprintf(out->method, sizeof(out->method), "%.7s", line);
	snprintf(out->target, sizeof(out->target), "%s", target);
	return line[0] && target[0] == '/' && (*minor_r || strcmp(version, "HTTP/1.0") == 0);
}

struct lengths {
	unsigned hosts, lengths, encodings;
	bool closes;
	size_t length;
};

static bool strict_header(char *line, struct lengths *lengths)
{
	char *value = strchr(line, ':');

	if (!value || value == line)
		return false;
	*value++ = '\0';
	for (const char *c = line; *c; c++)
		if (!is_tchar(*c))
			return false;
	value += strspn(value, " \t");
	size_t len = strlen(value);
	while (len && strchr(" \t", value[len - 1]))
		value[--len] = '\0';
	lengths->hosts += strcasecmp(line, "Host") == 0;
	if (strcasecmp(line, "Connection") == 0 || strcasecmp(line, "Expect") == 0)
		lengths->closes = true; /* who closes, or waits, is not what this is about */
	if (strcasecmp(line, "Content-Length") == 0) {
		lengths->lengths++;
		lengths->length = strtoul(value, NULL, 10);
		return len && len < 9 && strspn(value, "0123456789") == len;
	}
	if (strcasecmp(line, "Transfer-Encoding") == 0) {
		lengths->encodings++;
		return strcasecmp(value, "chunked") == 0;
	}
	return true;
}

static bool strict_take(struct strict *s, size_t len)
{
	if (len > (size_t)(s->end - s->at))
		return false;
	s->at += len;
	return true;
}

static bool strict_chunks(struct strict *s, size_t *len_r)
{
	char line[SIZE_MAX_BYTES + 1];

	for (;;) {
		if (!strict_line(s, line))
			return false;
		size_t digits = strspn(line, "0123456789abcdefABCDEF");
		if (digits == 0 || digits > 8 || line[digits])
			return false;
		size_t len = strtoul(line, NULL, 16);
		*len_r += len;
		if (len == 0)
			return strict_line(s, line) && !line[0];
		if (!strict_take(s, len) || !strict_line(s, line) || line[0])
			return false;
	}
}

static bool strict_request(struct strict *s, struct seen *out)
{
	char line[SIZE_MAX_BYTES + 1];
	struct lengths lengths = {0};
	int minor;

	out->body_len = 0;
	if (!strict_first(s, out, &minor))
		return false;
	do {
		if (!strict_line(s, line) || (line[0] && !strict_header(line, &lengths)))
			return false;
	} while (line[0]);
	if (lengths.hosts != 1 || lengths.lengths + lengths.encodings > 1 || lengths.closes ||
	    !minor)
		return false;
	if (lengths.encodings)
		return strict_chunks(s, &out->body_len);
	out->body_len = lengths.length;
	return strict_take(s, lengths.length);
}

static void compare(const uint8_t *bytes, size_t size)
{
	struct strict s = {(const char *)bytes, (const char *)bytes + size};
	static struct seen expected;

	for (size_t i = 0; i < fixture.nseen && strict_request(&s, &expected); i++) {
		const struct seen *seen = &fixture.seen[i];
		size_t len = strlen(expected.target);
		/* an empty query is not told from none */
		if (len && expected.target[len - 1] == '?' &&
		    len - 1 == strcspn(expected.target, "?"))
			expected.target[len - 1] = '\0';
		bug_if(strcmp(seen->target, expected.target) != 0);
		bug_if(seen->body_len != expected.body_len);
		bug_if(strcmp(seen->method, expected.method) != 0 &&
		       strcmp(seen->method, "UNKNOWN") != 0);
	}
}

/* ---- one input ---- */

static void run(int fd)
{
	char text[65536];

	for (int still = 0; still < STILL_ROUNDS; still++) {
		event_base_loop(fixture.base, EVLOOP_NONBLOCK);
		if (fd >= 0 && read(fd, text, sizeof(text)) > 0)
			still = 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size > SIZE_MAX_BYTES)
		return 0;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fixture.nseen = 0;
	bug_if(connect(fd, (struct sockaddr *)&fixture.at, sizeof(fixture.at)) != 0);
	bug_if(fcntl(fd, F_SETFL, O_NONBLOCK) != 0);
	bug_if(send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size);
	run(fd);
	close(fd);
	run(-1);
	compare(bytes, size);
	return 0;
}
