#include "services/chain-oracle/rpc_request.h"

#include <inttypes.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/scoped.h"
#include "services/chain-oracle/core_account.h"

/* Takes params. Running out of memory aborts, as everywhere. */
static char *request(uint64_t id, const char *method, json_t *params)
{
	scoped_json json_t *message = json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id",
	    (json_int_t)id, "method", method, "params", params);
	bug_if(!message);
	char *text = json_dumps(message, JSON_COMPACT);
	bug_if(!text);
	return text;
}

static json_t *config(void)
{
	return json_pack("{s:s, s:s, s:{s:i, s:i}}", "encoding", "base64", "commitment",
	    "confirmed", "dataSlice", "offset", 0, "length", CORE_SLICE);
}

/* Key 1 at offset 0 and the collection as update authority at 33: without the first, a collection account whose free-text name
 * imitates the second would match. */
static json_t *filters(const uint8_t collection[PUBKEY_LEN])
{
	uint8_t authority[1 + PUBKEY_LEN] = {2};
	memcpy(authority + 1, collection, PUBKEY_LEN);
	char text[64];
	base58_encode(authority, sizeof(authority), text, sizeof(text));
	return json_pack("[{s:{s:i, s:s, s:s}}, {s:{s:i, s:s, s:s}}]", "memcmp", "offset", 0,
	    "bytes", "2", "encoding", "base58", "memcmp", "offset", 33, "bytes", text, "encoding",
	    "base58");
}

static json_t *collection_config(const uint8_t collection[PUBKEY_LEN])
{
	json_t *with_filters = config();
	json_object_set_new(with_filters, "filters", filters(collection));
	return with_filters;
}

/* Written out, because every sign-in and every sweep needs it, and jansson takes longer to write it than to read the answer. */
char *rpc_request_accounts(uint64_t id, const char *const *keys, size_t len, uint64_t min_slot,
    enum rpc_commitment commitment)
{
	static const char *const names[] = {
	    [RPC_CONFIRMED] = "confirmed", [RPC_FINALIZED] = "finalized"};
	char list[RPC_KEYS_MAX * (PUBKEY_TEXT_MAX + 3) + 1] = "";
	char *text = NULL;
	size_t at = 0;
	bug_if(len > RPC_KEYS_MAX);
	for (size_t i = 0; i < len; i++)
		at += (size_t)snprintf(
		    list + at, sizeof(list) - at, "\"%.*s\",", PUBKEY_TEXT_MAX, keys[i]);
	int n = asprintf(&text,
	    "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64
	    ",\"method\":\"getMultipleAccounts\",\"params\":[[%s\"" RPC_CLOCK
	    "\"],{\"encoding\":\"base64\",\"commitment\":\"%s\","
	    "\"dataSlice\":{\"offset\":0,\"length\":%d},\"minContextSlot\":%" PRIu64 "}]}",
	    id, list, names[commitment], CORE_SLICE, min_slot);
	bug_if(n < 0);
	return text;
}

char *rpc_request_collection(uint64_t id, const uint8_t collection[32])
{
	json_t *with_context = collection_config(collection);
	json_object_set_new(with_context, "withContext", json_true());
	return request(id, "getProgramAccounts", json_pack("[s, o]", CORE_PROGRAM, with_context));
}

char *rpc_request_genesis(uint64_t id)
{
	return request(id, "getGenesisHash", json_array());
}

/* ---- for agent-wallet ---- */

/* A slot that no node will ever reach need not be exact. */
static json_int_t clamped(uint64_t slot)
{
	return slot < INT64_MAX ? (json_int_t)slot : INT64_MAX;
}

static json_t *at_slot(uint64_t min_slot)
{
	return json_pack(
	    "{s:s, s:I}", "commitment", "confirmed", "minContextSlot", clamped(min_slot));
}

static json_t *sliced(size_t slice, uint64_t min_slot)
{
	return json_pack("{s:s, s:s, s:{s:i, s:I}, s:I}", "encoding", "base64", "commitment",
	    "confirmed", "dataSlice", "offset", 0, "length", (json_int_t)slice, "minContextSlot",
	    clamped(min_slot));
}

char *rpc_request_blockhash(uint64_t id, uint64_t min_slot)
{
	return request(id, "getLatestBlockhash", json_pack("[o]", at_slot(min_slot)));
}

char *rpc_request_data(uint64_t id, json_t *keys, size_t slice, uint64_t min_slot)
{
	return request(
	    id, "getMultipleAccounts", json_pack("[o, o]", keys, sliced(slice, min_slot)));
}

char *rpc_request_rent(uint64_t id, uint64_t size)
{
	return request(id, "getMinimumBalanceForRentExemption", json_pack("[I]", (json_int_t)size));
}

char *rpc_request_tokens(
    uint64_t id, const char *owner, const char *program, size_t slice, uint64_t min_slot)
{
	return request(id, "getTokenAccountsByOwner",
	    json_pack("[s, {s:s}, o]", owner, "programId", program, sliced(slice, min_slot)));
}

char *rpc_request_records(uint64_t id, const char *asset, uint64_t min_slot)
{
	json_t *with_filters = sliced(RPC_RECORD_LEN, min_slot);
	json_object_set_new(with_filters, "withContext", json_true());
	json_object_set_new(with_filters, "filters",
	    json_pack("[{s:i}, {s:{s:i, s:s, s:s}}, {s:{s:i, s:s, s:s}}]", "dataSize",
		RPC_RECORD_LEN, "memcmp", "offset", 0, "bytes", "3", "encoding", "base58", "memcmp",
		"offset", RPC_RECORD_ASSET_AT, "bytes", asset, "encoding", "base58"));
	return request(
	    id, "getProgramAccounts", json_pack("[s, o]", RPC_RECORD_PROGRAM, with_filters));
}

static json_t *in_base64(const uint8_t *bytes, size_t len)
{
	size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
	scoped_free char *text = malloc(size);
	bug_if(!text);
	sodium_bin2base64(text, size, bytes, len, sodium_base64_VARIANT_ORIGINAL);
	return json_string(text);
}

char *rpc_request_simulate(
    uint64_t id, const uint8_t *transaction, size_t len, json_t *keys, uint64_t min_slot)
{
	json_t *how = at_slot(min_slot);
	json_object_set_new(how, "encoding", json_string("base64"));
	json_object_set_new(how, "sigVerify", json_false());
	json_object_set_new(how, "replaceRecentBlockhash", json_true());
	if (json_array_size(keys) > 0)
		json_object_set_new(how, "accounts",
		    json_pack("{s:s, s:O}", "encoding", "base64", "addresses", keys));
	json_decref(keys);
	return request(
	    id, "simulateTransaction", json_pack("[o, o]", in_base64(transaction, len), how));
}

char *rpc_request_send(uint64_t id, const uint8_t *transaction, size_t len, bool skip_preflight)
{
	return request(id, "sendTransaction",
	    json_pack("[o, {s:s, s:s, s:b, s:i}]", in_base64(transaction, len), "encoding",
		"base64", "preflightCommitment", "confirmed", "skipPreflight", skip_preflight,
		"maxRetries", 0));
}

char *rpc_request_statuses(uint64_t id, json_t *signatures, bool history)
{
	return request(id, "getSignatureStatuses",
	    json_pack("[o, {s:b}]", signatures, "searchTransactionHistory", history));
}

char *rpc_request_recent(
    uint64_t id, const char *address, uint64_t limit, const char *before, uint64_t min_slot)
{
	json_t *how = at_slot(min_slot);
	json_object_set_new(how, "limit", json_integer((json_int_t)limit));
	if (before[0])
		json_object_set_new(how, "before", json_string(before));
	return request(id, "getSignaturesForAddress", json_pack("[s, o]", address, how));
}

/* ---- PubSub ---- */

char *rpc_request_subscribe_account(uint64_t id, const char *key)
{
	return request(id, "accountSubscribe", json_pack("[s, o]", key, config()));
}

char *rpc_request_subscribe_collection(uint64_t id, const uint8_t collection[32])
{
	return request(id, "programSubscribe",
	    json_pack("[s, o]", CORE_PROGRAM, collection_config(collection)));
}

char *rpc_request_subscribe_slots(uint64_t id)
{
	return request(id, "slotSubscribe", json_array());
}

char *rpc_request_unsubscribe_account(uint64_t id, uint64_t subscription)
{
	return request(id, "accountUnsubscribe", json_pack("[I]", (json_int_t)subscription));
}
