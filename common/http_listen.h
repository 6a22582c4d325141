/* http_listen - a listening stream socket from an address of the settings. */
#ifndef COMMON_HTTP_LISTEN_H
#define COMMON_HTTP_LISTEN_H

#include "common/error.h"

/* "unix:path" (mode 0660; a stale file that nobody answers on is removed first) or a numeric "address:port". Returns a bound, non-blocking
 * socket, not yet listening, that the caller owns; -1 with err set. */
int http_listen(const char *address, struct error *err);
/* Of an IPv4 "address:port" alone, which this host may get later. */
int http_listen_early(const char *address, struct error *err);
/* The path of a unix address; NULL if it is another. Borrowed. */
const char *http_listen_path(const char *address);

#endif
