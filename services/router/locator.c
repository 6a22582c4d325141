#include "services/router/locator.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/ledger.h"
#include "common/service.h"

/* Lives until Redis has answered or given up, which may be after the deadline, or after the locator: then nobody waits for it any more. */
struct look {
	LIST_ENTRY(look) link;
	struct event *timer;
	locator_done done; /* NULL: was told already */
	void *arg;
};

struct locator {
	struct process *process;
	LIST_HEAD(look_list, look) list; /* those that somebody waits for */
};

static void tell(struct look *look, const char *host, const struct error *err)
{
	locator_done done = look->done;
	bug_if(!done); /* on the list: somebody waits */
	LIST_REMOVE(look, link);
	event_free(look->timer);
	look->done = NULL;
	done(look->arg, host, err);
}

static void tell_unavailable(struct look *look, const char *why)
{
	struct error err;
	error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable", "an agent's place: %s", why);
	tell(look, NULL, &err);
}

static void on_place(void *arg, const char *host, const struct error *err)
{
	struct look *look = arg;
	if (look->done && err)
		tell_unavailable(look, err->text);
	else if (look->done)
		tell(look, host, NULL);
	free(look);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	tell_unavailable(arg, "the ledger has not answered in time");
}

void locator_ask(struct locator *locator, const uint8_t asset[PUBKEY_LEN], uint64_t deadline,
    locator_done done, void *arg)
{
	char text[PUBKEY_TEXT_MAX + 1];
	uint64_t now = clock_unix_ms(), left = deadline > now ? deadline - now : 0;
	struct timeval in = {(time_t)(left / 1000), (suseconds_t)(left % 1000 * 1000)};
	struct look *look = calloc(1, sizeof(*look));
	bug_if(!look);
	look->timer = evtimer_new(locator->process->base, on_deadline, look);
	bug_if(!look->timer);
	look->done = done;
	look->arg = arg;
	event_add(look->timer, &in);
	LIST_INSERT_HEAD(&locator->list, look, link);
	ledger_place(locator->process->redis, pubkey_text(asset, text), "", false, on_place, look);
}

struct locator *locator_new(struct process *process)
{
	struct locator *locator = calloc(1, sizeof(*locator));
	bug_if(!locator);
	locator->process = process;
	LIST_INIT(&locator->list);
	return locator;
}

void locator_destroy(struct locator **locator)
{
	struct look *look;
	if (!*locator)
		return;
	while ((look = LIST_FIRST(&(*locator)->list)))
		tell_unavailable(look, "this process stops");
	free(*locator);
	*locator = NULL;
}
