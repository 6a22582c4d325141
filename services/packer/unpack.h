/* unpack - fills an empty tree from an archive.
 *
 * All that comes belongs to who unpacks; modes (without setuid, setgid, sticky) and times are kept. Refused: names that are absolute, have ".." or empty parts or pass through a link, hard links
 * to what is not in the archive, devices. Where a symbolic link leads to is the agent's business: nothing here follows one.
 */
#ifndef PACKER_UNPACK_H
#define PACKER_UNPACK_H

#include "services/packer/order.h"
#include "services/packer/report.h"

/* root: folder, also the working folder; archive: the pipe. DONE means that all is on the disk. The outcome, and all else, is in report->said. */
void unpack_run(struct order *order, int root, int archive, struct report *report);

#endif
