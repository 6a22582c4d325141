/* lines - what an agent writes, cut into lines that JSON can say. Any bytes: what is no UTF-8, and NUL, becomes U+FFFD, everything else stays, control
 * characters too (JSON escapes them). Pure. */
#ifndef ROUTER_LINES_H
#define ROUTER_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINES_MAX 8192 /* bytes of one line; a longer one is cut into several */
#define LINES_TEXT_MAX (3 * LINES_MAX)

struct lines {
	size_t len;
	uint8_t bytes[LINES_MAX]; /* of a line that has not ended */
};

/* Takes bytes up to the end of a line; *used_r of them were taken. True: there is a line, as text_r (of LINES_TEXT_MAX bytes, no NUL added). */
bool lines_add(struct lines *lines, const uint8_t *bytes, size_t len, size_t *used_r, char *text_r,
    size_t *text_len_r);
/* What has not ended yet is a line all the same: true if there was anything. */
bool lines_flush(struct lines *lines, char *text_r, size_t *text_len_r);

#endif
