/* snapshots - `agent snapshots`, `snapshot`, `restore`, `discard`, `hand-over`, `accept`, `refuse`: what is saved of the owner's agent. */
#ifndef CLI_SNAPSHOTS_H
#define CLI_SNAPSHOTS_H

#include "services/cli/cli.h"

int snapshots_list(struct cli *cli, int argc, char **argv);
int snapshots_make(struct cli *cli, int argc, char **argv);
int snapshots_restore(struct cli *cli, int argc, char **argv);
int snapshots_discard(struct cli *cli, int argc, char **argv);
int snapshots_hand_over(struct cli *cli, int argc, char **argv);
/* argv[1] is accept or refuse. */
int snapshots_answer(struct cli *cli, int argc, char **argv);

#endif
