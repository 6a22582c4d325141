/* holder - rules 2 and 14: what a sandbox (-DSANDBOX) or a secret-vault (-DVAULT) holds of an asset, and what becomes of it when the asset is
 * sold and bought back, whoever was stopped meanwhile: services/sandbox/{holder,start}.c, services/secret-vault/{holder,look,eraser}.c, and
 * ops.hold, ops.observe and ops.forget of common/ledger.lua. The two meet in the ledger alone, so each is searched by itself.
 *
 * Claims. Safety, asserted where something leaves: sandbox starts or serves, and the vault releases, only while nobody else was seen to own the
 * asset since the holding's slot of proof; a data key is destroyed only after another owner was final on the chain (I4). Liveness (ENDS,
 * where nothing more can happen): when the asset was sold for good, the container has ended; the period is locked and destroyed.
 *
 * Bounds: one asset; Alice's proof is of slot 1; one sale to Bob, one buy-back, at any of the slots up to SLOTS; KILLS kills, each with a later start;
 * a node that lies once; the record may be forgotten whenever nothing is held and no session lives; one new history that has forgotten who
 * holds what, and in it the record, if it is forgotten before that is said again.
 * Abstracted: lease and marks are "every event is read and looked at" (the 2 s and the bell are follower.pml's); which session asks (record.pml);
 * epochs, places, snapshots; the buyer's holdings. What the warden finds running that no record has is not killed here, though told.c does:
 * the protocol has to hold without it.
 *
 * With -DLOSES_THE_SALE the new history may have forgotten the sale itself, too. Claimed then, of the vault: a period that was locked for a sale is
 * released no more while somebody else owns the asset. (Bought back before anybody read the chain again, it opens: hers now, as then.) Not of
 * sandbox, whose sessions are of a generation that is over, and whose epoch is another.
 *
 * Planted bugs: COMPARES_OWNER_ONLY, SERVES_BEFORE_LOOKING, REGISTERS_LATE;
 * of the vault also DESTROYS_ON_RECORD, ERASES_BEFORE_FINAL, UNLOCKS_ON_RECORD (with -DLOSES_THE_SALE). (A vault that serves before looking does no harm, since each call asks the ledger: not planted there.) */

#define SLOTS 4
#ifndef KILLS
#define KILLS 1
#endif

#define NOBODY 0
#define ALICE 1
#define BOB 2

/* ---- the chain */
byte now = 1, sold, bought, final = 1; /* slots; sold, bought: 0: not yet */
#define IS_SOLD (sold && now >= sold && !(bought && now >= bought))
#define OWNER_AT(slot) (sold && (slot) >= sold && !(bought && (slot) >= bought) -> BOB : ALICE)

/* ---- the ledger. mc:owner:<asset>, owner NOBODY: no record; of mc:chain; mc:held:<asset>; mc:sessions:<asset>; events not read by the holder */
byte owner = ALICE, seen_slot = 1, other_slot, forgotten;
bool held, session = true, has_events, is_new_history;
bool had_new_history, lied;

/* ---- the holder. On disk: */
#define PROOF 1 /* slot of both */
bool recorded, running;     /* sandbox: the record names Alice and PROOF; her container, which outlives sandbox */
#define NONE 0
#define LIVE 1
#define LOCKED 2
#define DESTROYED 3
byte period;                /* vault */
/* in memory: */
bool up, has_looked, must_look;
#define VOUCHED 1
#define OVER 2
#define UNKNOWN 3
byte answer;                /* of a look under way, or 0 */
byte step;                  /* of a start, or of the making of a period */
bool has_asked;             /* vault: the oracle */
byte pending;               /* vault: eraser's min_slot; 0: nothing */
byte kills;

bool other_seen;            /* since Alice's proof somebody else was seen */

#ifdef COMPARES_OWNER_ONLY
#define VOUCHES (owner == ALICE)
#else
#define VOUCHES (owner == ALICE && PROOF > other_slot)
#endif
#define VERDICT (owner == NOBODY -> UNKNOWN : (VOUCHES -> VOUCHED : OVER))
#define HAS_LEASE (!has_events && !is_new_history)
#ifdef SERVES_BEFORE_LOOKING
#define SERVES (up && HAS_LEASE)
#else
#define SERVES (up && HAS_LEASE && has_looked && !must_look && !answer)
#endif
/* what it knows that it holds */
#define IS_HELD_BY_RECORD (recorded || period == LIVE || period == LOCKED)

/* ops.observe; watch: a sign-in, or the vault's question, that begins a record */
inline observe(who, at, watch)
{
	if
	:: owner == NOBODY && watch ->
		owner = who;
		seen_slot = (at > forgotten -> at : forgotten);
		other_slot = forgotten
	:: owner == NOBODY && !watch -> skip
	:: owner != NOBODY && owner == who -> seen_slot = (at > seen_slot -> at : seen_slot)
	:: owner != NOBODY && owner != who && at > seen_slot ->
		other_slot = seen_slot;
		owner = who;
		seen_slot = at;
		has_events = true
	:: owner != NOBODY && owner != who && at <= seen_slot && at > other_slot ->
		other_slot = at;
		has_events = true
	:: owner != NOBODY && owner != who && at <= seen_slot && at <= other_slot -> skip
	fi;
	other_seen = other_seen || (owner != NOBODY && who == BOB)
}

/* ---- what goes on by itself: slots pass and become final, a sweep sees what is watched */
active proctype chain()
{
end:	do
	:: d_step { now < SLOTS -> now++ }
	:: d_step { final < now -> final++ }
	od
}

active proctype oracle()
{
end:	do
	:: d_step {
		owner != NOBODY && (owner != OWNER_AT(now) || seen_slot < now) ->
		observe(OWNER_AT(now), now, false)
	   }
	od
}

/* ---- what may happen, or not */
active proctype world()
{
	do
	:: d_step { !sold && now < SLOTS -> now++; sold = now }
	:: d_step {
		sold && !bought && now < SLOTS ->
		now++;
		bought = now;
#ifdef LOSES_THE_SALE
		other_seen = (other_seen && !had_new_history) /* hers again, and no witness that it was not */
#endif
	   }
	:: d_step { !lied -> lied = true; observe(BOB, now, false) }       /* a node that lies */
	:: d_step { sold && now > sold && seen_slot >= sold -> observe(BOB, sold, false) } /* or is late */
	:: d_step { OWNER_AT(now) == BOB && owner != BOB -> observe(BOB, now, true) } /* the buyer signs in */
	:: d_step { session -> session = false }
	:: d_step { /* ops.forget, by a sweep */
		owner != NOBODY && !session && !held ->
		forgotten = seen_slot;
		owner = NOBODY;
		seen_slot = 0;
		other_slot = 0
	   }
	:: d_step {
		!had_new_history ->
		had_new_history = true;
		is_new_history = true;
#ifdef LOSES_THE_SALE
		if
		:: owner == BOB ->
			owner = ALICE;
			seen_slot = PROOF;
			other_slot = 0;
			session = false;
			other_seen = (period == LOCKED && IS_SOLD) /* what was not enforced yet is lost until the next reading */
		:: else
		fi;
#endif
		held = false
	   }
	:: d_step { /* kill -9 of the holder */
		up && kills < KILLS ->
		kills++;
		up = false;
		has_looked = false;
		must_look = false;
		answer = 0;
		step = 0;
		has_asked = false;
		pending = 0
	   }
	:: break
	od
}

/* ops.hold: noted, and told in the same step what the record says */
inline hold()
{
	held = true;
	answer = VERDICT
}

/* ---- both */
active proctype follower()
{
end:	do
	:: d_step { /* it starts, or begins again in a new history: all that is held is looked at before anything is served */
		!up || is_new_history ->
		has_looked = false;
		must_look = (!has_looked && IS_HELD_BY_RECORD);
		has_looked = (has_looked || !must_look);
		up = true;
		is_new_history = false;
		has_events = false
	   }
	:: d_step { up && !is_new_history && has_events -> has_events = false; must_look = IS_HELD_BY_RECORD }
	od
}

#ifdef SANDBOX
active proctype holder()
{
end:	do
	/* begin(), while a start is in its first steps it looks by itself */
	:: d_step { up && must_look && !answer && step != 1 -> must_look = false; hold() }
	/* judge() */
	:: d_step {
		answer ->
		if
		:: answer == OVER && recorded -> running = false; recorded = false; step = 0
		:: answer == UNKNOWN && recorded -> running = false; recorded = (step == 0); step = 0
		:: else
		fi;
		answer = 0;
		has_looked = (has_looked || !must_look)
	   }

	/* an owner with a good session starts it. 1: the record is on disk */
	:: d_step {
		SERVES && !recorded && !running && step == 0 && session && owner == ALICE && PROOF > other_slot ->
#ifndef REGISTERS_LATE
		recorded = true;
#endif
		step = 1
	   }
	/* 2: held, and vouched for */
	:: d_step {
		up && step == 1 && !answer ->
#ifndef REGISTERS_LATE
		held = true;
#endif
		if
		:: VERDICT == VOUCHED -> step = 2
		:: else -> step = 0; recorded = false
		fi
	   }
	/* 6: START, if there is a lease and nothing has come since */
	:: d_step {
		SERVES && step == 2 ->
		assert(!other_seen);
		running = true;
#ifdef REGISTERS_LATE
		step = 3
#else
		step = 0
#endif
	   }
#ifdef REGISTERS_LATE
	:: d_step { up && step == 3 -> recorded = true; held = true; step = 0 }
#endif
	/* reach */
	:: d_step { SERVES && running && recorded && step == 0 && other_seen -> assert(false) }
	od
}

#define ENDS (!IS_SOLD || !running)
#endif

#ifdef VAULT
inline lock_it()
{
	period = (period == LIVE -> LOCKED : period)
}

/* I4, wherever it is done */
inline destroy()
{
	assert(sold && final >= sold);
	period = DESTROYED
}

inline eraser_add(slot)
{
	pending = (slot > pending -> slot : pending);
	pending = (pending > PROOF -> pending : PROOF + 1)
}

active proctype holder()
{
end:	do
	:: d_step { up && must_look && !answer -> must_look = false; has_asked = false; hold() }
	/* judge() */
	:: d_step {
		answer ->
		if
#ifdef UNLOCKS_ON_RECORD
		:: answer == VOUCHED && period == LOCKED -> period = LIVE; answer = 0
#else
		:: answer == VOUCHED && period == LOCKED && has_asked -> period = LIVE; answer = 0
		:: answer == VOUCHED && period == LOCKED && !has_asked -> /* the oracle is asked */
			has_asked = true;
			observe(OWNER_AT(now), now, false);
			if
			:: OWNER_AT(now) == ALICE -> hold()
			:: else -> eraser_add(now); answer = 0
			fi
#endif
		:: answer == OVER && IS_HELD_BY_RECORD ->
			lock_it();
#ifdef DESTROYS_ON_RECORD
			destroy();
#endif
			if /* look_min_slot */
			:: owner != ALICE && seen_slot > other_slot -> eraser_add(seen_slot)
			:: else -> eraser_add(other_slot)
			fi;
			answer = 0
		:: answer == UNKNOWN && IS_HELD_BY_RECORD && !has_asked -> /* locked, and the oracle is asked */
			lock_it();
			has_asked = true;
			if
			:: OWNER_AT(now) == ALICE -> observe(ALICE, now, true); hold()
			:: else -> eraser_add(now); answer = 0
			fi
		:: answer == UNKNOWN && IS_HELD_BY_RECORD && has_asked -> lock_it(); answer = 0
		:: else -> answer = 0
		fi;
		has_asked = has_asked && answer;
		has_looked = (has_looked || (!must_look && !answer))
	   }

	/* a call of an owner with a good session makes a period, which is held before the answer goes */
	:: d_step {
		SERVES && period == NONE && step == 0 && session && owner == ALICE && PROOF > other_slot ->
		period = LIVE;
		step = 1
	   }
#ifdef REGISTERS_LATE
	:: d_step { SERVES && step == 1 && VERDICT == VOUCHED -> assert(!other_seen); step = 2 }
	:: d_step { up && step == 2 -> held = true; step = 0 }
#else
	:: d_step {
		up && step == 1 && !answer ->
		held = true;
		must_look = true;
		step = 0
	   }
#endif
	/* a release: the ledger is asked in each call, so nothing is kept of who owns it */
	:: d_step { SERVES && period == LIVE && step == 0 && VERDICT == VOUCHED && other_seen -> assert(false) }
	od
}

/* ---- oracle.finalized, and what it is evidence for */
/* The slot of its reading. */
#ifdef ERASES_BEFORE_FINAL
#define ERASER_AT now
#else
#define ERASER_AT final
#endif

active proctype eraser()
{
end:	do
	:: d_step {
		up && pending && ERASER_AT >= pending ->
		if
		:: period == LOCKED && OWNER_AT(ERASER_AT) != ALICE -> destroy()
		:: period == LIVE -> must_look = true /* judged good again meanwhile: a new look knows */
		:: else /* the same owner: it stays locked */
		fi;
		pending = 0
	   }
	od
}

/* One that a lie has locked stays so until the next event if the sale comes before a true reading. */
#define ENDS (!IS_SOLD || period == NONE || period == DESTROYED || (period == LOCKED && lied))
#endif

/* When nothing is left that could happen. There is no cycle (each step uses something up), so under fairness every run gets here. */
active proctype claims()
{
	timeout -> assert(ENDS)
}
