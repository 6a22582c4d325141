/* follower - rules 8 to 17 and 13: one router that follows the events and keeps session's answers, as common/follow.c, services/router/decision.c
 * and gate.c do it; one writer (session: ends, reports, follows, too); Redis with the scripts of common/ledger.lua; and everything that can
 * happen to them: a bell that drops, doubles, delays and reorders, answers under way for long, processes stopped and killed, trimming, a
 * Redis that comes back without its last writes, ids that are given out again, a router that is left behind with an old primary.
 *
 * Claims, asserted at each allow (ALLOW below): nobody is allowed two seconds after the session's end was written (I2), and nobody is
 * allowed after its end was reported done (rule 15), whatever Redis lost since, if one process that knew of it reached Redis within the time
 * that the new history settles (I3).
 *
 * Bounds: one asset, one session; ids 1 to IDS in the stream, and one more for what note_loss adds; HISTORIES histories, so HISTORIES - 1
 * losses (searched: IDS 4 without a loss, IDS 2 with one: both at once is too much for each run of the tests); reads of one event at most
 * (EVENTS_PER_READ); time in ticks of a second, of which only what is compared is kept: LEASE, SETTLING, REPLICA_TTL. TRIMS, CUTS and
 * RINGS_OTHERS set to 0 leave out trimming, the old primary, and bells of other assets' events, for who wants larger bounds elsewhere.
 * Abstracted: a read is served at the moment it is sent and answered any time later or never (served later it would only be fresher, and the
 * lease counts from the sending anyway); there is one read under way (on one connection a later one is not answered first; answers that are
 * overtaken: tests/unit/common/test_follow.c); the limit of ASK_AGAIN (8: each time something new was heard of meanwhile); the writer's follow is one
 * step; a history begins with the restart, not with its first script (later is only safer); mc:chain (its age only refuses more);
 * other assets are one other bucket of marks. "Written" is what the Redis that lives has: an end that was lost before it was reported was
 * never written. A primary that is left behind stops taking writes before the new one serves (rule 10's settings).
 *
 * Planted bugs: LEASE_FROM_ARRIVAL, LEASE_BEHIND_HEAD, BELL_MOVES_CURSOR, ANSWER_NOT_HELD_AGAINST_MARKS, ANSWERS_KEPT_OVER_HISTORY,
 * NO_SETTLING, NO_PROOF_OF_LOSS, HISTORY_NOT_COMPARED, READ_IS_NO_WRITE. */

#ifndef IDS
#define IDS 3
#endif
#ifndef HISTORIES
#define HISTORIES 2
#endif
#ifndef TRIMS
#define TRIMS 1
#endif
#ifndef CUTS
#define CUTS 1
#endif
#ifndef RINGS_OTHERS
#define RINGS_OTHERS 1
#endif
#define LEASE 2
#define SETTLING 2
#define REPLICA_TTL 2 /* no less than LEASE; five seconds in the code */

/* asset of an event */
#define OTHER 1
#define OURS 2
#define ALL 3

/* ---- Redis */
byte history = 1, settling;
bool lost; /* of this history: writes were, it is proven */
byte head = 1, oldest = 1;      /* mc:events; id 1 is the event of the session's mint */
byte h_of[IDS + 2], a_of[IDS + 2]; /* of each entry */
bool has_key = true;            /* mc:session:<jti> */
bool is_of_generation = true;   /* it was made in the present one */
byte end_id, generation_id;     /* the events of the two ways to end it; 0: not happened */
bool handled;                   /* what the router tells in mc:replicas is of this history, and not below end_id */
byte ttl;                       /* of that key */
#define IN_STREAM(id) ((id) >= oldest && (id) <= head)
#define IS_GOOD (has_key && is_of_generation)

/* the old primary, if the router's side was left behind with it: as it was then */
bool cut, old_good;
byte old_head;

/* ---- what was ever rung: asset by history and id */
byte rung[HISTORIES * (IDS + 1)]; /* the last one is for what note_loss adds */
#define RUNG(h, id) rung[((h) - 1) * (IDS + 1) + (id) - 1]

/* ---- the router: struct follow */
byte hist, cursor, lease;       /* hist 0: none yet; lease: ticks left */
byte newest_id, newest_h, stray_id, stray_h; /* id 0: not set */
/* struct follow_read, and the answer to it */
bool reading;
byte told_id, told_h, told_stray_id, told_stray_h; /* id 0: nothing told */
byte age;
byte an_history, an_head, an_head_h, an_event, an_event_h, an_event_asset;
bool an_restart, an_settling;
/* struct decision_table */
byte mark_ours, mark_all;
byte kept;                      /* position of the allow that is kept; 0: none */
/* gate_ask under way, and session's answer: yes. (A no only takes away what is kept.) */
bool asking;
byte position, position_h;

/* ---- what the writer wrote, until it has told */
byte wrote_id, wrote_h;

/* ---- what the claims speak of */
byte since_end;                 /* ticks since the session's end, if it has ended */
bool done;                      /* it was reported */
bool owed;                      /* what was reported is lost, and somebody who knows has not told yet */

/* Does somebody who says this prove that writes were lost? */
#define IS_LOST(id, h) ((id) >= oldest && (id) > 0 && (h) < history && !((id) <= head && h_of[id] == (h)))
#define ROUTER_KNOWS (IS_LOST(newest_id, newest_h) || IS_LOST(stray_id, stray_h))
#define WRITER_KNOWS IS_LOST(wrote_id, wrote_h)

inline ALLOW()
{
	assert(!done);
	assert(IS_GOOD || since_end < LEASE)
}

inline add_event(asset)
{
	head++;
	h_of[head] = history;
	a_of[head] = asset;
	RUNG(history, head) = asset * (asset != OTHER || RINGS_OTHERS)
}

inline ended()
{
	since_end = 0
}

/* note_loss: rule 17 */
inline note_loss(id, h)
{
	if
#ifdef NO_PROOF_OF_LOSS
	:: false ->
#elif defined(HISTORY_NOT_COMPARED)
	:: id && !lost && id >= oldest && id > head ->
#else
	:: id && !lost && id >= oldest && !(id <= head && h_of[id] == h) ->
#endif
		if
		:: IS_GOOD -> ended()
		:: else
		fi;
		lost = true;
		is_of_generation = false;
		add_event(ALL);
		generation_id = head
	:: else
	fi
}

#define FORGET_ABOVE(id) h_of[id] = ((id) > head -> 0 : h_of[id]); a_of[id] = ((id) > head -> 0 : a_of[id])

/* ---- Redis: what befalls it */
proctype redis()
{
	byte kept_to;
end:	do
	:: d_step { /* an event of another asset, or one that ends nothing */
		head < IDS -> add_event(OTHER)
	   }
	:: d_step { /* trimming; none is dropped while settling */
		TRIMS && settling == 0 && oldest < head ->
		h_of[oldest] = 0;
		a_of[oldest] = 0;
		oldest++
	   }
	:: atomic { /* another process serves, of whose writes a prefix is left: another history */
		history < HISTORIES;
		select(kept_to : 1 .. head);
		cut = false;
		d_step {
			old_good = IS_GOOD;
			old_head = head;
			head = kept_to;
			FORGET_ABOVE(2);
			FORGET_ABOVE(3);
#if IDS > 2
			FORGET_ABOVE(4);
#endif
#if IDS > 3
			FORGET_ABOVE(5);
#endif
			kept_to = 0;
			/* what a later trimming took is there again */
			if
			:: oldest > head -> oldest = head; h_of[head] = 1; a_of[head] = RUNG(1, head)
			:: else
			fi;
			if
			:: end_id > head -> has_key = true; end_id = 0
			:: else
			fi;
			if
			:: generation_id > head -> is_of_generation = true; generation_id = 0
			:: else
			fi;
			if
			:: IS_GOOD -> ended()
			:: else
			fi;
			history++;
			lost = false;
			handled = false;
#ifndef NO_SETTLING
			settling = SETTLING;
#endif
			/* I3: who knew of it? */
			owed = done && IS_GOOD && (ROUTER_KNOWS || WRITER_KNOWS);
			done = done && (owed || !IS_GOOD)
		};
		if
		:: ttl = 0 /* lost as well */
		:: skip
		:: /* a failover, and the router's side has not noticed. (It had read all: the old one's stream is a number then.) */
			CUTS && hist == history - 1 && cursor == old_head && !reading -> cut = true
		fi;
		if
		:: !cut -> old_good = false; old_head = 0
		:: else
		fi
	   }
	:: d_step { cut -> cut = false; old_good = false; old_head = 0 }
	od
}

/* ---- time. A new history does not settle before somebody who knew has been heard: that is what I3 asks for */
proctype clock()
{
end:	do
	:: d_step {
		!(owed && settling <= 1) && (lease || settling || ttl || (reading && age < LEASE) || (!IS_GOOD && !done && since_end < LEASE)) ->
		lease = (lease > 0 -> lease - 1 : 0);
		settling = (settling > 0 -> settling - 1 : 0);
		ttl = (ttl > 0 -> ttl - 1 : 0);
		age = (reading && age < LEASE -> age + 1 : age);
		since_end = (!IS_GOOD && !done && since_end < LEASE -> since_end + 1 : since_end);
		if
		:: !ttl -> handled = false
		:: else
		fi
	   }
	od
}

/* ---- the writer: a session service */
proctype writer()
{
end:	do
	:: d_step { /* ops.end, ops.end_all, ops.observe of somebody else: the state and the event in one script */
		IS_GOOD && head < IDS ->
		ended();
		has_key = false;
		add_event(OURS);
		end_id = head;
		wrote_id = head;
		wrote_h = history
	   }
	:: d_step { /* rule 15: every replica has passed it, or has been silent for so long that its lease is gone */
		!done && end_id && settling == 0 && (ttl == 0 || handled) ->
		done = true;
		ttl = 0;
		handled = false;
		since_end = 0
	   }
	:: d_step { /* follow, in one step: it tells what it wrote, and has read more since */
		wrote_id ->
		if
		:: owed && WRITER_KNOWS -> owed = false
		:: else
		fi;
		note_loss(wrote_id, wrote_h);
		wrote_id = 0;
		wrote_h = 0
	   }
	:: d_step { /* kill -9 */
		wrote_id ->
		wrote_id = 0;
		wrote_h = 0;
		done = done && !(owed && !ROUTER_KNOWS);
		owed = owed && ROUTER_KNOWS
	   }
	od
}

/* ---- the router */

inline follow_heard(h, id)
{
	if
	:: h == hist && id > newest_id -> newest_id = id; newest_h = h
	:: h != hist && id > stray_id -> stray_id = id; stray_h = h
	:: else
	fi
}

inline decision_mark(asset, id)
{
	if
	:: asset == OURS && id > mark_ours -> mark_ours = id
	:: asset == ALL && id > mark_all -> mark_all = id
	:: else
	fi
}

#define IS_VOID(at) ((at) < mark_all || (at) < mark_ours)

/* ops.follow, as the primary serves it */
inline serve()
{
	if
	:: owed && (IS_LOST(told_id, told_h) || IS_LOST(told_stray_id, told_stray_h)) -> owed = false
	:: else
	fi;
	note_loss(told_id, told_h);
	note_loss(told_stray_id, told_stray_h);
	an_history = history;
	an_settling = settling > 0;
	an_head = head;
	an_head_h = h_of[head];
	an_restart = hist != history || head < cursor || cursor < oldest;
	if
	:: !an_restart && cursor < head ->
		an_event = cursor + 1;
		an_event_h = h_of[an_event];
		an_event_asset = a_of[an_event]
	:: else
	fi;
	handled = !done && end_id && hist == history && cursor >= end_id;
	ttl = (done -> 0 : REPLICA_TTL)
}

/* ops.follow at a primary that was left behind: it is a write, and is refused */
inline serve_old()
{
#ifdef READ_IS_NO_WRITE
	an_history = history - 1;
	an_head = old_head;
	an_head_h = history - 1
#else
	reading = false;
	told_id = 0;
	told_h = 0;
	told_stray_id = 0;
	told_stray_h = 0
#endif
}

inline follow_ask()
{
	reading = true;
	told_id = newest_id;
	told_h = newest_h;
	told_stray_id = stray_id;
	told_stray_h = stray_h;
	if
	:: cut -> serve_old()
	:: else -> serve()
	fi
}

#define NEWEST_IS_UNTOLD (newest_id && told_id != newest_id)
#define STRAY_IS_UNTOLD (stray_id && told_stray_id != stray_id)

inline follow_lease()
{
#ifdef LEASE_FROM_ARRIVAL
	lease = (an_settling -> 0 : LEASE)
#else
	lease = (an_settling -> 0 : LEASE - age)
#endif
}

inline decision_restart()
{
#ifndef ANSWERS_KEPT_OVER_HISTORY
	kept = 0;
#endif
	if
	:: an_history != hist -> mark_ours = 0; mark_all = an_head
	:: else -> mark_all = (an_head > mark_all -> an_head : mark_all)
	fi
}

/* follow_started_over */
inline start_over()
{
	decision_restart();
	cursor = an_head;
	if
	:: an_history != hist ->
		if
		:: NEWEST_IS_UNTOLD -> stray_id = newest_id; stray_h = newest_h
		:: else
		fi;
		newest_id = 0;
		newest_h = 0
	:: else
	fi;
	hist = an_history;
	if
	:: an_head > newest_id -> newest_id = an_head; newest_h = an_head_h
	:: else
	fi;
	if
	:: stray_id && stray_h == hist ->
		if
		:: stray_id > newest_id -> newest_id = stray_id; newest_h = stray_h
		:: else
		fi;
		stray_id = 0;
		stray_h = 0
	:: else
	fi
}

inline go_on()
{
	if
	:: an_event > cursor ->
		decision_mark(an_event_asset, an_event);
		cursor = an_event;
		if
		:: an_event > newest_id -> newest_id = an_event; newest_h = an_event_h
		:: else
		fi
	:: else
	fi;
	if
#ifndef LEASE_BEHIND_HEAD
	:: !an_settling && cursor < an_head -> skip /* the lease stays as it is: the next read follows at once */
#endif
	:: else -> follow_lease()
	fi
}

inline read_is_over()
{
	reading = false;
	told_id = 0;
	told_h = 0;
	told_stray_id = 0;
	told_stray_h = 0;
	age = 0;
	an_history = 0;
	an_head = 0;
	an_head_h = 0;
	an_event = 0;
	an_event_h = 0;
	an_event_asset = 0;
	an_restart = false;
	an_settling = false
}

/* follow_judge and what it asks for */
inline on_answer()
{
	if
	:: an_history != hist && (NEWEST_IS_UNTOLD || STRAY_IS_UNTOLD) -> lease = 0 /* ask again */
	:: else ->
		if
		:: stray_id && !STRAY_IS_UNTOLD -> stray_id = 0; stray_h = 0
		:: else
		fi;
		if
		:: an_history != hist || an_restart ->
			start_over();
			follow_lease()
		:: else -> go_on()
		fi
	fi;
	read_is_over()
}

#ifdef BELL_MOVES_CURSOR
#define RING(id) cursor = id
#else
#define RING(id) skip
#endif
#define HEAR(h, id) \
	:: d_step { \
		RUNG(h, id) && (h == hist -> id > newest_id || id > cursor : id > stray_id) -> \
		follow_heard(h, id); \
		if \
		:: h == hist && id > cursor -> decision_mark(RUNG(h, id), id); RING(id) \
		:: else \
		fi \
	   }

proctype router()
{
end:	do
	/* follow_ask, and Redis serves it */
	:: d_step { !reading -> follow_ask() }
	:: d_step { reading -> on_answer() }
	:: d_step { reading -> read_is_over() } /* it never comes */

	/* follower_heard: any event that was ever rung, at any time, any number of times */
	HEAR(1, 2)
	HEAR(1, 3)
#if IDS > 2
	HEAR(1, 4)
#endif
#if IDS > 3
	HEAR(1, 5)
#endif
#if HISTORIES > 1
	HEAR(2, 2)
	HEAR(2, 3)
#if IDS > 2
	HEAR(2, 4)
#endif
#endif

	/* gate_ask: session looks (ops.look); the answer comes some time later */
	:: d_step {
		!asking && (cut -> old_good : IS_GOOD) ->
		asking = true;
		position = (cut -> old_head : head);
		position_h = (cut -> history - 1 : history)
	   }
	/* on_check */
	:: d_step {
		asking ->
		if
#ifdef ANSWER_NOT_HELD_AGAINST_MARKS
		:: lease && position_h == hist ->
#else
		:: lease && position_h == hist && !IS_VOID(position) ->
#endif
			kept = position;
			ALLOW()
		:: else
		fi;
		asking = false;
		position = 0;
		position_h = 0
	   }
	/* decision_lookup */
	:: d_step {
		kept && lease && !IS_VOID(kept) -> ALLOW()
	   }

	/* kill -9, and another one starts */
	:: d_step {
		hist || reading || asking || stray_id ->
		done = done && !(owed && !WRITER_KNOWS);
		owed = owed && WRITER_KNOWS;
		read_is_over();
		hist = 0;
		cursor = 0;
		lease = 0;
		newest_id = 0;
		newest_h = 0;
		stray_id = 0;
		stray_h = 0;
		mark_ours = 0;
		mark_all = 0;
		kept = 0;
		asking = false;
		position = 0;
		position_h = 0
	   }
	od
}

init {
	d_step {
		h_of[1] = 1;
		a_of[1] = OTHER;
		RUNG(1, 1) = OTHER
	};
	atomic {
		run redis();
		run clock();
		run writer();
		run router()
	}
}
