#include "tests/devchain/rpc.h"

#include <string.h>

#include "common/error.h"
#include "tests/devchain/core.h"
#include "tests/devchain/rpc_call.h"

#define KEYS_MAX 100

const json_t *call_param(const struct call *call, size_t i)
{
	return json_array_get(call->params, i);
}

int call_missing(struct call *call, size_t n)
{
	return rpc_fail(
	    call->err, RPC_INVALID_PARAMS, "`params` should have at least %zu argument(s)", n);
}

/* the configuration, and whether this node may answer under it */
int call_config(struct call *call, size_t i, struct read_config *config_r)
{
	struct node *node = call->rpc->node;
	uint64_t slot;

	if (read_config_parse(call_param(call, i), config_r, call->err) != 0)
		return -1;
	slot = node_slot(node, config_r->commitment);
	if (!config_r->has_min || config_r->min_slot <= slot || node->faults.lower)
		return 0;
	rpc_fail(call->err, RPC_MIN_CONTEXT_SLOT, "Minimum context slot has not been reached");
	evutil_snprintf(call->err->data, sizeof(call->err->data), "{\"contextSlot\":%llu}",
	    (unsigned long long)slot);
	return -1;
}

void call_begin_context(const struct call *call, const struct read_config *config)
{
	evbuffer_add_printf(call->out,
	    "{\"context\":{\"apiVersion\":\"" RPC_API_VERSION "\",\"slot\":%llu},\"value\":",
	    (unsigned long long)node_slot(call->rpc->node, config->commitment));
}

void call_end_context(const struct call *call)
{
	evbuffer_add(call->out, "}", 1);
}

int call_write_u64(const struct call *call, uint64_t value)
{
	evbuffer_add_printf(call->out, "%llu", (unsigned long long)value);
	return 0;
}

static int write_key_or_null(
    struct call *call, const struct read_config *config, const uint8_t *key)
{
	struct node *node = call->rpc->node;
	struct reading reading;

	if (node_read(node, key, node_height(node, config->commitment), &reading))
		return write_account(call->out, config, &reading, call->err);
	evbuffer_add(call->out, "null", 4);
	return 0;
}

static int get_account_info(struct call *call)
{
	struct read_config config;
	uint8_t key[PUBKEY_LEN];

	if (json_array_size(call->params) < 1)
		return call_missing(call, 1);
	if (read_key(call_param(call, 0), key, call->err) != 0 ||
	    call_config(call, 1, &config) != 0)
		return -1;
	call_begin_context(call, &config);
	if (write_key_or_null(call, &config, key) != 0)
		return -1;
	call_end_context(call);
	return 0;
}

static int get_multiple_accounts(struct call *call)
{
	const json_t *keys = call_param(call, 0), *item;
	struct read_config config;
	uint8_t key[PUBKEY_LEN];
	size_t i;

	if (!json_is_array(keys))
		return call_missing(call, 1);
	if (json_array_size(keys) > KEYS_MAX)
		return rpc_fail(
		    call->err, RPC_INVALID_PARAMS, "Too many inputs provided; max %d", KEYS_MAX);
	if (call_config(call, 1, &config) != 0)
		return -1;
	call_begin_context(call, &config);
	evbuffer_add(call->out, "[", 1);
	json_array_foreach(keys, i, item)
	{
		evbuffer_add(call->out, ",", i > 0);
		if (read_key(item, key, call->err) != 0 ||
		    write_key_or_null(call, &config, key) != 0)
			return -1;
	}
	evbuffer_add(call->out, "]", 1);
	call_end_context(call);
	return 0;
}

static int write_program_accounts(
    struct call *call, const struct read_config *config, const uint8_t *program)
{
	struct node *node = call->rpc->node;
	uint64_t height = node_height(node, config->commitment);
	char text[PUBKEY_TEXT_MAX + 1];
	struct account *const *accounts;
	size_t n = chain_accounts(node->chain, &accounts), written = 0;
	struct reading reading;

	for (size_t i = 0; i < n; i++) {
		if (!node_read(node, accounts[i]->key, height, &reading) ||
		    memcmp(reading.program, program, PUBKEY_LEN) != 0 ||
		    !read_config_matches(config, &reading))
			continue;
		evbuffer_add_printf(call->out,
		    "%s{\"pubkey\":\"%s\",\"account\":", written++ ? "," : "",
		    pubkey_text(reading.key, text));
		if (write_account(call->out, config, &reading, call->err) != 0)
			return -1;
		evbuffer_add(call->out, "}", 1);
	}
	return 0;
}

static int get_program_accounts(struct call *call)
{
	struct read_config config;
	uint8_t program[PUBKEY_LEN];

	if (json_array_size(call->params) < 1)
		return call_missing(call, 1);
	if (read_key(call_param(call, 0), program, call->err) != 0 ||
	    call_config(call, 1, &config) != 0)
		return -1;
	if (config.with_context)
		call_begin_context(call, &config);
	evbuffer_add(call->out, "[", 1);
	if (write_program_accounts(call, &config, program) != 0)
		return -1;
	evbuffer_add(call->out, "]", 1);
	if (config.with_context)
		call_end_context(call);
	return 0;
}

static int get_balance(struct call *call)
{
	struct node *node = call->rpc->node;
	struct read_config config;
	struct reading reading;
	uint8_t key[PUBKEY_LEN];

	if (json_array_size(call->params) < 1)
		return call_missing(call, 1);
	if (read_key(call_param(call, 0), key, call->err) != 0 ||
	    call_config(call, 1, &config) != 0)
		return -1;
	call_begin_context(call, &config);
	call_write_u64(call, node_read(node, key, node_height(node, config.commitment), &reading)
				 ? reading.lamports
				 : 0);
	call_end_context(call);
	return 0;
}

static int get_slot(struct call *call)
{
	struct read_config config;

	if (call_config(call, 0, &config) != 0)
		return -1;
	return call_write_u64(call, node_slot(call->rpc->node, config.commitment));
}

static int get_block_height(struct call *call)
{
	struct read_config config;

	if (call_config(call, 0, &config) != 0)
		return -1;
	return call_write_u64(
	    call, node_height(call->rpc->node, config.commitment) + call->rpc->node->faults.high);
}

static int get_genesis_hash(struct call *call)
{
	char text[PUBKEY_TEXT_MAX + 1];

	evbuffer_add_printf(call->out, "\"%s\"", pubkey_text(call->rpc->genesis, text));
	return 0;
}

static int get_health(struct call *call)
{
	struct node *node = call->rpc->node;
	uint64_t behind = node->faults.lag + node->faults.lower;

	if (behind < UNHEALTHY_BEHIND) {
		evbuffer_add_printf(call->out, "\"ok\"");
		return 0;
	}
	rpc_fail(
	    call->err, RPC_UNHEALTHY, "Node is behind by %llu slots", (unsigned long long)behind);
	evutil_snprintf(call->err->data, sizeof(call->err->data), "{\"numSlotsBehind\":%llu}",
	    (unsigned long long)behind);
	return -1;
}

static int get_version(struct call *call)
{
	evbuffer_add_printf(
	    call->out, "{\"feature-set\":3640012085,\"solana-core\":\"" RPC_API_VERSION "\"}");
	return 0;
}

static int get_minimum_balance(struct call *call)
{
	const json_t *len = call_param(call, 0);

	if (!json_is_integer(len) || json_integer_value(len) < 0 ||
	    json_integer_value(len) > 10 * 1024 * 1024)
		return rpc_fail(call->err, RPC_INVALID_PARAMS, "Invalid params: expected usize.");
	return call_write_u64(call, rent_exempt((size_t)json_integer_value(len)));
}

static int get_epoch_info(struct call *call)
{
	struct node *node = call->rpc->node;
	struct read_config config;
	uint64_t height, slot;

	if (call_config(call, 0, &config) != 0)
		return -1;
	height = node_height(node, config.commitment);
	slot = node_slot(node, config.commitment);
	evbuffer_add_printf(call->out,
	    "{\"absoluteSlot\":%llu,\"blockHeight\":%llu,\"epoch\":%llu,\"slotIndex\":%llu,"
	    "\"slotsInEpoch\":%u,"
	    "\"transactionCount\":%llu}",
	    (unsigned long long)slot, (unsigned long long)height,
	    (unsigned long long)slot / SLOTS_PER_EPOCH, (unsigned long long)slot % SLOTS_PER_EPOCH,
	    SLOTS_PER_EPOCH, (unsigned long long)height);
	return 0;
}

static const struct {
	const char *name;
	rpc_method method;
} methods[] = {
    {"getAccountInfo", get_account_info},
    {"getMultipleAccounts", get_multiple_accounts},
    {"getProgramAccounts", get_program_accounts},
    {"getBalance", get_balance},
    {"getSlot", get_slot},
    {"getBlockHeight", get_block_height},
    {"getLatestBlockhash", rpc_get_latest_blockhash},
    {"isBlockhashValid", rpc_is_blockhash_valid},
    {"getFeeForMessage", rpc_get_fee_for_message},
    {"simulateTransaction", rpc_simulate_transaction},
    {"sendTransaction", rpc_send_transaction},
    {"getSignatureStatuses", rpc_get_signature_statuses},
    {"getSignaturesForAddress", rpc_get_signatures_for_address},
    {"getTokenAccountsByOwner", rpc_get_token_accounts_by_owner},
    {"getGenesisHash", get_genesis_hash},
    {"getHealth", get_health},
    {"getVersion", get_version},
    {"getMinimumBalanceForRentExemption", get_minimum_balance},
    {"getEpochInfo", get_epoch_info},
};

static int call_method(struct call *call, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (strcmp(methods[i].name, name) == 0)
			return methods[i].method(call);
	return rpc_fail(call->err, RPC_NO_METHOD, "Method not found");
}

/* another id than the one that was sent, of the same type where it can be */
static json_t *told_id(const struct node *node, const json_t *id)
{
	/* a message with an integer beyond 2^63 is read with reals throughout */
	if (json_is_real(id) && json_real_value(id) < 0x1p53 &&
	    json_real_value(id) == (double)(json_int_t)json_real_value(id))
		return json_integer((json_int_t)json_real_value(id) + node->faults.wrong_id);
	if (!node->faults.wrong_id)
		return json_deep_copy(id);
	return json_is_integer(id) ? json_integer(json_integer_value(id) + 1)
				   : json_string("another");
}

static bool answer_one(struct rpc *rpc, const json_t *message, struct evbuffer *out)
{
	struct evbuffer *result scoped_evbuffer = evbuffer_new();
	struct rpc_error err = {0};
	struct rpc_request request;
	json_t *id;
	int failed = rpc_request_read(message, &request, &err);

	if (!failed) {
		struct call call = {
		    .rpc = rpc, .params = request.params, .out = result, .err = &err};
		failed = call_method(&call, request.method);
		if (!request.id)
			return false;
	}
	id = told_id(rpc->node, request.id);
	if (failed)
		rpc_write_error(out, id, &err);
	else
		rpc_write_result(out, id, result);
	json_decref(id);
	return true;
}

void rpc_answer(struct rpc *rpc, const json_t *message, struct evbuffer *out)
{
	struct evbuffer *batch scoped_evbuffer = evbuffer_new();
	const json_t *item;
	size_t i;

	if (!json_is_array(message) || json_array_size(message) == 0) {
		answer_one(rpc, message, out);
		return;
	}
	json_array_foreach(message, i, item)
	{
		struct evbuffer *one scoped_evbuffer = evbuffer_new();
		if (!answer_one(rpc, item, one))
			continue;
		evbuffer_add(batch, ",", evbuffer_get_length(batch) > 0);
		evbuffer_add_buffer(batch, one);
	}
	if (evbuffer_get_length(batch) == 0)
		return;
	evbuffer_add(out, "[", 1);
	evbuffer_add_buffer(out, batch);
	evbuffer_add(out, "]", 1);
}

void rpc_answer_unparsable(struct evbuffer *out)
{
	struct rpc_error err;

	rpc_fail(&err, RPC_PARSE_ERROR, "Parse error");
	rpc_write_error(out, NULL, &err);
}
