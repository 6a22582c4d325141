#include "services/router/sandboxes.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/codec.h"
#include "common/envelope.h"
#include "common/log.h"
#include "common/suite_settings.h"
#include "services/router/locator.h"
#include "services/router/rendezvous.h"
#include "services/router/router.h"

#define HOSTS_MAX 64
#define REMEMBERED 4096 /* of what the ledger said */

struct host {
	char name[SUITE_REPLICA_MAX + 1];
	struct bus_client *client;
};

struct sandboxes {
	bool is_stopping;
	struct locator *locator;
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct remembered {
		uint8_t asset[PUBKEY_LEN];
		const struct host *host; /* NULL: nothing */
		unsigned marks;          /* events of an asset of this slot */
	} remembered[REMEMBERED];
	size_t nhosts;
	struct host host[HOSTS_MAX];
};

/* One question on its way through the hosts. */
struct errand {
	struct sandboxes *sandboxes;
	const struct proto_call *call;
	uint64_t deadline, tried; /* bits of hosts */
	uint8_t asset[PUBKEY_LEN];
	char trace[TRACE_LEN + 1];
	const struct host *at; /* NULL: nobody was asked yet */
	unsigned marks;        /* of its slot, when the ledger was asked */
	bool is_placed;        /* the ledger named at; nobody else may see the token */
	bool was_elsewhere;    /* a host has said so */
	struct error refused;  /* by a host that is full; no reason: none was */
	bus_done done;
	void *arg;
	_Alignas(max_align_t) uint8_t req[];
};

static struct remembered *slot_of(struct sandboxes *sandboxes, const uint8_t asset[PUBKEY_LEN])
{
	uint8_t hash[crypto_shorthash_BYTES];
	crypto_shorthash(hash, asset, PUBKEY_LEN, sandboxes->key);
	return &sandboxes->remembered[((size_t)hash[0] << 8 | hash[1]) % REMEMBERED];
}

void sandboxes_mark(struct sandboxes *sandboxes, const uint8_t *asset)
{
	struct remembered *slot = asset ? slot_of(sandboxes, asset) : sandboxes->remembered;
	size_t n = asset ? 1 : REMEMBERED;
	for (size_t i = 0; i < n; i++) {
		slot[i].host = NULL;
		slot[i].marks++;
	}
}

static uint64_t bit_of(const struct errand *errand, const struct host *host)
{
	return UINT64_C(1) << (host - errand->sandboxes->host);
}

/* What an event has overtaken meanwhile is not remembered: the agent may have been moved by it. */
static void remember(const struct errand *errand, const struct host *host)
{
	struct remembered *slot = slot_of(errand->sandboxes, errand->asset);
	if (slot->marks != errand->marks)
		return;
	memcpy(slot->asset, errand->asset, PUBKEY_LEN);
	slot->host = host;
}

/* The best host that was not tried, for an agent that nobody has; one that does not answer only if there is no other. */
static const struct host *candidate(const struct errand *errand)
{
	const struct sandboxes *sandboxes = errand->sandboxes;
	const struct host *best = NULL;
	uint64_t best_score = 0;
	bool best_is_ready = false;
	for (size_t i = 0; i < sandboxes->nhosts; i++) {
		const struct host *host = &sandboxes->host[i];
		bool is_ready = bus_client_ready(host->client) > 0;
		uint64_t score = rendezvous_score(host->name, errand->asset);
		if (errand->tried & bit_of(errand, host))
			continue;
		if (!best || is_ready > best_is_ready ||
		    (is_ready == best_is_ready && score > best_score)) {
			best = host;
			best_score = score;
			best_is_ready = is_ready;
		}
	}
	return best;
}

static const struct host *host_named(const struct sandboxes *sandboxes, const char *name)
{
	for (size_t i = 0; i < sandboxes->nhosts; i++)
		if (strcmp(sandboxes->host[i].name, name) == 0)
			return &sandboxes->host[i];
	return NULL;
}

static void finish(struct errand *errand, const void *rsp, const struct error *err)
{
	errand->done(errand->arg, rsp, err);
	codec_wipe(errand->call->req, errand->req);
	free(errand);
}

static void finish_unavailable(struct errand *errand, const char *why)
{
	struct error err;
	error_refuse(&err, ERR_UNAVAILABLE, "agent_host_unavailable", "%s: %s: %s",
	    errand->call->name, errand->at ? errand->at->name : "nobody asked", why);
	finish(errand, NULL, &err);
}

/* The next question asks the ledger, which may name another by now. */
static void forget(struct errand *errand)
{
	struct remembered *slot = slot_of(errand->sandboxes, errand->asset);
	if (slot->host && slot->host == errand->at &&
	    memcmp(slot->asset, errand->asset, PUBKEY_LEN) == 0)
		slot->host = NULL;
}

static void locate(struct errand *errand);

/* Full: an agent that nobody has may begin elsewhere, if the host has not taken it all the same. */
static void on_failure(struct errand *errand, const struct error *err)
{
	bool is_silent =
	    !err->reason[0] && (err->code == ERR_TIMEOUT || err->code == ERR_UNAVAILABLE);
	if (errand->sandboxes->is_stopping) {
		finish(errand, NULL, err);
	} else if (strcmp(err->reason, "host_full") == 0 && !errand->is_placed) {
		errand->refused = *err;
		locate(errand);
	} else if (is_silent) {
		forget(errand);
		finish_unavailable(errand, err->text);
	} else {
		finish(errand, NULL, err);
	}
}

/* What a host says of others is not believed: it may have been taken over, and the token opens all that is the agent's. */
static void on_reply(void *arg, const void *rsp, const struct error *err)
{
	struct errand *errand = arg;
	const char *host = rsp; /* its first member */
	if (err) {
		on_failure(errand, err);
	} else if (!host[0]) {
		finish(errand, rsp, NULL);
	} else if (errand->was_elsewhere) {
		finish_unavailable(errand, "the second that has it not");
	} else {
		forget(errand);
		errand->was_elsewhere = true;
		locate(errand);
	}
}

static void send_to(struct errand *errand, const struct host *host)
{
	errand->at = host;
	errand->tried |= bit_of(errand, host);
	bus_send(host->client, errand->call, errand->req, errand->deadline, errand->trace, on_reply,
	    errand);
}

static void finish_unasked(struct errand *errand, const char *name)
{
	if (errand->refused.reason[0]) {
		finish(errand, NULL, &errand->refused);
		return;
	}
	log_warn("an agent is on a host that cannot be asked", "host", name, "asked",
	    errand->at ? errand->at->name : "");
	finish_unavailable(errand, "there is no host to ask");
}

static void on_place(void *arg, const char *name, const struct error *err)
{
	struct errand *errand = arg;
	const struct host *host;
	if (err) {
		finish(errand, NULL, err);
		return;
	}
	errand->is_placed = name[0];
	host = name[0] ? host_named(errand->sandboxes, name) : candidate(errand);
	if (!host || errand->tried & bit_of(errand, host)) {
		finish_unasked(errand, name);
		return;
	}
	if (errand->is_placed)
		remember(errand, host);
	send_to(errand, host);
}

static void locate(struct errand *errand)
{
	errand->marks = slot_of(errand->sandboxes, errand->asset)->marks;
	locator_ask(errand->sandboxes->locator, errand->asset, errand->deadline, on_place, errand);
}

void sandboxes_ask(struct sandboxes *sandboxes, const struct sandboxes_question *question,
    bus_done done, void *arg)
{
	const struct proto_message *req = question->call->req, *rsp = question->call->rsp;
	bug_if(strcmp(rsp->fields[0].name, "host") != 0 || rsp->fields[0].offset != 0);
	struct errand *errand = calloc(1, sizeof(*errand) + req->size);
	bug_if(!errand);
	errand->sandboxes = sandboxes;
	errand->call = question->call;
	errand->deadline = question->deadline;
	memcpy(errand->asset, question->asset, PUBKEY_LEN);
	snprintf(errand->trace, sizeof(errand->trace), "%s", question->trace);
	errand->done = done;
	errand->arg = arg;
	memcpy(errand->req, question->req, req->size);
	const struct remembered *slot = slot_of(sandboxes, errand->asset);
	errand->is_placed = slot->host && memcmp(slot->asset, errand->asset, PUBKEY_LEN) == 0;
	if (errand->is_placed)
		send_to(errand, slot->host);
	else
		locate(errand);
}

size_t sandboxes_ready(const struct sandboxes *sandboxes, size_t *all_r)
{
	size_t ready = 0;
	for (size_t i = 0; i < sandboxes->nhosts; i++)
		ready += bus_client_ready(sandboxes->host[i].client) > 0;
	*all_r = sandboxes->nhosts;
	return ready;
}

struct sandboxes *sandboxes_new(struct router *router)
{
	const struct setting_list *list = &router->process->settings.sandboxes;
	const char *address;
	if (list->len == 0)
		return NULL;
	struct sandboxes *sandboxes = calloc(1, sizeof(*sandboxes));
	bug_if(!sandboxes || list->len > HOSTS_MAX);
	sandboxes->locator = locator_new(router->process);
	randombytes_buf(sandboxes->key, sizeof(sandboxes->key));
	for (size_t i = 0; i < list->len; i++) {
		struct host *host = &sandboxes->host[sandboxes->nhosts++];
		bug_if(suite_settings_sandbox(list->item[i], host->name, &address, NULL) != 0);
		host->client =
		    process_client_at(router->process, ROLE_SANDBOX, host->name, address);
	}
	return sandboxes;
}

void sandboxes_destroy(struct sandboxes **sandboxes)
{
	if (!*sandboxes)
		return;
	(*sandboxes)->is_stopping = true;
	for (size_t i = 0; i < (*sandboxes)->nhosts; i++)
		bus_client_destroy(&(*sandboxes)->host[i].client);
	locator_destroy(&(*sandboxes)->locator);
	free(*sandboxes);
	*sandboxes = NULL;
}
