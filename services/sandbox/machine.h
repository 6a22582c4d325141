/* machine - what is to happen to an agent next: pure, so that every transition can be tried with a clock of the test's own. It knows what is wished (by
 * owner, request, operator) and what is there (told by the driver), and says by machine_next what to do about the difference; agent.c does it.
 *
 *	NONE --START--> STARTING --started--> RUNNING --STOP, KILL, its own end--> ENDING --gone--> NONE
 *
 * One that ends held (machine_held) stays ENDING, with its volume open, until it is released; a wish that it runs again releases it at once.
 */
#ifndef SANDBOX_MACHINE_H
#define SANDBOX_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_WHY_MAX 160
#define MACHINE_CRASHES_MAX 64

enum machine_phase { MACHINE_NONE, MACHINE_STARTING, MACHINE_RUNNING, MACHINE_ENDING };
enum machine_wish {
	MACHINE_NEW,    /* never started by this owner: a request wakes it */
	MACHINE_UP,     /* should run */
	MACHINE_ASLEEP, /* idle: a request wakes it */
	MACHINE_DOWN,   /* by somebody's word: only the owner's start wakes it */
};
enum machine_action { MACHINE_WAIT, MACHINE_START, MACHINE_STOP, MACHINE_KILL, MACHINE_RELEASE };
/* Why a start came to nothing. */
enum machine_fault {
	MACHINE_BROKEN, /* it would not run: tried again, with back-off, as after a crash */
	MACHINE_LATER, /* something it needs is not there now: tried again, however long it takes */
	MACHINE_REFUSED,   /* asking again by itself will not help: stopped, until somebody asks */
	MACHINE_OTHERWISE, /* tried again at once, in another way */
};

struct machine_rules {
	uint64_t restarts_max, restarts_window_ms; /* more crashes in that time: failed */
	uint64_t backoff_ms, backoff_max_ms;       /* doubling */
	uint64_t start_max_ms, stop_max_ms; /* longer than these nobody is waited for: KILL */
};

struct machine {
	const struct machine_rules *rules;
	enum machine_phase phase;
	enum machine_wish wish;
	bool is_failed;
	bool must_cycle; /* stop, although it should run: fresh secrets */
	bool must_kill;  /* at once, whatever it is doing */
	bool was_killed; /* said already */
	bool is_held, must_release;
	uint64_t again_at;    /* not started before */
	uint64_t patience_at; /* 0, or when STARTING or ENDING has taken too long */
	uint64_t backoff_ms, restarts;
	uint64_t crash[MACHINE_CRASHES_MAX];
	unsigned ncrashes;
	char why[MACHINE_WHY_MAX + 1];
};

/* now: any clock in ms that does not stand still while the machine sleeps. rules: kept. */
void machine_init(
    struct machine *machine, const struct machine_rules *rules, enum machine_wish wish);

/* ---- wishes */
void machine_want_start(struct machine *machine); /* the owner's word */
void machine_want_restart(struct machine *machine);
void machine_want_stop(struct machine *machine);
void machine_want_sleep(struct machine *machine);
/* A request: true if it runs, or will. */
bool machine_want_wake(struct machine *machine);
/* Nothing of it may go on. wish: what it is for whoever asks next. */
void machine_want_kill(struct machine *machine, enum machine_wish wish, const char *why);

/* ---- what the driver said */
void machine_started(struct machine *machine, uint64_t now);
/* Nothing of the start is left. */
void machine_not_started(
    struct machine *machine, uint64_t now, enum machine_fault fault, const char *why);
/* No process is left; gone follows. */
void machine_ended(struct machine *machine, uint64_t now, bool was_asked, const char *why);
/* The same, and it is held: gone follows once it is released, or at until, when it is killed. */
void machine_held(struct machine *machine, uint64_t now, uint64_t until);
void machine_goes_on(
    struct machine *machine, uint64_t now);         /* a start that takes long, but moves */
void machine_want_release(struct machine *machine); /* nobody needs the hold any more */
void machine_gone(struct machine *machine, uint64_t now);
void machine_found(
    struct machine *machine, bool is_killed); /* it runs, or was told to end just now */

/* What to do now; it counts as done. */
enum machine_action machine_next(struct machine *machine, uint64_t now);
/* Milliseconds until machine_next would say something else by itself; UINT64_MAX: never. */
uint64_t machine_wait_ms(const struct machine *machine, uint64_t now);
/* "stopped", "starting", "running", "sleeping", "failed" */
const char *machine_state(const struct machine *machine);

#endif
