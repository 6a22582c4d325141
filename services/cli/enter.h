/* enter - from the console's session to one of the agent's origin, as the page at /.multiclaw/enter does it: an opening, a ticket for it, the session for that. */
#ifndef SERVICES_CLI_ENTER_H
#define SERVICES_CLI_ENTER_H

#include "services/cli/web.h"

/* origin: the agent's, as it is known here; an opening for another is refused. Sets file->agent_token, and keeps it in the session's file unless that is of another
 * session by now. */
int enter_agent(struct cli *cli, struct session_file *file, const char *origin, struct error *err);

#endif
