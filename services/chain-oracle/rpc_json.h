/* rpc_json - a node's JSON, read with jansson and typed getters that never trust a shape.
 *
 * Solana's numbers are u64 and rentEpoch is usually 18446744073709551615, which jansson, whose integers
 * are signed, refuses; reading integers as doubles would make slots inexact. So integers too long for
 * jansson reach it as strings of their digits, and rpc_json_u64 reads both. Repeated keys and NUL bytes are refused.
 */
#ifndef CHAIN_ORACLE_RPC_JSON_H
#define CHAIN_ORACLE_RPC_JSON_H

#include <jansson.h>

#include "common/error.h"

/* One JSON text, whole. Caller owns the result; NULL with ERR_INVALID if it is not that. */
json_t *rpc_json_parse(const char *text, size_t len, struct error *err);

/* Exact; 0, or -1 if value (may be NULL) is not an integer of 0..2^64-1. */
int rpc_json_u64(const json_t *value, uint64_t *n_r);
/* Value behind a path of member names that ends with NULL; borrowed, NULL if it is not there. */
json_t *rpc_json_at(const json_t *value, ...) __attribute__((sentinel));
/* The key in a base58 string; 0 or -1. */
int rpc_json_pubkey(const json_t *value, uint8_t key_r[32]);

#endif
