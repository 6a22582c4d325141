#include "services/cli/image_signal.h"

#include <signal.h>

static void watched(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
}

void image_signals_hold(void)
{
	sigset_t set;

	watched(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

void image_signals_release(void)
{
	sigset_t set;

	watched(&set);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

bool image_is_interrupted(struct error *err)
{
	sigset_t waiting;

	sigpending(&waiting);
	if (!sigismember(&waiting, SIGHUP) && !sigismember(&waiting, SIGINT) &&
	    !sigismember(&waiting, SIGTERM))
		return false;
	error_set(err, ERR_CONFLICT, "interrupted");
	return true;
}
