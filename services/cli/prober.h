/* prober - asks who is let in, from outside and without pause: GET /v1/session at each point, several at once, beside the other requests of a drill.
 *
 * A point is the service as everybody reaches it, or one router's own socket. Two sessions are asked for: the one that a round is about, and the
 * one that ended in the round before.
 */
#ifndef CLI_PROBER_H
#define CLI_PROBER_H

#include "services/cli/drill_judge.h"
#include "services/cli/web.h"

#define PROBER_POINTS_MAX 17
#define PROBER_NAME_MAX 40

struct prober;

/* url: the service's. connect_to: HOST:PORT to connect to in its place, NULL: where the URL says. every_ms: between two requests of one line; each
 * point has two. */
struct prober *prober_new(const char *url, const char *connect_to, unsigned every_ms);
void prober_destroy(struct prober **prober);

/* Borrows the socket's path; NULL: through the service's URL. */
void prober_add(struct prober *prober, const char *name, const char *socket);
size_t prober_points(const struct prober *prober);
const char *prober_name(const struct prober *prober, size_t point);

/* Whose sessions are asked for from now on ("" : nobody's); what was seen before is forgotten. Copies. */
void prober_begin(struct prober *prober, const char *token, const char *former);
const struct drill_sample *prober_samples(const struct prober *prober, size_t *n_r);

/* Has each point let the present session in, refused it, since then? */
bool prober_all_allowed(const struct prober *prober);
bool prober_all_denied(const struct prober *prober);

/* Called at each turn, a few times a millisecond to every few milliseconds; false: whatever is waited for ends as failed. */
void prober_on_turn(struct prober *prober, bool (*turn)(void *arg), void *arg);
/* One turn: requests that are due begin, those that have ended are noted. false: on_turn said so. */
bool prober_turn(struct prober *prober);
/* For web_ask: a request beside these. */
const struct web_loop *prober_loop(struct prober *prober);
/* The status that a unix socket's HTTP server answers; 0: none within 0.5 s. */
long prober_look(struct prober *prober, const char *socket, const char *url);

#endif
