/* answer - what the demo agent answers to whom. */
#ifndef DEMO_AGENT_ANSWER_H
#define DEMO_AGENT_ANSWER_H

#include "services/sandbox/demo-agent/connection.h"

#define MEMORY_MAX 65536

void answer_request(
    struct agent *agent, struct connection *connection, const struct request *request);
/* Data of a body. false: there is too much of it, which was answered. */
bool answer_data(struct connection *connection, const char *bytes, size_t len);
/* A body is whole, or was no body. */
void answer_body(struct agent *agent, struct connection *connection);
void answer_refuse(struct connection *connection, int status);
/* The next stretch of /source. */
void answer_more(struct connection *connection);
/* One more second of /clock. */
void answer_tick(struct connection *connection);

#endif
