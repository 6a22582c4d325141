/* ledger_parse - the script's answers as structs. Nothing is believed before its form is
 * checked: each function returns 0, or -1 if any field is not what the script sends. Internal to
 * ledger.c. */
#ifndef COMMON_LEDGER_PARSE_H
#define COMMON_LEDGER_PARSE_H

#include "common/ledger.h"

#define LEDGER_EVENTS_MAX 1000
#define LEDGER_SESSIONS_MAX 64
#define LEDGER_SLOT_DIGITS 20
#define LEDGER_WORD_MAX 15
#define LEDGER_HOST_MAX 64

/* How many events the answer claims to bring, at most LEDGER_EVENTS_MAX. */
size_t ledger_parse_nevents(const redisReply *reply);
/* events has room for that many; out borrows it. */
int ledger_parse_follow(
    const redisReply *reply, struct ledger_follow *out, struct ledger_event *events);
/* sessions has room for LEDGER_SESSIONS_MAX; out borrows it. */
int ledger_parse_list(
    const redisReply *reply, struct ledger_list *out, struct ledger_session *sessions);
/* replicas has room for LEDGER_REPLICAS_MAX; out borrows it. */
int ledger_parse_enforced(
    const redisReply *reply, struct ledger_enforced *out, struct ledger_replica *replicas);
/* out->asset has room for LEDGER_OWNED_MAX. */
int ledger_parse_owned(const redisReply *reply, struct ledger_owned *out);
int ledger_parse_look(const redisReply *reply, struct ledger_look *out);
int ledger_parse_record(const redisReply *reply, struct ledger_record *out);
int ledger_parse_owner(const redisReply *reply, struct ledger_owner *out); /* of owner and hold */
int ledger_parse_minted(
    const redisReply *reply, struct ledger_ended *out); /* of mint and mint_child */
int ledger_parse_ended(
    const redisReply *reply, struct ledger_ended *out); /* of everything else that ends sessions */
int ledger_parse_wait(const redisReply *reply, struct ledger_wait *out);
int ledger_parse_taken(
    const redisReply *reply, struct ledger_taken *out); /* value is borrowed from reply */
int ledger_parse_word(const redisReply *reply, char word[LEDGER_WORD_MAX + 1]);
int ledger_parse_host(const redisReply *reply, char host[LEDGER_HOST_MAX + 1]); /* of place */

#endif
