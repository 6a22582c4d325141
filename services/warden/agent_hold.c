/* An agent that nothing is left of but its volume, which stays open for a snapshot, and its secrets, which that must not hold. */
#include "common/log.h"
#include "services/warden/agent_internal.h"
#include "services/warden/warden.h"

static void release(struct agent *agent, const char *why)
{
	log_info("agent is held no longer", "agent", agent->record.agent, "why", why);
	/* first: nothing may be saved that was searched for wiped secrets */
	agent_give_up_snapshot(agent);
	agent_wipe_secrets(agent);
	agent_clean(agent);
}

static void on_hold_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	release(arg, "its time is over");
}

bool agent_may_be_held(const struct agent *agent)
{
	return agent->hold_ms > 0 && agent->root >= 0;
}

void agent_hold(struct agent *agent)
{
	const struct timeval until = {
	    (time_t)(agent->hold_ms / 1000), (suseconds_t)(agent->hold_ms % 1000 * 1000)};
	struct error err = {0};

	agent->state = AGENT_HELD;
	agent_free_event(&agent->timer);
	agent->timer = evtimer_new(agent->warden->base, on_hold_over, agent);
	bug_if(!agent->timer || event_add(agent->timer, &until) != 0);
	/* its link stays as long: nobody waits at it for one who is no longer there */
	if (network_reset(agent->warden->host.network, agent->record.slot, &err) != 0)
		log_warn(
		    "connections are not reset", "agent", agent->record.agent, "why", err.text);
}

void agent_release(struct agent *agent, const char *why)
{
	agent->hold_ms = 0;
	if (agent->state == AGENT_HELD)
		release(agent, why);
	else
		agent_give_up_snapshot(agent);
}

void agents_release(struct warden *warden, const char *why)
{
	struct agent *agent, *following;

	for (agent = LIST_FIRST(&warden->agents); agent; agent = following) {
		following = LIST_NEXT(agent, next);
		agent_release(agent, why);
	}
}
