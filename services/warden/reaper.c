#include "services/warden/reaper.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/error.h"

#define ENDS_KEPT \
	64 /* until somebody asks: what is noticed by its descriptor is asked for at once */

struct reaper {
	struct event_base *base;
	struct event *signal;
	struct {
		pid_t pid;
		int status;
	} ended[ENDS_KEPT];
	size_t next;
};

static void on_child(evutil_socket_t signo, short what, void *arg)
{
	struct reaper *reaper = arg;
	pid_t pid;
	int status;

	(void)signo, (void)what;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		reaper->ended[reaper->next].pid = pid;
		reaper->ended[reaper->next].status = status;
		reaper->next = (reaper->next + 1) % ENDS_KEPT;
	}
}

struct reaper *reaper_new(struct event_base *base)
{
	struct reaper *reaper = calloc(1, sizeof(*reaper));

	bug_if(!reaper);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	reaper->base = base;
	reaper->signal = evsignal_new(base, SIGCHLD, on_child, reaper);
	bug_if(!reaper->signal || event_add(reaper->signal, NULL) != 0);
	return reaper;
}

void reaper_destroy(struct reaper **reaper)
{
	if (!*reaper)
		return;
	event_free((*reaper)->signal);
	free(*reaper);
	*reaper = NULL;
}

struct event_base *reaper_base(const struct reaper *reaper)
{
	return reaper->base;
}

int reaper_wait(struct reaper *reaper, pid_t pid)
{
	int status;

	for (size_t i = 0; i < ENDS_KEPT; i++) {
		if (reaper->ended[i].pid != pid)
			continue;
		reaper->ended[i].pid = 0;
		return reaper->ended[i].status;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}
