/* chat - what is said over a WebSocket: every message comes back as it was. */
#ifndef DEMO_AGENT_CHAT_H
#define DEMO_AGENT_CHAT_H

#include "services/sandbox/demo-agent/connection.h"

/* Makes the connection, whose handshake was answered, a chat. false: no memory. */
bool chat_open(struct connection *connection);
/* Something came: the other side lives. */
void chat_heard(struct connection *connection);
/* Is there room to answer one more frame? One who does not read is not listened to. */
bool chat_has_room(const struct connection *connection);
/* Answers the frames that came, as far as there is room. false: there was none, or no room. */
bool chat_answer(struct connection *connection);
/* Asks one who was silent for long whether it lives. */
void chat_tick(struct connection *connection, uint64_t now_ms);

#endif
