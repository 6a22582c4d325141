#include "services/chain-oracle/observer.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/scoped.h"

#define WRITING_MAX 1000

struct telling {
	struct observer *observer;
	enum observer_source source;
	char asset[PUBKEY_TEXT_MAX + 1];
	ledger_record_done done;
	void *arg;
};

static const char *const source_texts[] = {
#define OBSERVER_SOURCE_TEXT(name, text) [OBSERVER_##name] = (text),
    OBSERVER_SOURCES(OBSERVER_SOURCE_TEXT)
#undef OBSERVER_SOURCE_TEXT
};

void observer_open(
    struct observer *observer, struct process *process, struct watch *watch, struct index *index)
{
	static const char name[] = "multiclaw_oracle_observations_total",
			  help[] = "Observations by source and result.";
	observer->process = process;
	observer->watch = watch;
	observer->index = index;
	for (size_t i = 0; i < OBSERVER_SOURCES_LEN; i++) {
		char labels[64];
		snprintf(
		    labels, sizeof(labels), "source=\"%s\",result=\"written\"", source_texts[i]);
		observer->seen[i] = metrics_counter(process->metrics, name, help, labels);
		snprintf(
		    labels, sizeof(labels), "source=\"%s\",result=\"changed\"", source_texts[i]);
		observer->changed[i] = metrics_counter(process->metrics, name, help, labels);
		snprintf(
		    labels, sizeof(labels), "source=\"%s\",result=\"missed\"", source_texts[i]);
		observer->lost[i] = metrics_counter(process->metrics, name, help, labels);
	}
}

static void note_record(const struct telling *telling, const struct ledger_record *record)
{
	struct observer *observer = telling->observer;
	metric_add((record->changed ? observer->changed : observer->seen)[telling->source], 1);
	if (record->changed) {
		process_announce(observer->process, record->history, record->event, telling->asset);
		log_info("ownership changed", "asset", telling->asset, "owner", record->owner,
		    "slot", log_u64(record->seen_slot), "seen_by", source_texts[telling->source]);
	}
	struct watched *watched =
	    record->owner[0] && observer->watch ? watch_add(observer->watch, telling->asset) : NULL;
	if (watched)
		watched->seen_slot = record->seen_slot;
}

static void on_record(void *arg, const struct ledger_record *record, const struct error *err)
{
	scoped_free struct telling *telling = arg;
	telling->observer->writing--;
	if (err) {
		telling->observer->missed = true;
		metric_add(telling->observer->lost[telling->source], 1);
	} else {
		note_record(telling, record);
	}
	if (telling->done)
		telling->done(telling->arg, record, err);
}

void observer_see(struct observer *observer, const struct observation *observation,
    ledger_record_done done, void *arg)
{
	char owner[PUBKEY_TEXT_MAX + 1];
	if (observation->source == OBSERVER_PUSH && observer->writing >= WRITING_MAX) {
		observer->missed = true;
		metric_add(observer->lost[OBSERVER_PUSH], 1);
		return;
	}
	observer->writing++;
	struct telling *telling = calloc(1, sizeof(*telling));
	bug_if(!telling);
	telling->observer = observer;
	telling->source = observation->source;
	snprintf(telling->asset, sizeof(telling->asset), "%s", observation->asset);
	telling->done = done;
	telling->arg = arg;
	index_see(observer->index, observation->asset, observation->seen, observation->slot);
	ledger_observe(observer->process->redis, observation->asset,
	    core_asset_owner(observation->seen, owner), observation->slot, observation->watch,
	    on_record, telling);
}
