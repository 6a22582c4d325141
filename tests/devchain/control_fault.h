/* control_fault - commands that break one node, each until `ok`. They add up. */
#ifndef DEVCHAIN_CONTROL_FAULT_H
#define DEVCHAIN_CONTROL_FAULT_H

#include "tests/devchain/control.h"

int fault_ok(struct control_call *call, struct error *err);
int fault_silent(struct control_call *call, struct error *err);
int fault_mute_push(struct control_call *call, struct error *err);
int fault_drop_ws(struct control_call *call, struct error *err);
int fault_refuse(struct control_call *call, struct error *err);
int fault_html(struct control_call *call, struct error *err);
int fault_half_body(struct control_call *call, struct error *err);
int fault_wrong_id(struct control_call *call, struct error *err);
int fault_delay(struct control_call *call, struct error *err);
int fault_lag(struct control_call *call, struct error *err);
int fault_lower_slot(struct control_call *call, struct error *err);
int fault_freeze(struct control_call *call, struct error *err);
int fault_skew_clock(struct control_call *call, struct error *err);
int fault_bad_slot(struct control_call *call, struct error *err);
int fault_lie(struct control_call *call, struct error *err);

/* {"faults": [names]}; the caller owns it. */
json_t *fault_describe(const struct faults *faults);

#endif
