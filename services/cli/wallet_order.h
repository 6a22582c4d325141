/* wallet_order - `wallet send`, `close`, `revoke-delegate`, `instructions`: words of the command line become what is asked of the service, and, apart from that, what its
 * transaction is compared with. */
#ifndef CLI_WALLET_ORDER_H
#define CLI_WALLET_ORDER_H

#include "services/cli/cli.h"

/* argv[1] is the subcommand. */
int wallet_order_send(struct cli *cli, int argc, char **argv);
int wallet_order_close(struct cli *cli, int argc, char **argv);
int wallet_order_revoke(struct cli *cli, int argc, char **argv);
int wallet_order_instructions(struct cli *cli, int argc, char **argv);

#endif
