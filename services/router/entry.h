/* entry - what router itself serves on an agent's origin, under /.multiclaw/: the way in, from the console's session to one of the agent's own, and the
 * way out (security rule 5). nginx names the host in X-Original-Host; only its own pages may ask.
 *
 *	GET  enter	the page (entry_page.h). Sets a state cookie, new each time: of one browser, for two minutes
 *	POST ticket	{"opening"}: what stood behind the # -> {"ticket"}, for this browser alone
 *	POST session	{"ticket"} -> the agent's session cookie
 *	POST leave	{} -> that session ends
 *
 * Openings and tickets are 32 bytes in base64url, single-use, 30 s; session judges them.
 */
#ifndef ROUTER_ENTRY_H
#define ROUTER_ENTRY_H

#include <sodium.h>

#include "common/http_server.h"
#include "services/router/entry_page.h"

#define ENTRY_PATH "/.multiclaw/"
#define ENTRY_BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

struct router;
/* Is the path one of these? */
bool entry_is_for(const struct http_request *request);
/* Answers it. */
void entry_serve(struct router *router, struct http_request *request);

#endif
