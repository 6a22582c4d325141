#include "services/sandbox/offer.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/sandbox/fetch.h"
#include "services/sandbox/restore.h"
#include "services/sandbox/roots.h"
#include "services/sandbox/triggers.h"

#define ASKED_AGAIN_MS 10000ULL /* doubling */
#define ASKED_AGAIN_MAX 8

struct offer {
	struct agent *agent;
	struct record
	    record; /* of the asking: whose secrets are fetched, for the first page alone */
	char boot[VAULT_BOOT_ID_LEN + 1];
	struct fetch *fetch;
	struct restore *restore; /* only its manifest */
	bool is_known;
	uint64_t
	    again_at_ms; /* boot clock: nothing is offered, but it may be once the sale is final */
	unsigned tries;
	char wallet[PUBKEY_TEXT_MAX + 1]; /* to whom */
	bool is_something;
	char from[PUBKEY_TEXT_MAX + 1];
	uint8_t digest[VAULT_DIGEST_LEN];
	struct secret *key;
	struct version version;
	char roots[WARDEN_ROOTS_BYTES];
};

void offer_destroy(struct offer **offer)
{
	struct offer *o = *offer;
	if (!o)
		return;
	*offer = NULL;
	fetch_cancel(&o->fetch);
	restore_destroy(&o->restore);
	secret_destroy(&o->key);
	sodium_memzero(o, sizeof(*o));
	free(o);
}

static struct offer *offer_new(struct agent *agent, const char *wallet)
{
	struct offer *offer = calloc(1, sizeof(*offer));
	bug_if(!offer);
	offer_destroy(&agent->offer);
	offer->agent = agent;
	snprintf(offer->wallet, sizeof(offer->wallet), "%s", wallet);
	return agent->offer = offer;
}

/* ---- the manifest */

static void on_manifest(void *arg, const struct error *err)
{
	struct offer *offer = arg;
	struct agent *agent = offer->agent;
	if (err) {
		log_warn(
		    "what was handed over cannot be read", "agent", agent->id, "why", err->text);
		offer_destroy(&agent->offer);
	} else {
		offer->version = *restore_version(offer->restore);
		memcpy(offer->roots, restore_manifest(offer->restore)->roots, sizeof(offer->roots));
		restore_destroy(&offer->restore);
		secret_destroy(&offer->key);
		offer->is_known = offer->is_something = true;
	}
	triggers_changed(agent);
}

static void read_manifest(struct offer *offer)
{
	struct agent *agent = offer->agent;
	struct error err;
	if (!offer->key) {
		offer->is_known = true;
		offer->again_at_ms = offer->tries < ASKED_AGAIN_MAX
					 ? clock_boot_ms() + (ASKED_AGAIN_MS << offer->tries)
					 : UINT64_MAX;
		triggers_changed(agent);
		return;
	}
	const struct restore_ask ask = {.agent = agent,
	    .of = {secret_bytes(offer->key), agent->id, offer->from, 0, MANIFEST_HANDED_NUMBER},
	    .digest = offer->digest,
	    .is_handed = true,
	    .done = on_manifest,
	    .arg = offer};
	offer->restore = restore_new(&ask, &err);
	if (offer->restore)
		return;
	offer_destroy(&agent->offer);
	triggers_changed(agent);
}

/* ---- the vault's word */

void offer_learn(struct agent *agent, const char *wallet, const struct secret *key,
    const uint8_t *digest, const char *handed_wallet)
{
	struct offer *offer = agent->offer;
	if (!key && offer && offer->is_known && !offer->is_something &&
	    strcmp(offer->wallet, wallet) == 0)
		return;
	offer = offer_new(agent, wallet);
	if (key) {
		offer->key = secret_new(secret_bytes(key), secret_len(key));
		memcpy(offer->digest, digest, sizeof(offer->digest));
		snprintf(offer->from, sizeof(offer->from), "%s", handed_wallet);
	}
	read_manifest(offer);
}

void offer_forget(struct agent *agent)
{
	struct offer *offer;
	if (!agent->record.wallet[0])
		return;
	offer = offer_new(agent, agent->record.wallet);
	offer->is_known = true;
	offer->again_at_ms = UINT64_MAX;
}

static int take_first_page(void *arg, const struct vault_materialise_rsp *rsp, struct error *err)
{
	struct offer *offer = arg;
	(void)err;
	if (rsp->handed_key.len != VAULT_SNAPSHOT_KEY_LEN ||
	    rsp->handed_digest.len != VAULT_DIGEST_LEN)
		return 0;
	offer->key = secret_new(rsp->handed_key.data, rsp->handed_key.len);
	memcpy(offer->digest, rsp->handed_digest.data, sizeof(offer->digest));
	snprintf(offer->from, sizeof(offer->from), "%s", rsp->handed_wallet);
	return 0;
}

static void on_fetched(void *arg, struct files *files, const struct error *err)
{
	struct offer *offer = arg;
	struct agent *agent = offer->agent;
	offer->fetch = NULL;
	files_destroy(&files);
	if (!err) {
		read_manifest(offer);
		return;
	}
	log_debug("it is not known what is offered", "agent", agent->id, "why", err->text);
	offer_destroy(&agent->offer);
	triggers_changed(agent);
}

bool offer_ask(struct agent *agent, const char *wallet, const char *token)
{
	uint8_t random[VAULT_BOOT_ID_LEN / 2];
	struct offer *offer = agent->offer;
	unsigned tries = 0;
	if (offer && strcmp(offer->wallet, wallet) == 0) {
		if (!offer->is_known)
			return true;
		if (offer->is_something || clock_boot_ms() < offer->again_at_ms)
			return false;
		tries = offer->tries + 1;
	}
	if (agent->start)
		return false; /* it will tell */
	offer = offer_new(agent, wallet);
	offer->tries = tries;
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(offer->boot, sizeof(offer->boot), random, sizeof(random));
	memcpy(offer->record.asset, agent->record.asset, sizeof(offer->record.asset));
	snprintf(offer->record.wallet, sizeof(offer->record.wallet), "%s", wallet);
	scoped_secret struct secret *owner = secret_new(token, strlen(token));
	const struct fetch_ask ask = {.sandbox = agent->sandbox,
	    .record = &offer->record,
	    .owner_token = owner,
	    .boot = offer->boot,
	    .first = take_first_page,
	    .done = on_fetched,
	    .arg = offer};
	offer->fetch = fetch_new(&ask);
	return true;
}

/* ---- for the owner */

bool offer_is_under_way(const struct agent *agent)
{
	return agent->offer && !agent->offer->is_known;
}

void offer_describe(
    const struct agent *agent, const char *wallet, struct sandbox_snapshots_rsp *rsp)
{
	const struct offer *offer = agent->offer;
	if (!offer || !offer->is_something || strcmp(offer->wallet, wallet) != 0)
		return;
	for (const char *at = offer->roots; *at && rsp->roots.len < SANDBOX_ROOTS_MAX;
	     at += strlen(at) + 1)
		snprintf(rsp->roots.item[rsp->roots.len++].root, sizeof(rsp->roots.item[0].root),
		    "%.*s", ROOT_MAX, at);
	snprintf(rsp->handed_wallet, sizeof(rsp->handed_wallet), "%s", offer->from);
	rsp->handed_ms = offer->version.created_ms;
	rsp->handed_bytes = offer->version.bytes;
}
