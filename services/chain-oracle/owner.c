/* oracle.owner - who owns an asset now, for a sign-in (architecture, rules 3, 4 and 7).
 *
 * The first healthy node is read, not below mc:chain and not below what the asset's record is known to have seen. If it says that the wallet does not own the asset, that
 * is the answer: one node's word is enough to refuse. If it says that the wallet does, another healthy node, where there is one, has to say the same; it may lag
 * a little (SECOND_LAG), but if it disagrees from an earlier slot it is asked again for a slot not below the first's, because that is how a transfer that is a second
 * old looks. The slot of proof is the lower of the two: up to there both have vouched.
 *
 * Every reading is an observation, also those that contradict each other: each is one node's word, which is enough to end sessions (rule 5 makes their order
 * harmless), while the sign-in itself is refused, so that a lying node can annoy but let nobody in. A record is begun only for a wallet that both call the owner.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/chain-oracle/oracle.h"

#define SECOND_LAG 32    /* slots */
#define WAIT_MS 100      /* for a slot to come */
#define PATIENCE_MS 2500 /* with nodes that lag, fail or are set aside */

struct sighting {
	struct rpc_node *node;
	struct core_asset seen;
	uint64_t slot;
};

struct owner_read {
	TAILQ_ENTRY(owner_read) link;
	struct oracle *oracle;
	const struct oracle_owner_req *req; /* valid until the answer */
	struct bus_request *request;
	struct event *timer;
	uint64_t give_up_at; /* Unix milliseconds */
	uint64_t min_slot;
	unsigned tried; /* bits of the nodes that gave nothing in this round */
	bool again;     /* the record knew better once */
	bool grants;    /* the first says that the wallet owns it */
	size_t nseen;
	struct sighting sighting[2];
};

static void ask(struct owner_read *read);

static void end(struct owner_read *read)
{
	TAILQ_REMOVE(&read->oracle->reads, read, link);
	event_free(read->timer);
	free(read);
}

static void fail(struct owner_read *read, const char *reason, const char *why)
{
	struct error err;
	error_refuse(&err, ERR_UNAVAILABLE, reason, "%s", why);
	err.retry_after_s = 1;
	bus_fail(read->request, &err);
	end(read);
}

static bool grants(const struct owner_read *read, const struct core_asset *seen)
{
	char owner[PUBKEY_TEXT_MAX + 1];
	return seen->verdict == CORE_OWNED &&
	       strcmp(core_asset_owner(seen, owner), read->req->wallet) == 0;
}

static void see(
    struct owner_read *read, const struct sighting *sighting, bool watch, ledger_record_done done)
{
	const struct observation observation = {
	    OBSERVER_SIGN_IN, read->req->asset, &sighting->seen, sighting->slot, watch};
	observer_see(&read->oracle->observer, &observation, done, read);
}

/* ---- the end of it ---- */

static void answer(struct owner_read *read, const struct ledger_record *record)
{
	const struct sighting *sighting = &read->sighting[0];
	struct oracle_owner_rsp rsp = {.slot = sighting->slot};
	snprintf(rsp.history, sizeof(rsp.history), "%s", record->history);
	snprintf(rsp.verdict, sizeof(rsp.verdict), "%s", core_verdict_text(sighting->seen.verdict));
	if (core_verdict_has_owner(sighting->seen.verdict)) {
		core_asset_owner(&sighting->seen, rsp.owner);
		memcpy(rsp.name, sighting->seen.name, sizeof(rsp.name));
	}
	bus_reply(read->request, &rsp);
	end(read);
}

/* Could a later reading change the answer? Somebody saw something else, later than this. */
static bool record_knows_better(const struct owner_read *read, const struct ledger_record *record)
{
	const struct sighting *sighting = &read->sighting[0];
	if (!record->owner[0])
		return false;
	if (read->grants)
		return strcmp(record->owner, read->req->wallet) != 0 ||
		       sighting->slot <= record->other_slot;
	return record->seen_slot > sighting->slot && strcmp(record->owner, read->req->wallet) == 0;
}

static uint64_t above(const struct ledger_record *record)
{
	uint64_t slot = record->other_slot < UINT64_MAX ? record->other_slot + 1 : UINT64_MAX;
	return slot > record->seen_slot ? slot : record->seen_slot;
}

static void on_record(void *arg, const struct ledger_record *record, const struct error *err)
{
	struct owner_read *read = arg;
	if (err) {
		fail(read, "service_unavailable", err->text);
	} else if (!read->again && record_knows_better(read, record)) {
		read->again = true;
		read->nseen = 0;
		read->tried = 0;
		read->min_slot = above(record);
		ask(read);
	} else {
		struct watched *watched =
		    read->oracle->watch ? watch_find(read->oracle->watch, read->req->asset) : NULL;
		if (watched && read->grants)
			watch_keep(watched);
		answer(read, record);
	}
}

static void conclude(struct owner_read *read)
{
	struct sighting *first = &read->sighting[0], *second = &read->sighting[1];
	if (read->nseen == 2 && second->slot < first->slot)
		first->slot = second->slot;
	see(read, first, read->grants, on_record);
}

static void disagree(struct owner_read *read)
{
	const struct sighting *first = &read->sighting[0], *second = &read->sighting[1];
	metric_add(read->oracle->disagreements, 1);
	log_warn("two nodes name different owners", "asset", read->req->asset, "node",
	    first->node->label, "slot", log_u64(first->slot), "other_node", second->node->label,
	    "other_slot", log_u64(second->slot));
	see(read, first, false, NULL);
	see(read, second, false, NULL);
	fail(read, "chain_unavailable", "two nodes name different owners");
}

/* ---- asking ---- */

static void take_second(struct owner_read *read, const struct sighting *second)
{
	const struct sighting *first = &read->sighting[0];
	read->sighting[1] = *second;
	if (grants(read, &second->seen)) {
		read->nseen = 2;
		conclude(read);
	} else if (second->slot < first->slot && read->min_slot < first->slot) {
		see(read, second, false, NULL);
		read->min_slot = first->slot;
		ask(read);
	} else {
		disagree(read);
	}
}

static void take_first(struct owner_read *read, const struct sighting *first)
{
	read->sighting[0] = *first;
	read->grants = grants(read, &first->seen);
	if (!read->grants) {
		conclude(read);
		return;
	}
	read->nseen = 1;
	read->tried = 0;
	if (first->slot > SECOND_LAG && first->slot - SECOND_LAG > read->min_slot)
		read->min_slot = first->slot - SECOND_LAG;
	ask(read);
}

static void on_reading(
    void *arg, struct rpc_node *node, enum rpc_outcome outcome, const struct reading *reading)
{
	struct owner_read *read = arg;
	if (outcome != RPC_OK) {
		read->tried |= 1U << node->index;
		ask(read);
		return;
	}
	struct sighting sighting = {.node = node, .slot = reading->slot};
	core_account_read(&reading->account[0].core, read->oracle->collection, &sighting.seen);
	if (read->nseen == 0)
		core_asset_check_signer(&sighting.seen);
	if (read->nseen == 0)
		take_first(read, &sighting);
	else
		take_second(read, &sighting);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	struct owner_read *read = arg;
	(void)fd;
	(void)what;
	read->tried = 0;
	ask(read);
}

static void wait(struct owner_read *read)
{
	const struct timeval soon = {.tv_usec = WAIT_MS * 1000};
	if (clock_unix_ms() >= read->give_up_at)
		fail(read, "chain_unavailable", "no node answers for a slot that is recent enough");
	else
		event_add(read->timer, &soon);
}

static void ask(struct owner_read *read)
{
	struct oracle *self = read->oracle;
	if (!self->nodes || rpc_nodes_are_stopping(self->nodes)) {
		fail(read, "service_unavailable", "stopping");
		return;
	}
	if (rpc_nodes_are_foreign(self->nodes)) {
		fail(read, "chain_unavailable", "the state in Redis belongs to another chain");
		return;
	}
	if (clock_unix_ms() >= bus_request_deadline(read->request)) {
		fail(read, "chain_unavailable", "nobody waits any more");
		return;
	}
	unsigned asked = read->nseen == 1 ? 1U << read->sighting[0].node->index : 0;
	struct rpc_node *node = rpc_nodes_first(self->nodes, asked | read->tried);
	const char *keys[] = {read->req->asset};
	if (node)
		rpc_nodes_read(self->nodes, node, keys, 1, read->min_slot, on_reading, read);
	else if (read->nseen == 1 && !rpc_nodes_any_healthy(self->nodes, asked))
		conclude(read); /* there is no other healthy node */
	else
		wait(read);
}

static uint64_t min_slot(struct oracle *self, const char *asset)
{
	const struct ledger_chain *chain = follower_chain(self->process->follower);
	const struct watched *watched = watch_find(self->watch, asset);
	uint64_t slot = chain->known ? chain->slot : 0;
	return watched && watched->seen_slot > slot ? watched->seen_slot : slot;
}

static int check(const struct oracle_owner_req *req, struct error *err)
{
	uint8_t key[PUBKEY_LEN];
	if (pubkey_parse(req->asset, key) < 0)
		return error_refuse(err, ERR_INVALID, "asset_invalid", "asset is not an address");
	if (pubkey_parse(req->wallet, key) < 0)
		return error_refuse(err, ERR_INVALID, "wallet_invalid", "wallet is not an address");
	return 0;
}

void oracle_owner(
    struct oracle *self, const struct oracle_owner_req *req, struct bus_request *request)
{
	struct error err;
	if (check(req, &err) < 0) {
		bus_fail(request, &err);
		return;
	}
	struct owner_read *read = calloc(1, sizeof(*read));
	bug_if(!read);
	read->oracle = self;
	read->req = req;
	read->request = request;
	read->min_slot = min_slot(self, req->asset);
	read->give_up_at = oracle_give_up_at(request, PATIENCE_MS);
	read->timer = event_new(self->process->base, -1, 0, on_time, read);
	bug_if(!read->timer);
	TAILQ_INSERT_TAIL(&self->reads, read, link);
	ask(read);
}

void oracle_owner_stop(struct oracle *self)
{
	struct owner_read *read, *next;
	for (read = TAILQ_FIRST(&self->reads); read; read = next) {
		next = TAILQ_NEXT(read, link);
		if (evtimer_pending(read->timer, NULL))
			fail(read, "service_unavailable", "stopping");
	}
}
