#include <stdio.h>
#include <string.h>

#include "tests/sandbox/probe.h"

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {{"attempts", attempts_run}, {"reach", reach_run}, {"listen", listen_run},
	    {"walk", walk_run}, {"hog", hog_run}};

	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "probe attempts|reach|listen|hog ...\n");
	return 2;
}
