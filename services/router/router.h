/* router - the HTTP edge: JSON API, sign-in cookie, the allow or deny of every request, event streams. State, settings, hooks. */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include <sys/queue.h>

#include "common/service.h"
#include "services/router/decision.h"
#include "services/router/entry_page.h"
#include "services/router/host.h"

struct authz;
struct reaches;
struct sandboxes;
struct streams;

struct router {
	struct process *process; /* first: the skeleton sets it */

	/* settings */
	char *api_listen, *authz_listen, *authz_dialect, *agent_upstream, *agents_network;
	uint64_t agents_port, decision_entries, place_entries, streams_max, streams_per_asset;

	struct host_names names;
	struct entry_page entry_page;
	struct decision_table *table;
	struct bus_client *auths, *sessions;
	struct bus_client *vaults;   /* NULL: none is configured */
	struct bus_client *wallets;  /* NULL: none is configured */
	struct sandboxes *sandboxes; /* NULL: none is configured */
	struct reaches *reaches;
	struct http_server *api;
	struct authz *authz;
	struct streams *streams;
	LIST_HEAD(usage_waits, usage_wait) usages; /* usage.c's */
};

extern const struct setting router_settings[];
extern const size_t router_nsettings;

int router_open(void *self, struct error *err);
int router_start(void *self, struct error *err);
void router_stop(void *self);
void router_on_event(void *self, const struct ledger_event *event);
void router_on_restart(void *self, const char *history, struct event_id head);
void router_on_heard(void *self, const struct ledger_event *event);
bool router_reaches_auth(void *self, char *why, size_t size);
bool router_reaches_session(void *self, char *why, size_t size);
bool router_reaches_vault(void *self, char *why, size_t size);
bool router_reaches_wallet(void *self, char *why, size_t size);
bool router_reaches_sandbox(void *self, char *why, size_t size);
bool router_knows_chain(void *self, char *why, size_t size);

#endif
