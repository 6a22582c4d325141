/* records - the folder of records. Reading is done once, at the start; writing by a thread of its own, because a disk that has to sync would stop the lease
 * and delay a kill. Writes are done in the order they are asked for; a reply means that the record is on disk whatever happens now.
 */
#ifndef SANDBOX_RECORDS_H
#define SANDBOX_RECORDS_H

#include <event2/event.h>

#include "services/sandbox/record.h"

struct records;
/* On the loop. err NULL: it is on disk. */
typedef void (*records_done)(void *arg, const struct error *err);

/* Makes the folder if need be. Caller owns the result. */
struct records *records_new(struct event_base *base, const char *folder, struct error *err);
/* What is queued is written first; then each done is called. */
void records_destroy(struct records **records);

/* Calls found for every record there is; record NULL: the file is damaged (why). -1: the folder cannot be read. */
typedef void (*records_found)(
    void *arg, const char *id, const struct record *record, const struct error *why);
int records_read(struct records *records, records_found found, void *arg, struct error *err);

/* Copies record; NULL: removes the file. done may be NULL. */
void records_write(struct records *records, const char *id, const struct record *record,
    records_done done, void *arg);

#endif
