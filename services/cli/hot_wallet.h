/* hot_wallet - `wallet hot` and `wallet hot create`. */
#ifndef CLI_HOT_WALLET_H
#define CLI_HOT_WALLET_H

#include "services/cli/cli.h"

/* argv[1] is "hot". */
int hot_wallet(struct cli *cli, int argc, char **argv);

#endif
