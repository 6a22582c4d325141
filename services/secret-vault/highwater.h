/* highwater - the highest version seen of every record, snapshot and hand-over, and which periods are gone: kept apart from the store and its backups, so that putting back old
 * bytes is noticed (security rule 18). A SQLite file of this vault's own (MULTICLAW_VAULT_MARKS); several vaults on one PostgreSQL each learn from what they
 * read. Used by the worker's thread alone.
 *
 * Order: the store commits first, then the marks, then the answer goes out. A crash between leaves a mark that is one behind; a record above its mark is
 * good (its version is sealed into it), and the mark follows.
 */
#ifndef SECRET_VAULT_HIGHWATER_H
#define SECRET_VAULT_HIGHWATER_H

#include "services/secret-vault/store.h"

struct highwater;
/* Creates the file (0600) if need be. Caller owns the result. */
struct highwater *highwater_open(const char *path, struct error *err);
void highwater_close(struct highwater **highwater);

/* Which store it belongs to: 16 bytes; *known_r false in a new file. */
int highwater_store(
    struct highwater *highwater, uint8_t id_r[16], bool *known_r, struct error *err);
/* Belongs to this store from now on, and takes its versions as they are: of what was known, only which periods are gone stays. */
int highwater_adopt(struct highwater *highwater, const uint8_t id[16], struct error *err);

/* 0 if there is none. kind and name "": of the period itself: 1 while it has a key, HIGHWATER_GONE once that is destroyed. */
#define HIGHWATER_GONE 2
int highwater_get(struct highwater *highwater, const struct period *period, const char *kind,
    const char *name, uint64_t *version_r, struct error *err);
/* The periods of an asset that have a mark below HIGHWATER_GONE and that the store should therefore have. */
typedef bool (*highwater_period_row)(void *arg, const struct period *period);
int highwater_periods_of(struct highwater *highwater, const char *asset, highwater_period_row row,
    void *arg, struct error *err);
/* The newest snapshot of a period, by its number (name ""); the hand-over of an asset, under a period with neither wallet nor slot. No records. */
#define HIGHWATER_SNAPSHOT "snapshot"
#define HIGHWATER_HANDOVER "handover"
/* Every record of a period that has a mark, with its version. */
typedef bool (*highwater_row)(void *arg, const char *kind, const char *name, uint64_t version);
int highwater_records_of(struct highwater *highwater, const struct period *period,
    highwater_row row, void *arg, struct error *err);

/* Marks only rise. They are seen at once, and on disk when highwater_commit returns 0. */
int highwater_raise(struct highwater *highwater, const struct period *period, const char *kind,
    const char *name, uint64_t version, struct error *err);
/* Of a destroyed period the marks of records and snapshot are dropped, its own stays. */
int highwater_gone(struct highwater *highwater, const struct period *period, struct error *err);
int highwater_commit(struct highwater *highwater, struct error *err);
void highwater_forget(struct highwater *highwater); /* what was raised since the last commit */

/* One job's part of what is raised between two commits: kept, or taken back alone. highwater_keep fails if marks of earlier jobs were lost with it. */
int highwater_keep(struct highwater *highwater, struct error *err);
void highwater_undo(struct highwater *highwater);

#endif
