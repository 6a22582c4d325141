/* origin - a web origin (RFC 6454): what a browser sends as Origin, and what SIWS calls domain and uri. */
#ifndef COMMON_ORIGIN_H
#define COMMON_ORIGIN_H

#include <stdbool.h>

#include "common/error.h"

#define ORIGIN_HOST_MAX 240

struct origin {
	char text[ORIGIN_HOST_MAX + 16]; /* "https://claw.example:8443" */
	bool is_https;
};

/* url: "http(s)://host[:port]", at most a single "/" after it. Host: letters, digits, hyphen, dot, or an IPv6
 * address in brackets. Scheme and host come out in lower case, the scheme's own port is left out, as browsers
 * do. ERR_INVALID. */
int origin_parse(const char *url, struct origin *origin_r, struct error *err);

/* "claw.example:8443": the text behind the scheme. */
static inline const char *origin_domain(const struct origin *origin)
{
	return origin->text + (origin->is_https ? 8 : 7);
}

#endif
