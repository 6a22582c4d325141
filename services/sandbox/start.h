/* start - one start of an agent, until the driver has it: record on disk, holding in the ledger, grant, files, where /data comes from (the volume that is
 * here, or a snapshot), record again, judged once more, and only then START. It may be given up at any moment: what is under way then ends without a word, and what it had is wiped.
 */
#ifndef SANDBOX_START_H
#define SANDBOX_START_H

#include "services/sandbox/agent.h"

struct start;
/* Ends in the driver's start, or in agent_start_failed, later. With agent->owner_token by vault.grant, else by vault.regrant. */
void start_new(struct agent *agent);
void start_cancel(struct start **start);

#endif
