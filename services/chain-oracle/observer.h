/* observer - writes down what was seen (architecture, rules 1 and 5) and tells everybody if it changed something. An observation that could not be
 * written is not lost: it is reported as missed, and a sweep makes it again.
 */
#ifndef CHAIN_ORACLE_OBSERVER_H
#define CHAIN_ORACLE_OBSERVER_H

#include "common/service.h"
#include "services/chain-oracle/core_account.h"
#include "services/chain-oracle/index.h"
#include "services/chain-oracle/watch.h"

/* name, label in metrics */
#define OBSERVER_SOURCES(X) X(SIGN_IN, "sign_in") X(PUSH, "push") X(SWEEP, "sweep")
enum observer_source {
#define OBSERVER_SOURCE_ENUM(name, text) OBSERVER_##name,
	OBSERVER_SOURCES(OBSERVER_SOURCE_ENUM)
#undef OBSERVER_SOURCE_ENUM
};
#define OBSERVER_SOURCES_LEN (OBSERVER_SWEEP + 1)

/* Part of its owner: Redis may answer until that is freed. */
struct observer {
	struct process *process;
	struct watch *watch; /* NULL: stopped */
	struct index *index;
	size_t writing; /* under way */
	bool missed;    /* an observation was not written; the sweep takes it back */
	struct metric *seen[OBSERVER_SOURCES_LEN], *changed[OBSERVER_SOURCES_LEN],
	    *lost[OBSERVER_SOURCES_LEN];
};

/* Keeps the pointers. */
void observer_open(
    struct observer *observer, struct process *process, struct watch *watch, struct index *index);

struct observation {
	enum observer_source source;
	const char *asset;
	const struct core_asset *seen;
	uint64_t slot;
	bool watch; /* from now on, if it is not watched yet */
};
/* While a thousand are being written, what was pushed is passed over as missed. done may be NULL; never called from inside. Arguments are copied. */
void observer_see(struct observer *observer, const struct observation *observation,
    ledger_record_done done, void *arg);

#endif
