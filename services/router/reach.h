/* reach - where do the requests of an agent go now? From the table of places, else from its sandbox, which wakes it if need be. Asked after an allow only
 * (rule 12): nothing wakes for a stranger.
 *
 * Questions about one agent at one time share one call. An event of its asset takes its place away, and voids an answer that is on its way.
 */
#ifndef ROUTER_REACH_H
#define ROUTER_REACH_H

#include "services/router/cookie.h"
#include "services/router/places.h"
#include "services/router/sandboxes.h"

enum reach_state { REACH_RUNNING, REACH_STARTING, REACH_STOPPED, REACH_FAILED };

struct reaches;
/* From the router's settings; keeps router. Caller owns the result. ERR_INVALID. */
struct reaches *reaches_new(struct router *router, struct error *err);
/* After router->sandboxes. */
void reaches_destroy(struct reaches **reaches);
/* An event of this asset, or (NULL) one that may concern any. */
void reaches_mark(struct reaches *reaches, const uint8_t asset[PUBKEY_LEN]);

/* At once, or not at all. place_r is borrowed until control returns to the loop. */
bool reach_lookup(struct reaches *reaches, const uint8_t asset[PUBKEY_LEN], struct place *place_r);

struct reach_question {
	const uint8_t *asset;      /* copied */
	struct cookie_value token; /* of the owner; copied */
	uint64_t deadline;         /* Unix ms */
	const char *trace;
};
/* Called once, never from inside reach_ask: err, or the state and, REACH_RUNNING, the place. Borrowed for the call. */
typedef void (*reach_done)(
    void *arg, enum reach_state state, const struct place *place, const struct error *err);
void reach_ask(
    struct reaches *reaches, const struct reach_question *question, reach_done done, void *arg);

#endif
