/* record - rules 1, 5, 6 and 7: what ops.observe, ops.mint, ops.look, ops.forget and ops.reset of common/ledger.lua make of one asset's
 * record, whatever is seen, in whatever order.
 *
 * Claim (I1): a session is good if and only if it exists, its record was not reset, and nobody else was seen to own the asset at or after the
 * slot of its proof. And (rule 5): whatever makes a good session bad adds an event in the same step.
 *
 * Bounds: one asset; two wallets and `nobody`; slots 1 to SLOTS, each owner seen at each slot any number of times, in any order, contradicting
 * itself (nodes that lag, lie, repeat); one session and one sign-in under way per wallet; records begun up to RECORDS times.
 * Abstracted: children, bans, generations and expiry (a key that is gone is a session that is gone: `end`), the two nodes of a sign-in (a
 * disagreement is two observations), more than one session of a wallet (each is judged by itself), history and settling (follower.pml).
 * "Seen" is what reached a record: a reading of an asset without one is written nowhere (`watch` is false), and is not counted here either.
 *
 * Planted bugs: ONLY_NEWEST_KEPT, SIGN_IN_BYPASSES_OBSERVE, TIE_IS_NOTHING, RESET_KEEPS_SESSIONS. */

#ifndef SLOTS
#define SLOTS 4
#endif
#define RECORDS 2

#define ALICE 0
#define BOB 1
#define NOBODY 2

/* mc:owner:<asset>; began 0: there is none */
byte began, owner = NOBODY, seen_slot, other_slot;
/* mc:chain */
byte chain_slot, forgotten;
/* mc:session:<jti>, one of each wallet */
bool exists[2];
byte slot[2], record[2];
/* sign-ins between oracle.owner and session.mint: the slot of proof, 0: none */
byte proof[2];

/* what the claims speak of */
byte highest[3]; /* slot at which each was seen to own it */
byte records; /* begun so far */
bool event, was_good[2];

#define OTHERS(w) (highest[1 - (w)] > highest[NOBODY] -> highest[1 - (w)] : highest[NOBODY])

/* verdict() */
#ifdef ONLY_NEWEST_KEPT
#define GOOD(w) (exists[w] && began && owner == (w) && record[w] == began && slot[w] <= seen_slot)
#elif defined(RESET_KEEPS_SESSIONS)
#define GOOD(w) (exists[w] && began && owner == (w) && slot[w] > other_slot)
#else
#define GOOD(w) (exists[w] && began && owner == (w) && record[w] == began && slot[w] > other_slot)
#endif
/* I1 */
#define SPEC(w) (exists[w] && began && record[w] == began && OTHERS(w) < slot[w])

inline begin_step()
{
	event = false;
	was_good[ALICE] = GOOD(ALICE);
	was_good[BOB] = GOOD(BOB)
}

inline end_step()
{
	assert(GOOD(ALICE) == SPEC(ALICE));
	assert(GOOD(BOB) == SPEC(BOB));
	assert(event || !was_good[ALICE] || GOOD(ALICE));
	assert(event || !was_good[BOB] || GOOD(BOB));
	event = false;
	was_good[ALICE] = false;
	was_good[BOB] = false
}

/* ops.observe */
inline observe(who, at, watch)
{
	if
	:: !began && watch && records < RECORDS ->
		records++;
		began = records;
		owner = who;
		seen_slot = (at > forgotten -> at : forgotten);
		other_slot = forgotten;
		saw(who, at)
	:: !began && !(watch && records < RECORDS) -> skip
	:: began && owner == who -> /* first case */
		seen_slot = (at > seen_slot -> at : seen_slot);
		saw(who, at)
	:: began && owner != who && at > seen_slot -> /* second case: a change of owner */
		other_slot = seen_slot;
		owner = who;
		seen_slot = at;
		event = true;
		saw(who, at)
	:: began && owner != who && at <= seen_slot -> /* third case: late or contradicting */
		if
#if defined(TIE_IS_NOTHING)
		:: at > other_slot && at < seen_slot ->
#elif defined(ONLY_NEWEST_KEPT)
		:: false ->
#else
		:: at > other_slot ->
#endif
			other_slot = at;
			event = true
		:: else
		fi;
		saw(who, at)
	fi
}

inline saw(who, at)
{
	highest[who] = (at > highest[who] -> at : highest[who])
}

/* ops.mint, all but the session */
#if defined(SIGN_IN_BYPASSES_OBSERVE)
#define MAY_MINT(w) (began)
#elif defined(ONLY_NEWEST_KEPT)
#define MAY_MINT(w) (began && owner == (w) && proof[w] <= seen_slot)
#else
#define MAY_MINT(w) (began && owner == (w) && proof[w] > other_slot && proof[w] <= seen_slot)
#endif

inline forget_record(floor)
{
	forgotten = (floor > forgotten -> floor : forgotten);
	began = 0;
	owner = NOBODY;
	seen_slot = 0;
	other_slot = 0
}

/* push, sweep, and the readings of sign-ins that are refused */
active proctype chain_oracle()
{
	byte who, at;
end:	do
	:: atomic {
		select(who : ALICE .. NOBODY);
		select(at : 1 .. SLOTS);
		d_step {
			begin_step();
			observe(who, at, false);
			end_step();
			who = 0;
			at = 0
		}
	   }
	:: d_step { /* ops.chain: a sweep that counted */
		chain_slot < SLOTS -> chain_slot++
	   }
	:: d_step { /* ops.forget: no session, and a sweep has passed what the record had seen */
		began && !exists[ALICE] && !exists[BOB] && chain_slot >= seen_slot ->
		forget_record(seen_slot)
	   }
	od
}

/* A wallet that signs in: oracle.owner reads it as the owner at some slot, then session.mint judges once more. */
proctype sign_in(byte wallet)
{
	byte at;
end:	do
	:: atomic {
		!proof[wallet];
		select(at : 1 .. SLOTS);
		d_step {
			begin_step();
#ifdef SIGN_IN_BYPASSES_OBSERVE
			if
			:: began -> saw(wallet, at)
			:: else -> observe(wallet, at, true)
			fi;
#else
			observe(wallet, at, true);
#endif
			proof[wallet] = at;
			end_step();
			at = 0
		}
	   }
	:: d_step {
		proof[wallet] ->
		begin_step();
		if
		:: MAY_MINT(wallet) ->
			exists[wallet] = true;
			slot[wallet] = proof[wallet];
			record[wallet] = began
		:: else
		fi;
		proof[wallet] = 0;
		/* a new session takes the place of the one before, which is no end of it: that one is not looked at any more */
		was_good[wallet] = false;
		end_step()
	   }
	:: d_step { /* ops.end; also what `exp` does */
		exists[wallet] ->
		exists[wallet] = false;
		slot[wallet] = 0;
		record[wallet] = 0
	   }
	od
}

/* ops.reset: what was seen counts no more, by an operator's word */
active proctype operator()
{
end:	do
	:: d_step {
		began && records < RECORDS ->
		begin_step();
		forget_record(chain_slot);
		highest[ALICE] = 0;
		highest[BOB] = 0;
		highest[NOBODY] = 0;
		event = true;
		end_step()
	   }
	od
}

init {
	atomic {
		run sign_in(ALICE);
		run sign_in(BOB)
	}
}
