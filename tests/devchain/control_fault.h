/* control_fault - commands that break one node, each until `ok`. They add up. */
#ifndef DEVCHAIN_CONTROL_FAULT_H
#define DEVCHAIN_CONTROL_FAULT_H

#include "tests/devchain/control.h"

#define FAULT_PARAMS \
	"silent mute_push refuse refuse_quiet retry_after html half_body half_json wrong_id " \
	"delay " \
	"lag lower_slot freeze skew_clock bad_slot lose_sent false_simulation other_status " \
	"no_history old_statuses ahead high"

/* Sets the faults named by its parameters: true or false, or a number; 0 ends one. */
int fault_set(struct control_call *call, struct error *err);
/* The command is the fault's name; parameter value, if it is one of degree. */
int fault_by_name(struct control_call *call, struct error *err);
int fault_ok(struct control_call *call, struct error *err);
int fault_drop_ws(struct control_call *call, struct error *err);
int fault_lie(struct control_call *call, struct error *err);

/* {"faults": {name: value}} of those that are on; the caller owns it. */
json_t *fault_describe(const struct faults *faults);

#endif
