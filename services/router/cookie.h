/* cookie - reading the Cookie header (RFC 6265 section 5.4, stricter) and writing our Set-Cookie.
 *
 * The value is cut at every ';', spaces and tabs around a name or value fall away, a pair without '=' is a name without value. Nothing is
 * unquoted or decoded. A name that begins with "__Host-multiclaw" in any letter case is ours and never passed on; only the exact names count as
 * a session. One of them twice, anywhere in the request, is an attack (a planted cookie): no session at all.
 */
#ifndef ROUTER_COOKIE_H
#define ROUTER_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COOKIE_CONSOLE "__Host-multiclaw"
#define COOKIE_AGENT "__Host-multiclaw-agent"
#define COOKIE_STATE \
	"__Host-multiclaw-state" /* of the browser that enters an agent's origin (entry.h) */
#define COOKIE_TOKEN_MAX 2048
#define COOKIE_FORWARD_MAX (16 * 1024)

/* Borrowed slice of a header's value. */
struct cookie_value {
	const char *text;
	size_t len;
};

struct cookies {
	struct cookie_value console, agent, state; /* text NULL: not sent */
	bool repeated;                             /* one of these names twice */
	bool too_long;                             /* forward did not hold the rest */
	size_t forward_len;
	char forward[COOKIE_FORWARD_MAX + 1]; /* the client's cookies without ours, "a=b; c=d" */
};

void cookies_init(struct cookies *cookies);
/* Adds one Cookie header; call it for each that the request has. The slices point into value. */
void cookies_add(struct cookies *cookies, const char *value);

/* Could this be one of our tokens: 1..COOKIE_TOKEN_MAX bytes of [A-Za-z0-9._-]? */
bool cookie_is_token(struct cookie_value value);

#define COOKIE_SET_SIZE (COOKIE_TOKEN_MAX + 128)
/* Set-Cookie values into buf of COOKIE_SET_SIZE bytes; return buf. name: one of the above. */
char *cookie_set(const char *name, const char *value, uint64_t seconds, char *buf);
char *cookie_clear(const char *name, char *buf);

#endif
