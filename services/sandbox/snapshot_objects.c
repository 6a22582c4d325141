/* snapshot_objects - what a snapshot is in the store, and what of it is not needed any more. */
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/sandbox/snapshot_internal.h"

bool snapshot_key_of(const struct snapshot *snapshot, const char *name, char key[STORE_KEY_MAX + 1])
{
	const struct agent *agent = snapshot->agent;
	return snapshot->trigger == SNAPSHOT_HAND_OVER
		   ? store_key_handed_over(key, agent->id, name)
		   : store_key_of_period(
			 key, agent->id, agent->record.wallet, agent->record.period, name);
}

static void on_deleted(void *arg, const struct store_ended *ended)
{
	(void)arg;
	if (!ended->is_done)
		log_warn("an object could not be deleted", "why", ended->text);
}

bool snapshot_delete_key(struct sandbox *sandbox, const char *key)
{
	struct error err;
	if (store_link_delete(sandbox->store, key, on_deleted, NULL, &err))
		return true;
	log_warn("an object could not be deleted", "why", err.text);
	return false;
}

void snapshot_discard(struct agent *agent, const char *name)
{
	char key[STORE_KEY_MAX + 1];
	if (store_key_of_period(key, agent->id, agent->record.wallet, agent->record.period, name))
		snapshot_delete_key(agent->sandbox, key);
}

void snapshot_discard_version(struct agent *agent, const struct version *version)
{
	const struct saved *saved = &agent->record.saved;
	char name[VERSION_MANIFEST_LEN + 1];
	if (!versions_have_object(&saved->versions, version->object))
		snapshot_discard(agent, version->object);
	version_manifest_name(version->number, version->manifest, name);
	snapshot_discard(agent, name);
}

struct drops {
	size_t n;
	struct version item[VERSIONS_MAX];
};

static void on_dropped(void *arg, const struct version *version)
{
	struct drops *drops = arg;
	drops->item[drops->n++] = *version;
}

enum saved_source snapshot_settle(struct agent *agent, uint64_t newest, const uint8_t digest[32])
{
	struct saved *saved = &agent->record.saved;
	struct drops drops = {0};
	enum saved_source source = saved_settle(saved, newest, digest, clock_unix_ms(),
	    agent->sandbox->snapshot_keep, on_dropped, &drops);
	for (size_t i = 0; i < drops.n; i++)
		snapshot_discard_version(agent, &drops.item[i]);
	return source;
}
