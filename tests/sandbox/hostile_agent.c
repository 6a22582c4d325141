/* hostile_agent - an agent that answers whatever it is told, and remembers the head of every request that reached it. For tests, in a container:
 *
 *	/raw?HEX     these bytes, and no more          /seen     what came, one head after the other ("--- " before each); /forget empties it
 *	/reflect     the request's head as body, its Authorization as headers
 *	/sink        how long the body was ("+++ " in what came: bytes behind it)
 *	/bytes?N  N bytes; /chunks?N in chunks; /stream without end
 *	/ws          upgraded: every byte comes back; /ws-stream sends without end
 *	/sse?MS      an event each MS milliseconds: its number and CLOCK_MONOTONIC in nanoseconds
 *	/slow?MS     answers later                     /late?MS  listens later from the next start on
 *	/close       no answer                         /exit     ends
 *
 * A thread for each connection, one request for each connection. */
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 18789
#define LATE "/data/late"
#define BLOCK 65536

struct connection {
	int fd;
	size_t at, len, head_len;
	char head[2 * BLOCK]; /* and behind it what of the body came along */
	char block[BLOCK];
};

static struct {
	pthread_mutex_t lock;
	size_t len;
	char text[1 << 20];
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void wait_ms(unsigned long ms)
{
	struct timespec left = {
	    .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	while (nanosleep(&left, &left) != 0) {
	}
}

static bool send_all(struct connection *c, const void *data, size_t len)
{
	for (const char *at = data; len > 0;) {
		ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

__attribute__((format(printf, 2, 3))) static bool say(struct connection *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(c->block, sizeof(c->block), fmt, ap);
	va_end(ap);
	return len >= 0 && send_all(c, c->block, (size_t)len);
}

static void answer(struct connection *c, const char *body, size_t len)
{
	if (say(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
		len))
		send_all(c, body, len);
}

/* ---- what comes */

static size_t fill(struct connection *c, char *into, size_t room)
{
	ssize_t n = recv(c->fd, into, room, 0);
	return n > 0 ? (size_t)n : 0;
}

/* Length of the head; 0: it ended before. */
static size_t read_head(struct connection *c)
{
	size_t n;
	while (c->len + 1 < BLOCK && (n = fill(c, c->head + c->len, BLOCK - 1 - c->len)) > 0) {
		c->len += n;
		c->head[c->len] = '\0';
		const char *end = memmem(c->head, c->len, "\r\n\r\n", 4);
		if (end)
			return (size_t)(end - c->head) + 4;
	}
	return 0;
}

static int next_byte(struct connection *c)
{
	if (c->at == c->len) {
		c->at = c->len = 0;
		c->len = fill(c, c->head, sizeof(c->head));
	}
	return c->at < c->len ? (unsigned char)c->head[c->at++] : -1;
}

static uint64_t skip(struct connection *c, uint64_t len)
{
	uint64_t done = 0;
	while (done < len && next_byte(c) >= 0) {
		size_t more = c->len - --c->at;
		more = more < len - done ? more : (size_t)(len - done);
		c->at += more;
		done += more;
	}
	return done;
}

static uint64_t read_chunks(struct connection *c)
{
	uint64_t total = 0;
	for (;;) {
		char line[32] = "";
		int byte;
		for (size_t n = 0;
		     n < sizeof(line) - 1 && (byte = next_byte(c)) >= 0 && byte != '\n';)
			line[n++] = (char)byte;
		uint64_t size = strtoull(line, NULL, 16);
		if (size == 0)
			return total;
		total += skip(c, size);
		skip(c, 2);
	}
}

static void remember(const char *mark, const char *head, size_t len)
{
	pthread_mutex_lock(&seen.lock);
	if (seen.len + len + 4 < sizeof(seen.text)) {
		memcpy(seen.text + seen.len, mark, 4);
		memcpy(seen.text + seen.len + 4, head, len);
		seen.len += len + 4;
	}
	pthread_mutex_unlock(&seen.lock);
}

/* Of the header, up to its line's end; NULL: it has none. */
static const char *header(struct connection *c, const char *name, int *len_r)
{
	char behind = c->head[c->head_len];
	c->head[c->head_len] = '\0';
	const char *at = strcasestr(c->head, name);
	c->head[c->head_len] = behind;
	if (!at)
		return NULL;
	at += strlen(name);
	*len_r = (int)strcspn(at, "\r");
	return at;
}

/* ---- what goes */

static void send_raw(struct connection *c, const char *hex)
{
	size_t len = 0;
	for (unsigned byte; sscanf(hex + 2 * len, "%2x", &byte) == 1 && len < sizeof(c->block);)
		c->block[len++] = (char)byte;
	send_all(c, c->block, len);
}

static void reflect(struct connection *c)
{
	int n = 0;
	const char *token = header(c, "\r\nAuthorization: ", &n);
	if (say(c,
		"HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nX-Reflected: %.*s\r\nAuthorization: "
		"%.*s\r\nX-Multiclaw-Agent-Token: %.*s\r\n\r\n",
		c->head_len, n, token ? token : "", n, token ? token : "", n, token ? token : ""))
		send_all(c, c->head, c->head_len);
}

static void sink(struct connection *c)
{
	int n;
	const char *length = header(c, "\r\nContent-Length: ", &n);
	bool chunked = header(c, "\r\nTransfer-Encoding: chunked", &n) != NULL;
	uint64_t size = length ? strtoull(length, NULL, 10) : 0, got;
	char text[32];

	c->at = c->head_len;
	got = chunked ? read_chunks(c) : skip(c, size);
	if (c->at < c->len)
		remember("+++ ", c->head + c->at, c->len - c->at);
	answer(c, text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)got));
}

static void send_block(struct connection *c, uint64_t len, bool chunked)
{
	while (len > 0) {
		size_t n = len < sizeof(c->block) ? (size_t)len : sizeof(c->block);
		if (chunked && (!say(c, "%zx\r\n", n)))
			return;
		memset(c->block, 'x', n);
		if (!send_all(c, c->block, n) || (chunked && !send_all(c, "\r\n", 2)))
			return;
		len -= n;
	}
	if (chunked)
		send_all(c, "0\r\n\r\n", 5);
}

static void bytes(struct connection *c, const char *length)
{
	uint64_t len = strtoull(length, NULL, 10);
	say(c, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n", (unsigned long long)len);
	send_block(c, len, false);
}

static void chunks(struct connection *c, const char *length)
{
	say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	send_block(c, strtoull(length, NULL, 10), true);
}

static void upgrade(struct connection *c, bool stream)
{
	size_t n;
	say(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
	       "Upgrade\r\n\r\n");
	if (stream)
		send_block(c, UINT64_MAX, false);
	while (!stream && (n = fill(c, c->block, sizeof(c->block))) > 0)
		if (!send_all(c, c->block, n))
			return;
}

static void events(struct connection *c, unsigned long ms)
{
	bool goes_on = say(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
	for (unsigned i = 0; goes_on; i++) {
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		goes_on = say(c, "data: %u %lld%09ld\n\n", i, (long long)now.tv_sec, now.tv_nsec);
		wait_ms(ms);
	}
}

static void show_seen(struct connection *c, bool forget)
{
	pthread_mutex_lock(&seen.lock);
	answer(c, seen.text, seen.len);
	if (forget)
		seen.len = 0;
	pthread_mutex_unlock(&seen.lock);
}

static void write_late(struct connection *c, const char *ms)
{
	FILE *file = fopen(LATE, "w");
	if (file && fputs(ms, file) >= 0 && fclose(file) == 0)
		answer(c, "later", 5);
}

/* ---- who is told what */

static bool is(const char *path, const char *name)
{
	return strcmp(path, name) == 0;
}

static void obey(struct connection *c, const char *path, const char *query)
{
	unsigned long number = strtoul(query, NULL, 10);
	if (is(path, "/raw"))
		send_raw(c, query);
	else if (is(path, "/reflect"))
		reflect(c);
	else if (is(path, "/sink"))
		sink(c);
	else if (is(path, "/bytes"))
		bytes(c, query);
	else if (is(path, "/chunks"))
		chunks(c, query);
	else if (is(path, "/stream"))
		say(c, "HTTP/1.1 200 OK\r\n\r\n"), send_block(c, UINT64_MAX, false);
	else if (is(path, "/ws") || is(path, "/ws-stream"))
		upgrade(c, is(path, "/ws-stream"));
	else if (is(path, "/sse"))
		events(c, number);
	else if (is(path, "/late"))
		write_late(c, query);
	else if (is(path, "/exit"))
		_exit(3);
	else if (!is(path, "/close"))
		wait_ms(is(path, "/slow") ? number : 0), answer(c, "here\n", 5);
}

static void *serve(void *arg)
{
	struct connection *c = arg;
	char target[16384], *query;
	size_t len = read_head(c);
	c->head_len = len;
	if (len > 0 && sscanf(c->head, "%*s %16383s", target) == 1) {
		query = strchr(target, '?');
		if (query)
			*query++ = '\0';
		if (is(target, "/seen") || is(target, "/forget")) {
			show_seen(c, is(target, "/forget"));
		} else {
			remember("--- ", c->head, len);
			obey(c, target, query ? query : "");
		}
	}
	shutdown(c->fd, SHUT_WR);
	while (len > 0 && fill(c, c->block, sizeof(c->block)) > 0) {
	}
	close(c->fd);
	free(c);
	return NULL;
}

static void start(int fd)
{
	pthread_attr_t attr;
	pthread_t thread;
	struct connection *c = calloc(1, sizeof(*c));
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 * 1024);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (c)
		c->fd = fd;
	if (!c || pthread_create(&thread, &attr, serve, c) != 0) {
		free(c);
		close(fd);
	}
	pthread_attr_destroy(&attr);
}

static void be_late(void)
{
	unsigned long ms = 0;
	FILE *file = fopen(LATE, "r");
	if (!file)
		return;
	if (fscanf(file, "%lu", &ms) == 1)
		wait_ms(ms);
	fclose(file);
}

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

	signal(SIGTERM, _exit);
	be_late();
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, 4096) != 0)
		return 1;
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		if (fd >= 0)
			start(fd);
		else
			wait_ms(10);
	}
}
