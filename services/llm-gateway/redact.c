#include "services/llm-gateway/redact.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct redact {
	const uint8_t *key;
	size_t len, held; /* so many bytes of the key were seen last, and held back */
	uint64_t found;
	redact_out out;
	void *arg;
	uint32_t border[]; /* of each prefix of the key: its longest that is also its end */
};

static void find_borders(struct redact *redact)
{
	uint32_t at = 0;

	redact->border[0] = 0;
	for (size_t i = 1; i < redact->len; i++) {
		while (at > 0 && redact->key[i] != redact->key[at])
			at = redact->border[at - 1];
		at += redact->key[i] == redact->key[at];
		redact->border[i] = at;
	}
}

struct redact *redact_new(const struct secret *key, redact_out out, void *arg)
{
	size_t len = secret_len(key);
	struct redact *redact = calloc(1, sizeof(*redact) + len * sizeof(redact->border[0]));

	bug_if(!redact || len == 0);
	redact->key = secret_bytes(key);
	redact->len = len;
	redact->out = out;
	redact->arg = arg;
	find_borders(redact);
	return redact;
}

void redact_destroy(struct redact **redact)
{
	struct redact *r = *redact;

	if (!r)
		return;
	*redact = NULL;
	/* where a key repeats itself says something of it */
	sodium_memzero(r->border, r->len * sizeof(r->border[0]));
	free(r);
}

static void cover(struct redact *redact)
{
	static const char stars[] = "****************";
	size_t left = redact->len;

	while (left > 0) {
		size_t n = left < sizeof(stars) - 1 ? left : sizeof(stars) - 1;
		redact->out(redact->arg, stars, n);
		left -= n;
	}
	redact->held = 0;
	redact->found++;
}

/* The byte behind what is held back. Gives up as much of it as cannot begin the key any more. */
static bool goes_on(struct redact *redact, uint8_t byte)
{
	size_t held = redact->held, was = held;

	while (held > 0 && redact->key[held] != byte)
		held = redact->border[held - 1];
	if (was > held)
		redact->out(redact->arg, redact->key, was - held);
	redact->held = held;
	return redact->key[held] == byte;
}

void redact_feed(struct redact *redact, const void *bytes, size_t len)
{
	const uint8_t *at = bytes, *const end = at + len;

	while (at < end) {
		if (redact->held == 0) {
			const uint8_t *first = memchr(at, redact->key[0], (size_t)(end - at));
			size_t plain = (size_t)((first ? first : end) - at);
			if (plain > 0)
				redact->out(redact->arg, at, plain);
			at += plain;
			if (!first)
				return;
		}
		if (!goes_on(redact, *at))
			continue; /* nothing is held now: it is looked at as the first one */
		at++;
		if (++redact->held == redact->len)
			cover(redact);
	}
}

void redact_end(struct redact *redact)
{
	if (redact->held > 0)
		redact->out(redact->arg, redact->key, redact->held);
	redact->held = 0;
}

uint64_t redact_found(const struct redact *redact)
{
	return redact->found;
}

uint64_t redact_text(const struct secret *key, char *text, size_t len)
{
	uint64_t found = 0;
	char *at = text;

	while ((at = memmem(at, len - (size_t)(at - text), secret_bytes(key), secret_len(key)))) {
		memset(at, '*', secret_len(key));
		at += secret_len(key);
		found++;
	}
	return found;
}
