/* What a proxy's sub-request may carry: header lines, judged as the decision endpoint does. The input is "Name: value" lines. */
#include <stdlib.h>
#include <string.h>

#include "services/router/asked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct asked *asked)
{
	const char *at = asked->cookies.forward;
	bug_if(strlen(at) != asked->cookies.forward_len);
	/* whatever else is in it, no parser that cuts at ';' finds one of ours in what goes to the agent */
	struct cookies again;
	cookies_init(&again);
	cookies_add(&again, at);
	bug_if(again.console.text || again.agent.text || strcmp(again.forward, at) != 0);
	bug_if(strstr(at, "; __Host-multiclaw") || strncmp(at, "__Host-multiclaw", 16) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host_names names;
	struct asked asked;
	char agent[AGENT_ID_LEN + 1];
	char *text = malloc(size + 1), *rest = text;
	bug_if(!text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	bug_if(host_names_init(&names, "http://localhost:8080", "localhost:8080", NULL) != 0);
	asked_init(&asked);
	for (char *line; (line = strsep(&rest, "\n"));) {
		char *value = strstr(line, ": ");
		if (!value)
			continue;
		*value = '\0';
		asked_add(&asked, line, value + 2);
	}
	check(&asked);
	static const char *const dialects[] = {"nginx", "traefik", "envoy"};
	for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
		enum asked_verdict verdict =
		    asked_judge(&asked, asked_dialect(dialects[i]), &names, "POST", agent);
		bug_if(verdict == ASKED_GO_ON && !cookie_is_token(asked_session(&asked)));
		bug_if(verdict == ASKED_GO_ON && asked.cookies.repeated);
	}
	free(text);
	return 0;
}
