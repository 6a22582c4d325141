/* control_chain - commands that change the chain both nodes share. What they change belongs to the next slot, which they report. */
#ifndef DEVCHAIN_CONTROL_CHAIN_H
#define DEVCHAIN_CONTROL_CHAIN_H

#include "tests/devchain/control.h"

int control_create_collection(struct control_call *call, struct error *err);
int control_mint(struct control_call *call, struct error *err);
int control_transfer(struct control_call *call, struct error *err);
int control_burn(struct control_call *call, struct error *err);
int control_move(struct control_call *call, struct error *err);
int control_fork(struct control_call *call, struct error *err);
int control_set_account(struct control_call *call, struct error *err);
int control_pushed(struct control_call *call, struct error *err);
int control_status(struct control_call *call, struct error *err);

#endif
