/* front - the listener that containers reach: libmicrohttpd on the loop. Strict parsing; only known addresses get a connection; limits of connections, of each
 * address' connections, of heads, of silence. */
#ifndef LLM_GATEWAY_FRONT_H
#define LLM_GATEWAY_FRONT_H

#include <stddef.h>

#include "common/error.h"

struct gateway;
struct front;
/* listener: bound; its own from now on. Caller owns the result. */
struct front *front_new(struct gateway *gateway, int listener, struct error *err);
/* No exchange is under way any more, or it has been cut. */
void front_destroy(struct front **front);
/* Does now what there is to do, unless it is doing so. */
void front_run(struct front *front);
/* Soon, on a stack of its own: a connection was resumed (libmicrohttpd does not notice by itself without a thread of its own). */
void front_wake(struct front *front);
size_t front_exchanges(const struct front *front); /* under way */

#endif
