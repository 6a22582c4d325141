#include "services/agent-wallet/wallet.h"

#include <stdio.h>

#include "services/agent-wallet/asking.h"

#define ROW(name, type, member, min, max, value, doc) \
	{ \
		"MULTICLAW_WALLET_" name, SETTING_##type, offsetof(struct wallet, member), min, \
		    max, value, doc \
	}
const struct setting wallet_settings[] = {
    ROW("BUILDS_PER_MINUTE", UINT, builds_per_minute, 1, 100000000, "30",
	"Transactions composed a minute for one asset; a quarter of them, or 10, may come at "
	"once."),
    ROW("CALLS_PER_MINUTE", UINT, calls_per_minute, 1, 100000000, "120",
	"Other calls a minute for one asset: views, submits, questions what became of one. A "
	"quarter of them, or 10, may come at once; views come one at a time."),
    ROW("BUILDS_KEPT", UINT, builds_kept, 1, 1000, "32",
	"Unsigned transactions kept for one asset; beyond them the oldest is forgotten."),
    ROW("BUILD_TTL_S", UINT, build_ttl_s, 1, 3600, "300",
	"How long an unsigned transaction is kept; its blockhash lives about a minute."),
    ROW("KEEP_S", UINT, keep_s, 60, 31536000, "604800",
	"How long a sent transaction is kept, to tell what became of it."),
    ROW("AGAIN_MS", UINT, again_ms, 50, 60000, "2000",
	"Pause between looks at a sent transaction, each of which sends it again until it has "
	"landed; up to 8 times as long for one that is refused, or old."),
    ROW("MAX_PRIORITY_LAMPORTS", UINT, max_priority_lamports, 0, 10000000000, "5000000",
	"Largest priority fee that an owner's wallet may have added to a transaction."),
    ROW("ALLOW_LIGHTHOUSE", BOOL, allow_lighthouse, 0, 1, "yes",
	"Take transactions to which the owner's wallet has added Lighthouse's assertions."),
};
const size_t wallet_nsettings = ARRAY_LEN(wallet_settings);

int wallet_open(void *arg, struct error *err)
{
	struct wallet *self = arg;
	if (pubkey_parse(self->process->settings.collection, self->collection) != 0)
		return error_set(err, ERR_INVALID, "MULTICLAW_COLLECTION is no address");
	return 0;
}

int wallet_start(void *arg, struct error *err)
{
	struct wallet *self = arg;
	struct metrics *metrics = self->process->metrics;
	(void)err;
	static const char
	    name[] = "multiclaw_wallet_operations_total",
	    help[] = "Transactions composed, accepted with signatures, refused when submitted.";
	self->built = metrics_counter(metrics, name, help, "step=\"built\"");
	self->sent = metrics_counter(metrics, name, help, "step=\"sent\"");
	self->refused = metrics_counter(metrics, name, help, "step=\"refused\"");
	self->sessions = process_client(self->process, ROLE_SESSION);
	self->oracles = process_client(self->process, ROLE_ORACLE);
	self->auths = process_client(self->process, ROLE_AUTH);
	LIST_INIT(&self->askings);
	sender_start(&self->sender, self);
	return 0;
}

void wallet_stop(void *arg)
{
	struct wallet *self = arg;
	sender_stop(&self->sender);
	bus_client_destroy(&self->sessions);
	bus_client_destroy(&self->oracles);
	bus_client_destroy(&self->auths);
}

void wallet_on_event(void *arg, const struct ledger_event *event)
{
	if (ledger_event_ends(event))
		askings_overtake(arg, event->asset);
}

void wallet_on_restart(void *arg, const char *history, struct event_id head)
{
	(void)history, (void)head;
	askings_overtake(arg, "*");
}

bool wallet_reaches_peers(void *arg, char *why, size_t size)
{
	const struct wallet *self = arg;
	const struct {
		const char *name;
		const struct bus_client *client;
	} peers[] = {{"session", self->sessions}, {"chain-oracle", self->oracles}};
	for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
		if (bus_client_ready(peers[i].client) == 0) {
			snprintf(why, size, "no %s answers", peers[i].name);
			return false;
		}
	}
	snprintf(why, size, "session and chain-oracle answer");
	return true;
}
