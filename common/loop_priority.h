/* loop_priority - what a process' loop serves first. Events have LOOP_NORMAL unless told otherwise; those of LOOP_BULK run when no other is ready, and after
 * LOOP_BULK_MAX_MS of them the others are looked at again: a thousand handshakes at one time do not keep a process from hearing that a session ended, or from
 * renewing its lease. */
#ifndef COMMON_LOOP_PRIORITY_H
#define COMMON_LOOP_PRIORITY_H

#define LOOP_PRIORITIES 3 /* libevent's default for a new event is the middle */
#define LOOP_NORMAL 1
#define LOOP_BULK 2
#define LOOP_BULK_MAX_MS 10

#endif
