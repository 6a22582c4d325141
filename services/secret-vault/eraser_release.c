/* An asset of which nothing is kept any more need not be watched for the vault. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "services/secret-vault/eraser.h"
#include "services/secret-vault/holder.h"

struct release {
	struct vault *vault;
	char asset[PUBKEY_TEXT_MAX + 1];
	bool has_key;
};

/* Something may have been made meanwhile, and noted just before it was given back: looking at the asset notes it again. */
static void on_released(void *arg, const char *word, const struct error *err)
{
	struct release *release = arg;
	bool was_held = !err && strcmp(word, "1") == 0;
	if (err)
		log_warn("an asset of which nothing is kept stays watched", "asset", release->asset,
		    "why", err->text);
	else if (was_held && release->vault->holder)
		holder_look_at(release->vault->holder, release->asset);
	free(release);
}

static bool note_key(void *arg, const struct store_period *period)
{
	struct release *release = arg;
	release->has_key |= period->state != PERIOD_DESTROYED;
	return !release->has_key;
}

static int look_for_keys(void *arg, struct desk *desk, struct error *err)
{
	struct release *release = arg;
	return store_periods_of(desk->db, release->asset, note_key, release, err);
}

static void on_looked(void *arg, const struct error *err)
{
	struct release *release = arg;
	if (err || release->has_key || release->vault->is_stopping)
		free(release);
	else
		ledger_release(
		    release->vault->process->redis, release->asset, "vault", on_released, release);
}

void eraser_release(struct vault *vault, const char *asset)
{
	struct release *release = calloc(1, sizeof(*release));
	bug_if(!release);
	release->vault = vault;
	snprintf(release->asset, sizeof(release->asset), "%s", asset);
	worker_do(vault->worker, WORKER_READ, look_for_keys, on_looked, release);
}
