/* pack - saves a tree: surveys it, and if it changed writes its archive, scanning all that goes in.
 *
 * Order: folders, files, links, names in the order of bytes. A file with several names is saved once, its others as hard links. Holes stay holes. SQLite databases are saved as of
 * one moment (database.h), without the files beside them. A file that changed while it was read is saved again behind all others, up to PACK_AGAIN times; who unpacks takes the last.
 * Not saved: devices, sockets, FIFOs, owners, extended attributes, access lists.
 */
#ifndef PACKER_PACK_H
#define PACKER_PACK_H

#include "services/packer/order.h"
#include "services/packer/report.h"
#include "services/packer/scan.h"

#define PACK_AGAIN 3

/* root: folder, also the working folder; archive: the pipe, closed behind a whole archive; temporary: an unlinked file there for the copies of large databases, or -1. The outcome, and all else, is in report->said. */
void pack_run(struct order *order, struct scanner *scanner, int root, int archive, int temporary,
    struct report *report);

#endif
