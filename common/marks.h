/* marks - which answers are overtaken: the newest event per bucket of assets, and of all assets (architecture, rule 13). Within a history they only rise. */
#ifndef COMMON_MARKS_H
#define COMMON_MARKS_H

#include "common/ledger.h"

#define MARKS_BUCKETS 65536

struct marks;
struct marks *marks_new(void); /* caller owns the result */
void marks_destroy(struct marks **marks);
/* asset: base58, or "*" */
void marks_add(struct marks *marks, const char *asset, struct event_id id);
/* A new history: the old marks mean nothing, and everything up to head counts as marked. */
void marks_restart(struct marks *marks, struct event_id head);
/* Has nothing of the asset been heard after position? */
bool marks_is_current(const struct marks *marks, const char *asset, struct event_id position);

#endif
