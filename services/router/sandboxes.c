#include "services/router/sandboxes.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/codec.h"
#include "common/envelope.h"
#include "common/log.h"
#include "common/suite_settings.h"
#include "services/router/rendezvous.h"
#include "services/router/router.h"

#define HOSTS_MAX 64
#define REMEMBERED 4096 /* hints: a wrong one costs one call more */

struct host {
	char name[SUITE_REPLICA_MAX + 1];
	struct bus_client *client;
};

struct sandboxes {
	bool is_stopping;
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct remembered {
		uint8_t asset[PUBKEY_LEN];
		const struct host *host; /* NULL: nothing */
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
	const struct host *at;
	bool was_sent_on; /* to where a host has said it is */
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

static void remember(
    struct sandboxes *sandboxes, const uint8_t asset[PUBKEY_LEN], const struct host *host)
{
	struct remembered *slot = slot_of(sandboxes, asset);
	memcpy(slot->asset, asset, PUBKEY_LEN);
	slot->host = host;
}

static uint64_t bit_of(const struct errand *errand, const struct host *host)
{
	return UINT64_C(1) << (host - errand->sandboxes->host);
}

/* The best host that was not tried; one that does not answer only if there is no other. Any of them knows who has the agent. */
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
	    errand->call->name, errand->at->name, why);
	finish(errand, NULL, &err);
}

static void send_to(struct errand *errand, const struct host *host);

/* The one it names is the ledger's word; a second name in a row would be two hosts that send each other around. */
static void send_on(struct errand *errand, const char *name)
{
	const struct host *host = host_named(errand->sandboxes, name);
	if (!host || errand->was_sent_on || host == errand->at) {
		log_warn("an agent is on a host that cannot be asked", "says", errand->at->name,
		    "host", name, "why", host ? "sent around" : "not in MULTICLAW_SANDBOXES");
		finish_unavailable(errand, "names a host that cannot be asked");
		return;
	}
	errand->was_sent_on = true;
	remember(errand->sandboxes, errand->asset, host);
	send_to(errand, host);
}

/* Where a silent host was remembered, the next question begins elsewhere: the ledger may name another by now. */
static void forget(struct errand *errand)
{
	struct remembered *slot = slot_of(errand->sandboxes, errand->asset);
	if (slot->host == errand->at)
		slot->host = NULL;
}

static void on_failure(struct errand *errand, const struct error *err)
{
	if (errand->sandboxes->is_stopping) {
		finish(errand, NULL, err);
		return;
	}
	bool is_silent =
	    !err->reason[0] && (err->code == ERR_TIMEOUT || err->code == ERR_UNAVAILABLE);
	bool is_full = strcmp(err->reason, "host_full") == 0;
	const struct host *next = is_full && !errand->was_sent_on ? candidate(errand) : NULL;
	if (next) {
		send_to(errand, next);
	} else if (is_silent) {
		forget(errand);
		finish_unavailable(errand, err->text);
	} else {
		finish(errand, NULL, err);
	}
}

static void on_reply(void *arg, const void *rsp, const struct error *err)
{
	struct errand *errand = arg;
	const char *host = rsp; /* its first member */
	if (err) {
		on_failure(errand, err);
	} else if (host[0]) {
		send_on(errand, host);
	} else {
		remember(errand->sandboxes, errand->asset, errand->at);
		finish(errand, rsp, NULL);
	}
}

static void send_to(struct errand *errand, const struct host *host)
{
	errand->at = host;
	errand->tried |= bit_of(errand, host);
	bus_send(host->client, errand->call, errand->req, errand->deadline, errand->trace, on_reply,
	    errand);
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
	bool is_known = slot->host && memcmp(slot->asset, errand->asset, PUBKEY_LEN) == 0;
	send_to(errand, is_known ? slot->host : candidate(errand));
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
	free(*sandboxes);
	*sandboxes = NULL;
}
