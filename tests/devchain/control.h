/* control - the commands that make things happen on the chain and go wrong in a node. Each is the JSON-RPC method devchain_<name> with
 * its parameters as an object, and the subcommand <name> (with - for _) of the program. Numbers may be sent as decimal text. */
#ifndef DEVCHAIN_CONTROL_H
#define DEVCHAIN_CONTROL_H

#include <jansson.h>
#include <stdio.h>

#include "tests/devchain/devchain.h"

#define CONTROL_PREFIX "devchain_"

struct control_call {
	struct devchain *devchain;
	struct node *node; /* the one asked, or the one that parameter node names */
	const json_t *params;
	const char *command;
	json_t *reply; /* an object; the caller owns it after success */
	bool waits;    /* the reply is to be held back until slot is seen at wait_for */
	uint64_t slot;
	enum commitment wait_for;
};

/* ERR_NOT_FOUND: no such command. */
int control_run(struct control_call *call, const char *name, struct error *err);
bool control_exists(const char *name);
/* Lists the commands for --help. */
void control_help(FILE *out);

#endif
