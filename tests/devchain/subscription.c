#include "tests/devchain/subscription.h"

#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/scoped.h"

static const char *const topic_names[] = {"account", "program", "slot"};

bool subscription_method(const char *method, enum topic *topic_r, bool *subscribes_r)
{
	for (size_t i = 0; i < ARRAY_LEN(topic_names); i++) {
		size_t len = strlen(topic_names[i]);

		if (strncmp(method, topic_names[i], len) != 0)
			continue;
		*topic_r = (enum topic)i;
		*subscribes_r = strcmp(method + len, "Subscribe") == 0;
		return *subscribes_r || strcmp(method + len, "Unsubscribe") == 0;
	}
	return false;
}

int subscription_read(enum topic topic, const json_t *params, struct subscription *subscription_r,
    struct rpc_error *err)
{
	scoped_free char *text =
	    params ? json_dumps(params, JSON_COMPACT | JSON_SORT_KEYS) : strdup("[]");

	*subscription_r = (struct subscription){.topic = topic};
	if (topic != TOPIC_SLOT &&
	    (read_key(json_array_get(params, 0), subscription_r->key, err) != 0 ||
		read_config_parse(json_array_get(params, 1), &subscription_r->config, err) != 0))
		return -1;
	bug_if(!text || asprintf(&subscription_r->text, "%s %s", topic_names[topic], text) < 0);
	return 0;
}

void subscription_clear(struct subscription *subscription)
{
	free(subscription->text);
	*subscription = (struct subscription){0};
}

void subscriptions_add(struct subscriptions *set, struct subscription *subscription)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->item[i].id == subscription->id) {
			subscription_clear(subscription);
			return;
		}
	if (set->n == set->room) {
		set->room = set->room ? 2 * set->room : 8;
		set->item = reallocarray(set->item, set->room, sizeof(*set->item));
		bug_if(!set->item);
	}
	set->item[set->n++] = *subscription;
	*subscription = (struct subscription){0};
}

bool subscriptions_remove(struct subscriptions *set, enum topic topic, uint64_t id)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->item[i].id == id && set->item[i].topic == topic) {
			subscription_clear(&set->item[i]);
			set->item[i] = set->item[--set->n];
			return true;
		}
	return false;
}

void subscriptions_clear(struct subscriptions *set)
{
	while (set->n)
		subscription_clear(&set->item[--set->n]);
	free(set->item);
	*set = (struct subscriptions){0};
}

uint64_t subscriptions_find(const struct subscriptions *set, const char *text)
{
	for (size_t i = 0; i < set->n; i++)
		if (strcmp(set->item[i].text, text) == 0)
			return set->item[i].id;
	return 0;
}

static void begin(struct evbuffer *out, const struct subscription *subscription)
{
	evbuffer_add_printf(out,
	    "{\"jsonrpc\":\"2.0\",\"method\":\"%sNotification\",\"params\":{\"result\":{",
	    topic_names[subscription->topic]);
}

static void end(struct evbuffer *out, const struct subscription *subscription)
{
	evbuffer_add_printf(out, "},\"subscription\":%llu}}", (unsigned long long)subscription->id);
}

void subscription_write_account(struct evbuffer *out, const struct subscription *subscription,
    uint64_t slot, const struct reading *reading)
{
	bool program = subscription->topic == TOPIC_PROGRAM;
	char key[PUBKEY_TEXT_MAX + 1];
	struct rpc_error err;

	begin(out, subscription);
	evbuffer_add_printf(
	    out, "\"context\":{\"slot\":%llu},\"value\":", (unsigned long long)slot);
	if (program)
		evbuffer_add_printf(
		    out, "{\"pubkey\":\"%s\",\"account\":", pubkey_text(reading->key, key));
	if (write_account(out, &subscription->config, reading, &err) != 0)
		evbuffer_add_printf(out, "\"error: data too large for base58 encoding\"");
	evbuffer_add(out, "}", program);
	end(out, subscription);
}

void subscription_write_slot(struct evbuffer *out, const struct subscription *subscription,
    uint64_t slot, uint64_t parent, uint64_t root)
{
	begin(out, subscription);
	evbuffer_add_printf(out, "\"parent\":%llu,\"root\":%llu,\"slot\":%llu",
	    (unsigned long long)parent, (unsigned long long)root, (unsigned long long)slot);
	end(out, subscription);
}
