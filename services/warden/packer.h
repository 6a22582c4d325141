/* packer - runs one multiclaw-packer (proto/packer.h) from its start to its end: the work of a job, which blocks. */
#ifndef WARDEN_PACKER_H
#define WARDEN_PACKER_H

#include "proto/packer.h"
#include "services/warden/host.h"

#define PACKER_TURN_MS 100
#define PACKER_GROUP_LEN 80

struct packer {
	const struct host *host;
	struct packer_order *order; /* its version and key are packer_run's: the key is wiped */
	const char *group_name;
	int group;   /* of packer_make_group: stays the caller's, as does: */
	int root;    /* folder or mount */
	int archive; /* closed once it has it */
	int secrets; /* a memfd, wiped once it has read it, and closed; -1: none */
	/* Something was done since the last time, twice a second at most. */
	void (*on_progress)(void *arg, const struct packer_report *report);
	/* Every PACKER_TURN_MS or so; or NULL. */
	void (*on_turn)(void *arg);
	void *arg;
};

/* Name of the cgroup of all that packs, or unpacks, for an agent. */
void packer_group(const char *agent, char name[PACKER_GROUP_LEN]);
/* One below it, new and with its limit, for one that is to start; returns a descriptor of it, or -1. */
int packer_make_group(
    const struct host *host, const char *agent, char name_r[PACKER_GROUP_LEN], struct error *err);

/* 0: it ended with a report of what it did or why it did not, with text that is printable and ends; MADE and UNCHANGED are said only if it ended well.
 * -1: it did not get that far; it is gone. */
int packer_run(const struct packer *packer, struct packer_report *done_r, struct error *err);

#endif
