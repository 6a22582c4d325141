/* http_guard - what evhttp lets through and we do not (the list is in http_server.h). A pure function of one parsed request.
 * Sources: RFC 9112 sections 2 to 6, RFC 9110 section 5. */
#ifndef COMMON_HTTP_GUARD_H
#define COMMON_HTTP_GUARD_H

#include <event2/http.h>

/* Judges a request as evhttp hands it over, its body read. Returns NULL if it may pass, else a few words why not (static). */
const char *http_guard(const struct evhttp_request *native);

#endif
