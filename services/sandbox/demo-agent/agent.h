/* agent - what the whole demo agent shares: its token, its folders, its connections. */
#ifndef DEMO_AGENT_AGENT_H
#define DEMO_AGENT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGENT_CONNECTIONS_MAX 2048
#define AGENT_TOKEN_MAX 256
#define AGENT_BOOT_LEN 16

struct connection;

struct agent {
	int epoll, listener, signals;
	bool is_full; /* the listener is not looked at for now */
	int data;     /* the folder that outlives the agent; -1: there is none */
	const char *secrets;
	char token[AGENT_TOKEN_MAX + 1];
	char boot[AGENT_BOOT_LEN + 1]; /* hex, random */
	char started_at[32];           /* RFC 3339 */
	size_t nconnections, connections_max;
	struct connection *connections;
};

struct agent_options {
	const char *secrets, *data, *address, *port;
};

/* Reads the token and listens. Returns 0, or -1 and has said why. */
int agent_open(struct agent *agent_r, const struct agent_options *options);
/* Serves until SIGTERM or SIGINT. */
void agent_run(struct agent *agent);
void agent_close(struct agent *agent);

uint64_t agent_now_ms(void);
/* The time in RFC 3339, UTC. Returns text. */
char *agent_time(char text[32]);

#endif
