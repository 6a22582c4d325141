/* agents - `agent list`, `halt`, `wake`, `exec` and `move`: an operator's calls to the sandboxes of all hosts. */
#ifndef CLI_AGENTS_H
#define CLI_AGENTS_H

#include <jansson.h>

#include "services/cli/cli.h"

int agents_list(struct cli *cli, int argc, char **argv);
/* argv[1] is halt or wake. */
int agents_change(struct cli *cli, int argc, char **argv);
int agents_exec(struct cli *cli, int argc, char **argv);
int agents_move(struct cli *cli, int argc, char **argv);

/* The agent as GET /v1/agent says it, for people. */
void agents_show(const json_t *agent);

/* What an agent wrote, which may be anything: made harmless for a terminal unless raw. bytes ends with a NUL. */
void agents_print(const char *bytes, size_t len, bool raw);

#endif
