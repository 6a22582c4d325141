/* pack_internal - what the parts of pack share. */
#ifndef PACKER_PACK_INTERNAL_H
#define PACKER_PACK_INTERNAL_H

#include "services/packer/archive_out.h"
#include "services/packer/database.h"
#include "services/packer/extents.h"
#include "services/packer/links.h"
#include "services/packer/pack.h"
#include "services/packer/walk.h"

#define PACK_BUFFER (128 << 10)            /* bytes that are read at a time */
#define PACK_DATABASE_IN_MEMORY (32 << 20) /* larger ones are copied to the temporary file */
#define PACK_UNSETTLED_MAX 4096 /* files to be saved again; more are counted and left at that */
#define PACK_AGAIN_BYTES \
	(UINT64_C(256) << 20) /* of one file, each round: larger ones are not read again */

struct unsettled {
	char *path;
	bool has_sides; /* a database that was saved as plain files */
};

struct packing {
	struct order *order;
	struct scanner *scanner;
	struct report *report;
	struct archive_out *out;
	struct archive_entry *entry;
	struct links *links;
	struct database *database;
	int root, temporary;
	int held; /* memfd, for a database's copy */
	uint8_t *buffer;
	const uint8_t *zeros; /* PACK_BUFFER bytes */
	bool has_changed;     /* what was saved last, while it was read */
	bool has_sides;       /* ... was a database, saved as plain files */
	struct unsettled *unsettled;
	size_t nunsettled;
};

/* Each saves one name, or returns -1 with err: of ERR_DENIED and ERR_CONFLICT the report is filled in already. */
int pack_item(struct packing *packing, const struct walk_item *item, struct error *err);
int pack_file(struct packing *packing, const struct walk_item *item, struct error *err);
/* From the beginning of fd, st->st_size bytes: what goes out is scanned as it goes out, whatever the file becomes meanwhile. */
struct pack_source {
	const char *path;
	int fd;
	const struct stat *st;
	bool is_database; /* its rows are looked at, before */
	bool is_private;  /* and that is enough: nobody else can change it */
};
int pack_contents(struct packing *packing, const struct pack_source *source, struct error *err);
int pack_database(struct packing *packing, const struct walk_item *item, int fd,
    const struct stat *st, struct error *err);
int pack_entry(
    struct packing *packing, const struct walk_item *item, const char *hardlink, struct error *err);
/* What changed is saved again. */
int pack_settle(struct packing *packing, struct error *err);
void pack_unsettled(struct packing *packing, const char *path);

int pack_found(struct packing *packing, const char *path, const char *what, struct error *err);
bool pack_is_same(const struct stat *a, const struct stat *b);
/* A regular file in folder, -1: it is none any more. */
int pack_open(int folder, const char *name, struct stat *st_r);

#endif
