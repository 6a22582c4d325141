#include "services/llm-gateway/keys.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "proto/vault.h"
#include "services/llm-gateway/gateway.h"
#include "services/llm-gateway/redact.h"

#define VAULT_MS 5000
#define WAITING_MAX 256 /* of one agent and provider */
#define TRIES_MAX 5

struct asking {
	struct key_slot *slot; /* NULL: nobody wants it any more */
	uint64_t epoch;        /* of the agent, when it was asked */
};

TAILQ_HEAD(key_waiters, key_waiter);
struct key_slot {
	TAILQ_ENTRY(key_slot) link;
	struct agent *agent;
	const struct provider *provider;
	struct key *key;
	uint64_t until_ms;
	struct asking *asking;
	unsigned tries;
	size_t nwaiting;
	struct key_waiters waiters;
};

struct key *key_keep(struct key *key)
{
	key->refs++;
	return key;
}

void key_release(struct key **key)
{
	struct key *k = *key;

	*key = NULL;
	if (!k || --k->refs > 0)
		return;
	redact_forms_destroy(&k->forms);
	secret_destroy(&k->value);
	free(k);
}

/* ---- who waits */

void keys_forget_waiter(struct key_waiter *waiter)
{
	struct key_slot *slot = waiter->slot;

	if (!slot)
		return;
	TAILQ_REMOVE(&slot->waiters, waiter, link);
	slot->nwaiting--;
	waiter->slot = NULL;
}

/* One who is told may make others go, never the slot. */
static void tell(struct key_slot *slot, struct key *key, const struct error *err)
{
	struct key_waiter *waiter;

	while ((waiter = TAILQ_FIRST(&slot->waiters))) {
		keys_forget_waiter(waiter);
		waiter->done(waiter->arg, key, err);
	}
}

/* ---- the vault */

/* It goes into a header: nothing that could end one. */
static bool is_usable(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] < 0x21 || bytes[i] > 0x7e)
			return false;
	return len > 0 && len <= REDACT_KEY_MAX;
}

static int copy_key(void *arg, uint8_t *bytes, size_t len)
{
	const struct vault_use_rsp *rsp = arg;

	memcpy(bytes, rsp->key.data, len);
	return 0;
}

static struct key *key_of(const struct vault_use_rsp *rsp, struct error *err)
{
	if (rsp->key.len == 0) {
		error_refuse(err, ERR_DENIED, "key_not_available",
		    "there is no key for this provider: neither the owner's nor a global one");
		return NULL;
	}
	if (!is_usable(rsp->key.data, rsp->key.len)) {
		error_refuse(err, ERR_DENIED, "key_not_usable",
		    "the %s key of this provider is too long for one, or holds something that no "
		    "key holds",
		    rsp->source);
		return NULL;
	}
	struct key *key = calloc(1, sizeof(*key));
	bug_if(!key);
	key->refs = 1;
	key->value = secret_make_brief(rsp->key.len, copy_key, (void *)(uintptr_t)rsp);
	key->forms = redact_forms_new(key->value);
	key->version = rsp->version;
	snprintf(key->source, sizeof(key->source), "%s", rsp->source);
	return key;
}

static void count(struct gateway *gateway, const char *result)
{
	char labels[64];

	snprintf(labels, sizeof(labels), "result=\"%s\"", result);
	metric_add(metrics_counter(gateway->process->metrics, "multiclaw_gateway_vault_calls_total",
		       "Keys asked for at the vault, by what it said.", labels),
	    1);
}

static void ask(struct key_slot *slot);

/* Asked for before something was heard of the asset: what was said then is nothing now. */
static bool is_overtaken(struct key_slot *slot, uint64_t epoch)
{
	if (epoch == slot->agent->epoch || ++slot->tries >= TRIES_MAX)
		return false;
	ask(slot);
	return true;
}

static void take(struct key_slot *slot, const struct vault_use_rsp *rsp, uint64_t epoch)
{
	struct gateway *gateway = slot->agent->gateway;
	struct error err = {0};
	struct key *key = key_of(rsp, &err);

	count(gateway, rsp->source);
	if (key && epoch != slot->agent->epoch) {
		key_release(&key);
		error_refuse(&err, ERR_UNAVAILABLE, "service_unavailable",
		    "too much happens to this agent at the moment");
	}
	if (!key) {
		tell(slot, NULL, &err);
		return;
	}
	slot->key = key;
	slot->until_ms = clock_boot_ms() + gateway->key_s * 1000;
	tell(slot, key, NULL);
}

static void on_use(void *arg, const void *message, const struct error *failed)
{
	struct asking *asking = arg;
	struct key_slot *slot = asking->slot;
	uint64_t epoch = asking->epoch;

	free(asking);
	if (!slot)
		return;
	slot->asking = NULL;
	if (is_overtaken(slot, epoch))
		return;
	if (!failed) {
		take(slot, message, epoch);
		return;
	}
	count(slot->agent->gateway, error_name(failed->code));
	tell(slot, NULL, failed);
}

static void ask(struct key_slot *slot)
{
	const struct agent *agent = slot->agent;
	struct vault_use_req req = {.grant.len = secret_len(agent->grant)};

	slot->asking = calloc(1, sizeof(*slot->asking));
	bug_if(!slot->asking);
	*slot->asking = (struct asking){slot, agent->epoch};
	memcpy(req.grant.data, secret_bytes(agent->grant), secret_len(agent->grant));
	snprintf(req.provider, sizeof(req.provider), "%s", slot->provider->name);
	bus_send(agent->gateway->vaults, &vault_use_call, &req, clock_unix_ms() + VAULT_MS, "",
	    on_use, slot->asking);
	sodium_memzero(&req, sizeof(req));
}

/* ---- slots */

static struct key_slot *slot_of(struct agent *agent, const struct provider *provider)
{
	struct key_slot *slot;

	TAILQ_FOREACH(slot, &agent->slots, link)
	{
		if (slot->provider == provider)
			return slot;
	}
	return NULL;
}

static struct key_slot *slot_new(struct agent *agent, const struct provider *provider)
{
	struct key_slot *slot = calloc(1, sizeof(*slot));

	bug_if(!slot);
	slot->agent = agent;
	slot->provider = provider;
	TAILQ_INIT(&slot->waiters);
	TAILQ_INSERT_TAIL(&agent->slots, slot, link);
	return slot;
}

struct key *keys_want(struct agent *agent, const struct provider *provider,
    struct key_waiter *waiter, struct error *err)
{
	struct key_slot *slot = slot_of(agent, provider);

	if (!slot)
		slot = slot_new(agent, provider);
	if (slot->key && clock_boot_ms() < slot->until_ms)
		return slot->key;
	if (slot->nwaiting >= WAITING_MAX) {
		error_refuse(err, ERR_BUSY, "too_many_requests", "too many requests wait");
		err->retry_after_s = 1;
		return NULL;
	}
	err->code = ERR_NONE;
	waiter->slot = slot;
	TAILQ_INSERT_TAIL(&slot->waiters, waiter, link);
	slot->nwaiting++;
	key_release(&slot->key);
	if (!slot->asking) {
		slot->tries = 0;
		ask(slot);
	}
	return NULL;
}

void keys_drop(struct agent *agent, const struct provider *provider, uint64_t version)
{
	struct key_slot *slot = slot_of(agent, provider);

	if (slot && slot->key && slot->key->version == version)
		key_release(&slot->key);
}

void keys_drop_all(struct agent *agent)
{
	struct key_slot *slot;

	agent->epoch++;
	TAILQ_FOREACH(slot, &agent->slots, link)
	key_release(&slot->key);
}

void keys_sweep(struct agent *agent, uint64_t now_ms)
{
	struct key_slot *slot;

	TAILQ_FOREACH(slot, &agent->slots, link)
	{
		if (slot->key && now_ms >= slot->until_ms)
			key_release(&slot->key);
	}
}

void keys_end(struct agent *agent)
{
	struct key_slot *slot;

	while ((slot = TAILQ_FIRST(&agent->slots))) {
		bug_if(!TAILQ_EMPTY(&slot->waiters));
		TAILQ_REMOVE(&agent->slots, slot, link);
		if (slot->asking)
			slot->asking->slot = NULL;
		key_release(&slot->key);
		free(slot);
	}
}
