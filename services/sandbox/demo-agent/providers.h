/* providers - which LLM providers the agent has keys of: the names of their files, never what is in them. */
#ifndef DEMO_AGENT_PROVIDERS_H
#define DEMO_AGENT_PROVIDERS_H

#define PROVIDERS_TEXT_MAX 4096

/* A JSON list of names, sorted. Returns text. */
char *providers_json(const char *secrets, char text[PROVIDERS_TEXT_MAX]);

#endif
