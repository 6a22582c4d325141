/* reaper - collects the ends of warden's children, adopted ones among them: a container's first process, an encryption process, a runtime whose job was killed. */
#ifndef WARDEN_REAPER_H
#define WARDEN_REAPER_H

#include <event2/event.h>
#include <sys/types.h>

struct reaper;

/* Children's orphans become this process's own from now on. Caller owns the result. */
struct reaper *reaper_new(struct event_base *base);
void reaper_destroy(struct reaper **reaper);
struct event_base *reaper_base(const struct reaper *reaper);

/* How a child that has ended, or is about to, ended: as wait(2); -1 if it is not known (it was not ours). Waits for it. */
int reaper_wait(struct reaper *reaper, pid_t pid);

#endif
