/* control_money - commands that give out what transactions move: SOL, tokens, and the right to execute for an asset. */
#ifndef DEVCHAIN_CONTROL_MONEY_H
#define DEVCHAIN_CONTROL_MONEY_H

#include "tests/devchain/control.h"

int control_airdrop(struct control_call *call, struct error *err);
int control_create_mint(struct control_call *call, struct error *err);
int control_fund(struct control_call *call, struct error *err);
int control_delegate(struct control_call *call, struct error *err);

#endif
