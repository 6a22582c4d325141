/* What passed through jansson and libevent is not in the heap any more once they freed it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/heap.h"

#define LEN 48
#define ROOM (1 << 20)

/* Mapped, and so not part of the heap that is looked through. */
static char *room;

/* A text of which the program has no copy. */
static const char *make_secret(char *text)
{
	uint8_t bytes[LEN / 2];
	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(text, LEN + 1, bytes, sizeof(bytes));
	sodium_memzero(bytes, sizeof(bytes));
	return text;
}

static size_t count_in(const char *at, size_t len, const char *text)
{
	size_t n = 0;
	for (const char *end = at + len; (at = memmem(at, (size_t)(end - at), text, LEN)); at++)
		n++;
	return n;
}

/* AddressSanitizer's heap is elsewhere. */
static void need_the_heap(void)
{
#ifdef __SANITIZE_ADDRESS__
	print_message("skipped: the sanitizer has a heap of its own\n");
	skip();
#endif
}

/* How often the text is in the heap of this process. */
static size_t copies_of(const char *text)
{
	size_t n = 0;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		char *dash;
		uintptr_t begin = strtoul(line, &dash, 16), end = strtoul(dash + 1, NULL, 16);
		if (strstr(line, "[heap]"))
			n += count_in((const char *)begin, end - begin, text);
	}
	fclose(maps);
	return n;
}

static void parsed_json_is_wiped(void **state)
{
	(void)state;
	need_the_heap();
	const char *secret = make_secret(room);
	char *text = room + LEN + 1;
	int len = snprintf(text, ROOM / 2, "{\"value\":\"%s\\n%s\"}", secret, secret);
	json_t *json = json_loadb(text, (size_t)len, 0, NULL);
	assert_non_null(json);
	assert_true(copies_of(secret) > 0); /* else the test would look in the wrong place */
	json_decref(json);
	assert_int_equal(copies_of(secret), 0);
}

static void buffers_of_bodies_are_wiped(void **state)
{
	(void)state;
	need_the_heap();
	const char *secret = make_secret(room);
	struct evbuffer *body = evbuffer_new();
	for (int i = 0; i < 100; i++) {
		evbuffer_add(body, secret, LEN);
		evbuffer_expand(body, (size_t)i * 16);
	}
	evbuffer_pullup(body, -1);
	assert_true(copies_of(secret) >= 100);
	evbuffer_free(body);
	assert_int_equal(copies_of(secret), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parsed_json_is_wiped),
	    cmocka_unit_test(buffers_of_bodies_are_wiped),
	};
	heap_wipe_freed();
	room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return room == MAP_FAILED || sodium_init() < 0 ? 1
						       : cmocka_run_group_tests(tests, NULL, NULL);
}
