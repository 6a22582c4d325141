/* wallet_json - what agent-wallet says, as the API writes it, and what the API is told, as agent-wallet takes it. Pure.
 *
 * Lamports and amounts of tokens (smallest unit) leave as decimal text, because readers of JSON lose digits beyond 2^53; they are taken as such text or
 * as an integer, never as a number with a point or an exponent. */
#ifndef ROUTER_WALLET_JSON_H
#define ROUTER_WALLET_JSON_H

#include <jansson.h>

#include "common/error.h"
#include "proto/wallet.h"

/* The body of POST /v1/wallet/transactions, all but the token and the client's address. ERR_INVALID: operation_invalid, address_invalid, body_invalid;
 * the text names the member. */
int wallet_json_order(const json_t *body, struct wallet_build_req *req, struct error *err);

/* Each answer is the caller's, and NULL if JSON cannot say it. */

/* hot: its address; "": there is none; NULL: not known now. */
json_t *wallet_json_shown(const struct wallet_show_rsp *shown, const char *hot);
json_t *wallet_json_built(const struct wallet_build_rsp *built);
json_t *wallet_json_state(const char *id, const struct wallet_status_rsp *state);
json_t *wallet_json_recent(const struct wallet_recent_rsp *recent);

#endif
