/* suite - the processes of a seed, how they are set up, and who uses them. */
#ifndef SIM_SUITE_H
#define SIM_SUITE_H

#include "common/ledger.h"
#include "tests/sim/proc.h"

#define SUITE_URL "http://localhost:8080"
#define SUITE_AGENTS "localhost:8080"

struct suite {
	char *keys;             /* folder with jwt.keys */
	uint64_t chain_grace_s; /* of this seed */
};
extern struct suite suite;

/* Hooks of services that keep nothing. */
void suite_on_event(void *arg, const struct ledger_event *event);
void suite_on_restart(void *arg, const char *history, struct event_id head);

/* One seed from its beginning to its end; world.failure says what was wrong. */
void suite_run(uint64_t seed);

/* ---- oracle_proc.c: chain-oracle and auth in one process, written for this */
/* Tell of a change, as a subscription would. */
void oracle_push(struct proc *oracle, unsigned asset);
void oracle_sweep(struct proc *oracle);
/* done(arg, console token and agent token, or NULLs) once, unless the process dies. */
struct oracle_entered {
	const char *console, *agent, *console_jti, *agent_jti;
};
typedef void (*oracle_signed_in)(void *arg, const struct oracle_entered *entered);
void oracle_sign_in(
    struct proc *oracle, unsigned asset, const char *wallet, oracle_signed_in done, void *arg);
/* An operator's: all, or a wallet's ban for good. */
void oracle_revoke(struct proc *oracle, unsigned asset, bool everything);
/* An event that ends nothing. */
void oracle_announce(struct proc *oracle, unsigned asset);

/* ---- people.c */
void people_begin(uint64_t until);
/* So many of an asset's sessions, or all, are ended within that time. */
void people_end_soon(unsigned n, uint64_t us);
void people_flood(void);    /* ends all of an asset's sessions, then many events of another */
void people_end_last(void); /* a few events of another, then it ends all of an asset's sessions */
void people_settle(void);   /* all is well: nothing is transferred or ended any more */
void people_check(void);    /* asks every router for every session; the answers are judged */
bool people_are_served(char *why, size_t size); /* every owner has a good session */

#endif
