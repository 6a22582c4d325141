#include "services/chain-oracle/handshake.h"

#include <curl/curl.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define ACCEPT_LEN 28 /* base64 of SHA-1 */

static void scoped_url_fn(CURLU **url)
{
	curl_url_cleanup(*url);
}
static void scoped_part_fn(char **part)
{
	curl_free(*part);
}
#define scoped_url __attribute__((cleanup(scoped_url_fn)))
#define scoped_part __attribute__((cleanup(scoped_part_fn)))

/* ws to http and wss to https, which is what libcurl of Debian 12 understands. */
static int http_url(const char *url, char *out, size_t size, struct error *err)
{
	static const char *const schemes[][2] = {{"ws://", "http://"}, {"wss://", "https://"},
	    {"http://", "http://"}, {"https://", "https://"}};
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t len = strlen(schemes[i][0]);
		if (strncasecmp(url, schemes[i][0], len) != 0)
			continue;
		if ((size_t)snprintf(out, size, "%s%s", schemes[i][1], url + len) >= size)
			return error_set(err, ERR_INVALID, "address too long");
		return 0;
	}
	return error_set(err, ERR_INVALID, "not a ws, wss, http or https address");
}

static char *part(CURLU *url, CURLUPart what)
{
	char *text = NULL;
	return curl_url_get(url, what, &text, 0) == CURLUE_OK ? text : NULL;
}

int handshake_url_parse(const char *text, struct handshake_url *url_r, struct error *err)
{
	if (http_url(text, url_r->connect, sizeof(url_r->connect), err) < 0)
		return -1;
	scoped_url CURLU *url = curl_url();
	bug_if(!url);
	if (curl_url_set(url, CURLUPART_URL, url_r->connect, 0) != CURLUE_OK)
		return error_set(err, ERR_INVALID, "not an address");
	scoped_part char *user = part(url, CURLUPART_USER);
	scoped_part char *host = part(url, CURLUPART_HOST);
	scoped_part char *port = part(url, CURLUPART_PORT);
	scoped_part char *path = part(url, CURLUPART_PATH);
	scoped_part char *query = part(url, CURLUPART_QUERY);
	if (user)
		return error_set(err, ERR_INVALID, "user names in addresses are not supported");
	if (!host || !path ||
	    (size_t)snprintf(url_r->host, sizeof(url_r->host), "%s%s%s", host, port ? ":" : "",
		port ? port : "") >= sizeof(url_r->host) ||
	    (size_t)snprintf(url_r->target, sizeof(url_r->target), "%s%s%s", path, query ? "?" : "",
		query ? query : "") >= sizeof(url_r->target))
		return error_set(err, ERR_INVALID, "address too long");
	return 0;
}

void handshake_key(char key_r[HANDSHAKE_KEY_LEN + 1])
{
	uint8_t random[16];
	randombytes_buf(random, sizeof(random));
	sodium_bin2base64(
	    key_r, HANDSHAKE_KEY_LEN + 1, random, sizeof(random), sodium_base64_VARIANT_ORIGINAL);
}

char *handshake_request(const struct handshake_url *url, const char *key)
{
	char *text = NULL;
	bug_if(asprintf(&text,
		   "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		   "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
		   url->target, url->host, key) < 0);
	return text;
}

static void accept_of(const char *key, char accept_r[ACCEPT_LEN + 1])
{
	char text[HANDSHAKE_KEY_LEN + sizeof(GUID)];
	uint8_t hash[SHA_DIGEST_LENGTH];
	int len = snprintf(text, sizeof(text), "%s%s", key, GUID);
	SHA1((const unsigned char *)text, (size_t)len, hash);
	sodium_bin2base64(
	    accept_r, ACCEPT_LEN + 1, hash, sizeof(hash), sodium_base64_VARIANT_ORIGINAL);
}

struct header {
	const char *name, *value; /* value without the spaces around it */
	int name_len, value_len;
};

/* One line without its CRLF. */
static int header_parse(const char *line, size_t len, struct header *header_r)
{
	const char *colon = memchr(line, ':', len);
	if (!colon || colon == line || memchr(line, '\r', len) || memchr(line, '\n', len))
		return -1;
	const char *value = colon + 1, *end = line + len;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*header_r = (struct header){line, value, (int)(colon - line), (int)(end - value)};
	return 0;
}

static bool header_is(const struct header *header, const char *name)
{
	return (size_t)header->name_len == strlen(name) &&
	       strncasecmp(header->name, name, strlen(name)) == 0;
}

static bool value_is(const struct header *header, const char *value)
{
	return (size_t)header->value_len == strlen(value) &&
	       strncasecmp(header->value, value, strlen(value)) == 0;
}

static bool is_separator(char c)
{
	return c == ',' || c == ' ' || c == '\t';
}

/* Is word one of the comma-separated ones? */
static bool value_has(const struct header *header, const char *word)
{
	const char *at = header->value, *end = at + header->value_len;
	while (at < end) {
		const char *begin = at;
		while (at < end && !is_separator(*at))
			at++;
		if ((size_t)(at - begin) == strlen(word) &&
		    strncasecmp(begin, word, strlen(word)) == 0)
			return true;
		at++;
	}
	return false;
}

struct seen {
	int upgrades, connections, accepts;
};

static int header_check(
    const struct header *header, const char *accept, struct seen *seen, struct error *err)
{
	if (header_is(header, "Upgrade") && value_is(header, "websocket"))
		seen->upgrades++;
	if (header_is(header, "Connection") && value_has(header, "upgrade"))
		seen->connections++;
	if (header_is(header, "Sec-WebSocket-Accept")) {
		if (header->value_len != ACCEPT_LEN ||
		    memcmp(header->value, accept, ACCEPT_LEN) != 0)
			return error_set(err, ERR_INVALID, "the server's accept key is not ours");
		seen->accepts++;
	}
	if (header_is(header, "Sec-WebSocket-Extensions") ||
	    header_is(header, "Sec-WebSocket-Protocol"))
		return error_set(err, ERR_INVALID, "the server wants what was not offered");
	return 0;
}

static int head_check(const char *head, size_t len, const char *key, struct error *err)
{
	static const char status[] = "HTTP/1.1 101";
	if (len < sizeof(status) || memcmp(head, status, sizeof(status) - 1) != 0 ||
	    (head[sizeof(status) - 1] != ' ' && head[sizeof(status) - 1] != '\r'))
		return error_set(
		    err, ERR_UNAVAILABLE, "refused: %.*s", (int)strcspn(head, "\r\n"), head);
	char accept[ACCEPT_LEN + 1];
	accept_of(key, accept);
	struct seen seen = {0};
	const char *line = strstr(head, "\r\n") + 2, *end = head + len;
	for (const char *eol; line < end; line = eol + 2) {
		struct header header;
		eol = strstr(line, "\r\n");
		if (header_parse(line, (size_t)(eol - line), &header) < 0)
			return error_set(err, ERR_INVALID, "a line that is no header");
		if (header_check(&header, accept, &seen, err) < 0)
			return -1;
	}
	if (seen.upgrades != 1 || seen.connections != 1 || seen.accepts != 1)
		return error_set(err, ERR_INVALID, "not a WebSocket's answer");
	return 0;
}

ssize_t handshake_check(const char *bytes, size_t len, const char *key, struct error *err)
{
	char head[HANDSHAKE_MAX + 1];
	size_t n = len < HANDSHAKE_MAX ? len : HANDSHAKE_MAX;
	const char *end = memmem(bytes, n, "\r\n\r\n", 4);
	if (!end && len < HANDSHAKE_MAX)
		return 0;
	if (!end)
		return error_set(err, ERR_INVALID, "an endless head");
	size_t head_len = (size_t)(end - bytes) + 2; /* with the last header's line end */
	memcpy(head, bytes, head_len);
	head[head_len] = '\0';
	if (strlen(head) != head_len)
		return error_set(err, ERR_INVALID, "a NUL in the head");
	if (head_check(head, head_len, key, err) < 0)
		return -1;
	return (ssize_t)head_len + 2;
}
