/* agent - one asset's agent on this host: what is held for it (record.h), what is to happen (machine.h), and the doing of it. There is one for every
 * record; whoever changes a wish ends with agent_step.
 */
#ifndef SANDBOX_AGENT_H
#define SANDBOX_AGENT_H

#include <sys/queue.h>

#include "services/sandbox/journal.h"
#include "services/sandbox/sandbox.h"

struct asking;
struct exec;
struct offer;
struct restore;
struct snapshot;
struct start;

TAILQ_HEAD(askings, asking);
TAILQ_HEAD(agent_queue, agent);
LIST_HEAD(agent_list, agent);

enum agent_hook { AGENT_HOOK_NONE, AGENT_HOOK_QUIESCE, AGENT_HOOK_RESUME };

struct agent {
	struct sandbox *sandbox;
	char id[AGENT_ID_LEN + 1];
	bool is_damaged; /* its record is: nothing is done for it until somebody has looked */
	struct record record;
	struct machine machine;
	struct event *timer;

	struct start *start;              /* under way, and not yet the driver's */
	char boot[VAULT_BOOT_ID_LEN + 1]; /* what the driver has of it; "": nothing */
	struct secret *owner_token;       /* for the next start; NULL: without the owner */
	struct secret *gateway_token;     /* of this boot */
	char upstream[64 + 1];            /* "" unless it runs */
	struct in_addr address;           /* agent_set_address; 0: none */
	LIST_ENTRY(agent) by_address;
	uint64_t started_ms;  /* Unix */
	uint64_t starting_us; /* boot clock: when the start began */
	uint64_t used_ms;     /* boot clock: last asked for, or seen with a connection */
	uint64_t counted_ms;  /* boot clock: when its connections were asked for */
	struct journal *journal;
	struct askings waiting; /* calls that wait for it to run, or for its log */
	size_t nwaiting;
	struct exec *exec;
	bool is_erasing; /* the volume of a former period: this one */
	struct record_former erasing;
	bool is_sweeping;        /* the snapshots of a former period */
	bool is_found;           /* by the driver, since it was lost */
	char shown[9];           /* state that everybody was told */
	struct snapshot *saving; /* under way */
	struct offer *offer;     /* by the owner before; NULL: not known */
	struct restore *restore; /* of a start, until it runs */
	uint64_t restored_bytes, restore_bytes;
	bool
	    is_driver_saving; /* the driver has one of it under way, perhaps one that was given up */
	bool is_to_save;      /* it is held for one that has not begun */
	bool is_accepting,
	    has_accepted; /* what the owner before left: at the next start; and it runs with it */
	enum agent_hook hook; /* that runs in it */
	bool is_quiet;        /* the hook before a snapshot was run, the one after it was not */
	bool must_resume;     /* that one is to be run as soon as it can be */
	uint64_t save_at_ms;  /* boot clock: next one by the timer */
	uint64_t change;      /* of what is told of snapshots; grows */
	char refused_path[1024],
	    refused_kind[96];          /* by the last one: what holds a secret, and which */
	uint64_t moving_until_ms;      /* boot clock; 0: it is not to be moved */
	enum machine_wish moving_wish; /* if it is not moved after all */
	struct error failure;          /* of the last start, for those who wait */
	bool has_failure;

	/* gateway_link.c: what the llm-gateway was told of it */
	struct {
		char boot[VAULT_BOOT_ID_LEN + 1]; /* "": nothing, or that it left */
		uint64_t connection;              /* by which it knows; 0: it may not */
		bool is_asked;                    /* and has not answered */
		uint64_t again_ms;                /* boot clock; refused, not to be asked before */
	} admitted;

	/* holder.c */
	struct {
		TAILQ_ENTRY(agent) link;
		bool is_queued, is_under_way, is_again, must_reset, is_of_all;
		uint64_t noticed_us;
		uint64_t ticket,
		    again_ticket; /* of the look, and of the one after it: follower_hold */
	} look;

	/* holder.c: what events began here that is not over (architecture, rule 15) */
	struct {
		uint64_t ticket;
		unsigned nresets; /* asked for, and not answered */
		bool must_reset;  /* the last one was not done */
	} enforcing;
};

/* ---- the table, by id */
struct agents *agents_new(struct sandbox *sandbox);
void agents_destroy(struct agents **agents); /* containers go on */
size_t agents_count(const struct agents *agents);
struct agent *agents_at(const struct agents *agents, size_t i);
/* Index of the first whose id is above id. */
size_t agents_after(const struct agents *agents, const char *id);
struct agent *agents_find(const struct agents *agents, const char *id);
struct agent *agents_of(const struct agents *agents, const char *asset); /* NULL: none here */
struct agent *agents_make(struct agents *agents, const char *asset);
struct agent *agents_add(
    struct agents *agents, const char *id, const struct record *record); /* NULL: damaged */
void agents_remove(struct agents *agents, struct agent *agent);
size_t agents_active(const struct agents *agents); /* of which the driver has something */

/* Who has, or is getting, this address; NULL: nobody. */
struct agent *agents_at_address(const struct agents *agents, struct in_addr address);
void agent_set_address(struct agent *agent, struct in_addr address); /* 0: none any more */

/* ---- one */
/* Does what its machine says, tells who waits, and everybody if its state is another. */
void agent_step(struct agent *agent);
/* Whose it is, as a session proves: what belonged to somebody else ends at once. */
void agent_end_others(struct agent *agent, const char *wallet);
/* The same, and it is held for this owner from now on. */
void agent_take_owner(struct agent *agent, const char *wallet, uint64_t slot);
/* Somebody else was seen to own it: nothing of it goes on, now. */
void agent_is_over(struct agent *agent);
/* Another host has it: nothing of it goes on here. */
void agent_is_elsewhere(struct agent *agent);
/* Nobody vouches for its owner at this moment. */
void agent_is_unvouched(struct agent *agent);
/* All sessions of its owner were ended, or the owner is banned: it ends now, and starts again only with a session made since. */
void agent_is_revoked(struct agent *agent, const char *epoch);
/* Tells everybody: look again. kind: for people. */
void agent_announce(const struct agent *agent, const char *kind);
void agent_save(struct agent *agent, records_done done, void *arg);
/* Is there room for it among those that run? ERR_BUSY host_full. */
int agent_has_room(const struct agent *agent, struct error *err);
/* The same for an agent that is new here. */
int agents_have_room(const struct sandbox *sandbox, struct error *err);
bool agent_runs(const struct agent *agent);
struct files;
/* What this host adds to the vault's files of the last start (record), for one or, with is_search, for the search for secrets. *fd_r: borrowed from files. */
int agent_finish_files(const struct agent *agent, struct files *files, const char *kind,
    bool is_search, int *fd_r, struct error *err);
const char *agent_origin(const struct agent *agent, char *buf, size_t size);

/* As everybody is told it; NULL: one that was never here. */
void agent_describe(const struct agent *agent, struct sandbox_state_rsp *rsp_r);

/* ---- from start.c */
void agent_start_failed(struct agent *agent, enum machine_fault fault, const struct error *err);
/* ---- told.c: what the driver says. arg is the sandbox. */
extern const struct driver_told told_hooks;

#endif
