/* demo-agent - what `make run` puts into a container: a page to talk to, a clock, notes that last, and ends for uploads and downloads. One static binary. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "services/sandbox/demo-agent/agent.h"

static int usage(void)
{
	fputs("Usage: demo-agent [--secrets DIR] [--data DIR] [--address IPV4] [--port N]\n"
	      "  --secrets  gateway-token, and llm/<provider> (default: /run/secrets)\n"
	      "  --data     where the notes are kept (default: /data)\n"
	      "  --address  to listen at (default: 0.0.0.0)\n"
	      "  --port     (default: MULTICLAW_AGENT_PORT, else 18789)\n",
	    stderr);
	return 2;
}

static int read_options(int argc, char **argv, struct agent_options *options)
{
	for (int i = 1; i < argc; i += 2) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (!value)
			return -1;
		if (strcmp(argv[i], "--secrets") == 0)
			options->secrets = value;
		else if (strcmp(argv[i], "--data") == 0)
			options->data = value;
		else if (strcmp(argv[i], "--address") == 0)
			options->address = value;
		else if (strcmp(argv[i], "--port") == 0)
			options->port = value;
		else
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct agent_options options = {.secrets = "/run/secrets",
	    .data = "/data",
	    .address = "0.0.0.0",
	    .port = getenv("MULTICLAW_AGENT_PORT")};
	struct agent agent;

	if (!options.port)
		options.port = "18789";
	if (read_options(argc, argv, &options) != 0)
		return usage();
	prctl(PR_SET_DUMPABLE, 0);
	if (agent_open(&agent, &options) != 0)
		return 1;
	printf(
	    "demo-agent: boot %s, listening at %s:%s\n", agent.boot, options.address, options.port);
	fflush(stdout);
	agent_run(&agent);
	agent_close(&agent);
	puts("demo-agent: ended");
	return 0;
}
