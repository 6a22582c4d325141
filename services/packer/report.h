/* report - what warden hears: how far it is, each second, and how it ended. */
#ifndef PACKER_REPORT_H
#define PACKER_REPORT_H

#include "common/error.h"
#include "proto/packer.h"

struct report {
	int fd;
	uint64_t due_ms;           /* monotonic: of the next PROGRESS */
	struct packer_report said; /* filled in by who does the work */
};

void report_open(struct report *report, int fd);
/* Files' bytes were read or written: said.bytes grows, and once a second it is told. */
void report_bytes(struct report *report, uint64_t bytes);
/* Sets outcome, text and path (may be NULL) of the end. Returns -1. What is no plain text in a path is shown as '?'. */
int report_end(
    struct report *report, enum warden_outcome outcome, const char *path, const char *text);
/* Says DONE. */
int report_done(struct report *report, struct error *err);

#endif
