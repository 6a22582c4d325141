/* Methods about transactions. Shapes and messages as in Agave's rpc/src/rpc.rs. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "tests/devchain/rpc_call.h"

#define RPC_PREFLIGHT (-32002)
#define RPC_SIGNATURE (-32003)
#define RPC_NO_HISTORY (-32011)
#define BASE64_MAX 1644
#define BASE58_MAX 1683
#define STATUSES_MAX 256
#define SIGNATURES_MAX 1000
#define STATUS_BLOCKS 300u /* how far back statuses are found without looking into the history */

static const struct bank *bank_of(const struct call *call)
{
	return call->rpc->bank;
}

static const char *choice_of(const json_t *config, const char *name, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(config, name));

	return text ? text : otherwise;
}

/* ---- blockhashes ---- */

static void write_blockhash(struct call *call, uint64_t height)
{
	uint8_t hash[PUBKEY_LEN];
	char text[PUBKEY_TEXT_MAX + 1];
	uint64_t last_valid = height + BANK_BLOCKHASH_LIFE + call->rpc->node->faults.high;

	bank_blockhash(bank_of(call), height, hash);
	evbuffer_add_printf(call->out, "{\"blockhash\":\"%s\",\"lastValidBlockHeight\":%llu}",
	    pubkey_text(hash, text), (unsigned long long)last_valid);
}

int rpc_get_latest_blockhash(struct call *call)
{
	struct read_config config;

	if (call_config(call, 0, &config) != 0)
		return -1;
	call_begin_context(call, &config);
	write_blockhash(call, node_height(call->rpc->node, config.commitment));
	call_end_context(call);
	return 0;
}

int rpc_is_blockhash_valid(struct call *call)
{
	struct read_config config;
	uint8_t hash[PUBKEY_LEN];

	if (json_array_size(call->params) < 1)
		return call_missing(call, 1);
	if (read_key(call_param(call, 0), hash, call->err) != 0 ||
	    call_config(call, 1, &config) != 0)
		return -1;
	call_begin_context(call, &config);
	evbuffer_add_printf(call->out, "%s",
	    bank_is_recent(bank_of(call), hash, node_height(call->rpc->node, config.commitment))
		? "true"
		: "false");
	call_end_context(call);
	return 0;
}

/* ---- reading what was sent ---- */

static int decode_base64(struct call *call, const char *text, uint8_t *bytes, size_t *len_r)
{
	if (strlen(text) > BASE64_MAX)
		return rpc_fail(call->err, RPC_INVALID_PARAMS,
		    "base64 encoded too large: %zu bytes (max: encoded/raw %d/%d)", strlen(text),
		    BASE64_MAX, SOLANA_TX_MAX);
	if (sodium_base642bin(bytes, SOLANA_TX_MAX, text, strlen(text), NULL, len_r, NULL,
		sodium_base64_VARIANT_ORIGINAL) != 0)
		return rpc_fail(call->err, RPC_INVALID_PARAMS, "invalid base64 encoding");
	return 0;
}

static int decode(struct call *call, const char *encoding, uint8_t *bytes, size_t *len_r)
{
	const char *text = json_string_value(call_param(call, 0));

	if (!text)
		return rpc_fail(call->err, RPC_INVALID_PARAMS,
		    "Invalid params: invalid type, expected a string.");
	if (strcmp(encoding, "base64") != 0)
		return rpc_fail(call->err, RPC_INVALID_PARAMS,
		    "unsupported encoding: %s. Supported encodings: base64", encoding);
	return decode_base64(call, text, bytes, len_r);
}

static int read_transaction(
    struct call *call, const char *encoding, uint8_t *bytes, struct solana_tx *tx)
{
	struct error why = {0};
	size_t len = 0;

	if (decode(call, encoding, bytes, &len) != 0)
		return -1;
	if (solana_tx_parse(bytes, len, tx, &why) != 0)
		return rpc_fail(call->err, RPC_INVALID_PARAMS,
		    "failed to deserialize solana_transaction::versioned::VersionedTransaction: %s",
		    why.text);
	return 0;
}

int rpc_get_fee_for_message(struct call *call)
{
	struct read_config config;
	struct solana_tx tx;
	struct run run = {0};
	struct error why = {0};
	uint8_t bytes[SOLANA_TX_MAX];
	size_t len = 0;

	if (json_array_size(call->params) < 1)
		return call_missing(call, 1);
	if (decode(call, "base64", bytes, &len) != 0 || call_config(call, 1, &config) != 0)
		return -1;
	if (solana_tx_parse_message(bytes, len, &tx, &why) != 0)
		return rpc_fail(call->err, RPC_INVALID_PARAMS,
		    "failed to deserialize solana_message::versions::VersionedMessage: %s",
		    why.text);
	call_begin_context(call, &config);
	if (run_fee(&run, &tx) == 0 && bank_is_recent(bank_of(call), tx.blockhash,
					   node_height(call->rpc->node, config.commitment)))
		call_write_u64(call, run.fee);
	else
		evbuffer_add_printf(call->out, "null");
	call_end_context(call);
	return 0;
}

/* ---- simulateTransaction ---- */

static const struct run_account *find_after(const struct run *run, const uint8_t *key)
{
	for (size_t i = 0; i < run->n; i++)
		if (memcmp(run->account[i].key, key, PUBKEY_LEN) == 0)
			return &run->account[i];
	return NULL;
}

static int write_after(
    struct call *call, const struct run *run, const uint8_t *key, enum commitment commitment)
{
	const struct read_config as = {.encoding = ENCODING_BASE64};
	const struct run_account *after = find_after(run, key);
	struct node *node = call->rpc->node;
	struct reading reading = {.key = key};
	bool exists;

	if (after) {
		exists = after->state.lamports > 0;
		reading.program = after->state.program;
		reading.data = after->state.data;
		reading.len = after->state.len;
		reading.lamports = after->state.lamports;
	} else {
		exists = node_read(node, key, node_height(node, commitment), &reading);
	}
	if (exists)
		return write_account(call->out, &as, &reading, call->err);
	evbuffer_add_printf(call->out, "null");
	return 0;
}

static int write_accounts_after(
    struct call *call, const struct run *run, const json_t *addresses, enum commitment commitment)
{
	const json_t *item;
	uint8_t key[PUBKEY_LEN];
	size_t i;

	if (!json_is_array(addresses) || run->error[0]) {
		evbuffer_add_printf(call->out, "null");
		return 0;
	}
	evbuffer_add_printf(call->out, "[");
	json_array_foreach(addresses, i, item)
	{
		evbuffer_add(call->out, ",", i > 0);
		if (read_key(item, key, call->err) != 0 ||
		    write_after(call, run, key, commitment) != 0)
			return -1;
	}
	evbuffer_add_printf(call->out, "]");
	return 0;
}

/* A node that lies says that all is well, and changes nothing. */
static void lie(struct run *run)
{
	for (size_t i = 0; i < run->n; i++) {
		account_state_clear(&run->account[i].state);
		account_state_copy(&run->account[i].before, &run->account[i].state);
	}
	run->error[0] = '\0';
	run->logs_len = 0;
	run->logs[0] = '\0';
	run_log(run, "Program log: all is well");
}

static int write_simulation(
    struct call *call, struct run *run, const struct read_config *config, const json_t *how)
{
	bool replaced = json_is_true(json_object_get(how, "replaceRecentBlockhash"));

	if (call->rpc->node->faults.false_simulation)
		lie(run);
	call_begin_context(call, config);
	evbuffer_add_printf(call->out, "{\"accounts\":");
	if (write_accounts_after(call, run,
		json_object_get(json_object_get(how, "accounts"), "addresses"),
		config->commitment) != 0)
		return -1;
	evbuffer_add_printf(call->out,
	    ",\"err\":%s,\"innerInstructions\":null,\"loadedAccountsDataSize\":0,\"logs\":[%s],"
	    "\"replacementBlockhash\":",
	    run->error[0] ? run->error : "null", run->logs);
	if (replaced)
		write_blockhash(call, node_height(call->rpc->node, config->commitment));
	else
		evbuffer_add_printf(call->out, "null");
	evbuffer_add_printf(call->out, ",\"returnData\":null,\"unitsConsumed\":%llu}",
	    (unsigned long long)run->units);
	call_end_context(call);
	return 0;
}

int rpc_simulate_transaction(struct call *call)
{
	const json_t *how = call_param(call, 1);
	bool verify = json_is_true(json_object_get(how, "sigVerify"));
	bool fresh = json_is_true(json_object_get(how, "replaceRecentBlockhash"));
	struct read_config config;
	uint8_t bytes[SOLANA_TX_MAX];
	struct solana_tx tx;
	struct run run;

	if (json_array_size(call->params) < 1)
		return call_missing(call, 1);
	if (read_transaction(call, choice_of(how, "encoding", "base58"), bytes, &tx) != 0 ||
	    call_config(call, 1, &config) != 0)
		return -1;
	if (verify && fresh)
		return rpc_fail(call->err, RPC_INVALID_PARAMS,
		    "sigVerify may not be used with replaceRecentBlockhash");
	if (verify && solana_tx_verify(&tx, NULL) != 0)
		return rpc_fail(
		    call->err, RPC_SIGNATURE, "Transaction signature verification failure");
	bank_simulate(
	    bank_of(call), &tx, node_height(call->rpc->node, config.commitment), fresh, &run);
	int result = write_simulation(call, &run, &config, how);
	run_close(&run);
	return result;
}

/* ---- sendTransaction ---- */

static const char *describe(const struct run *run)
{
	if (strcmp(run->error, "\"BlockhashNotFound\"") == 0)
		return "Blockhash not found";
	if (strcmp(run->error, "\"AlreadyProcessed\"") == 0)
		return "This transaction has already been processed";
	if (strcmp(run->error, "\"AccountNotFound\"") == 0)
		return "Attempt to debit an account but found no record of a prior credit.";
	return "Error processing transaction";
}

static int refuse_preflight(struct call *call, const struct run *run)
{
	rpc_fail(call->err, RPC_PREFLIGHT, "Transaction simulation failed: %s", describe(run));
	evutil_snprintf(call->err->data, sizeof(call->err->data),
	    "{\"accounts\":null,\"err\":%s,\"innerInstructions\":null,\"loadedAccountsDataSize\":0,"
	    "\"logs\":[%s],\"replacementBlockhash\":null,\"returnData\":null,\"unitsConsumed\":%"
	    "llu}",
	    run->error, run->logs, (unsigned long long)run->units);
	return -1;
}

static int preflight(struct call *call, const struct solana_tx *tx, const json_t *how)
{
	static const char *const names[COMMITMENTS] = {"processed", "confirmed", "finalized"};
	const char *name = choice_of(how, "preflightCommitment", "finalized");
	enum commitment commitment = FINALIZED;
	struct run run;
	int result = 0;

	for (size_t i = 0; i < COMMITMENTS; i++)
		if (strcmp(names[i], name) == 0)
			commitment = (enum commitment)i;
	if (solana_tx_verify(tx, NULL) != 0)
		return rpc_fail(
		    call->err, RPC_SIGNATURE, "Transaction signature verification failure");
	bank_simulate(bank_of(call), tx, node_height(call->rpc->node, commitment), false, &run);
	if (call->rpc->node->faults.false_simulation)
		lie(&run);
	if (run.error[0])
		result = refuse_preflight(call, &run);
	run_close(&run);
	return result;
}

int rpc_send_transaction(struct call *call)
{
	const json_t *how = call_param(call, 1);
	char text[SIGNATURE_TEXT_MAX + 1];
	uint8_t bytes[SOLANA_TX_MAX];
	struct solana_tx tx;

	if (json_array_size(call->params) < 1)
		return call_missing(call, 1);
	if (read_transaction(call, choice_of(how, "encoding", "base58"), bytes, &tx) != 0)
		return -1;
	if (!json_is_true(json_object_get(how, "skipPreflight")) && preflight(call, &tx, how) != 0)
		return -1;
	/* what does not land is lost without a word, as on a real node */
	if (!call->rpc->node->faults.lose_sent)
		bank_send(call->rpc->bank, &tx);
	base58_encode(tx.signatures, SIGNATURE_LEN, text, sizeof(text));
	evbuffer_add_printf(call->out, "\"%s\"", text);
	return 0;
}

/* ---- what became of them ---- */

static const char *level_of(const struct node *node, uint64_t slot)
{
	if (slot <= chain_block(node->chain, node_height(node, FINALIZED)).slot)
		return "finalized";
	return slot <= chain_block(node->chain, node_height(node, CONFIRMED)).slot ? "confirmed"
										   : "processed";
}

/* What this node has seen by now. */
static bool is_seen(const struct node *node, const struct landed *landed, enum commitment by)
{
	return landed && landed->slot <= chain_block(node->chain, node_height(node, by)).slot;
}

static const struct landed *newest(const struct call *call)
{
	const struct landed *all;
	size_t n = chain_landed(call->rpc->node->chain, &all);

	while (n > 0 && !is_seen(call->rpc->node, &all[n - 1], PROCESSED))
		n--;
	return n > 0 ? &all[n - 1] : NULL;
}

static bool is_old(const struct node *node, const struct landed *landed)
{
	return landed->slot + STATUS_BLOCKS <
	       chain_block(node->chain, node_height(node, PROCESSED)).slot;
}

static void write_status(struct call *call, const struct landed *landed)
{
	const struct node *node = call->rpc->node;
	const char *level = level_of(node, landed->slot);
	uint64_t tip = chain_block(node->chain, node_height(node, PROCESSED)).slot;

	evbuffer_add_printf(call->out, "{\"confirmationStatus\":\"%s\",\"confirmations\":", level);
	if (level[0] == 'f')
		evbuffer_add_printf(call->out, "null");
	else
		call_write_u64(call, tip - landed->slot);
	evbuffer_add_printf(call->out, ",\"err\":%s,\"slot\":%llu,\"status\":{\"%s\":%s}}",
	    landed->error[0] ? landed->error : "null",
	    (unsigned long long)node_told_slot(node, landed->slot), landed->error[0] ? "Err" : "Ok",
	    landed->error[0] ? landed->error : "null");
}

static int read_signature(struct call *call, const json_t *value, uint8_t *signature)
{
	const char *text = json_string_value(value);

	if (text && base58_decode(text, signature, SIGNATURE_LEN) == 0)
		return 0;
	return rpc_fail(call->err, RPC_INVALID_PARAMS, "Invalid param: Invalid");
}

static int write_one_status(struct call *call, const json_t *signature, bool history)
{
	const struct node *node = call->rpc->node;
	uint8_t bytes[SIGNATURE_LEN];

	if (read_signature(call, signature, bytes) != 0)
		return -1;
	const struct landed *landed =
	    node->faults.other_status ? newest(call) : chain_find_landed(node->chain, bytes);
	if (is_seen(node, landed, PROCESSED) && (history || !is_old(node, landed)))
		write_status(call, landed);
	else
		evbuffer_add_printf(call->out, "null");
	return 0;
}

static int get_statuses(struct call *call)
{
	const json_t *signatures = call_param(call, 0), *item;
	bool history =
	    json_is_true(json_object_get(call_param(call, 1), "searchTransactionHistory"));
	const struct read_config config = {.commitment = PROCESSED};
	size_t i;

	if (!json_is_array(signatures))
		return call_missing(call, 1);
	if (history && call->rpc->node->faults.no_history)
		return rpc_fail(call->err, RPC_NO_HISTORY,
		    "Transaction history is not available from this node");
	if (json_array_size(signatures) > STATUSES_MAX)
		return rpc_fail(call->err, RPC_INVALID_PARAMS, "Too many inputs provided; max %d",
		    STATUSES_MAX);
	call_begin_context(call, &config);
	evbuffer_add_printf(call->out, "[");
	json_array_foreach(signatures, i, item)
	{
		evbuffer_add(call->out, ",", i > 0);
		if (write_one_status(call, item, history) != 0)
			return -1;
	}
	evbuffer_add_printf(call->out, "]");
	call_end_context(call);
	return 0;
}

int rpc_get_signature_statuses(struct call *call)
{
	struct faults *faults = &call->rpc->node->faults;

	faults->lag += faults->old_statuses;
	int result = get_statuses(call);
	faults->lag -= faults->old_statuses;
	return result;
}

struct listing {
	uint8_t key[PUBKEY_LEN], before[SIGNATURE_LEN], until[SIGNATURE_LEN];
	bool has_before, has_until;
	size_t limit;
	enum commitment commitment;
};

static int read_listing(struct call *call, struct listing *listing)
{
	const json_t *how = call_param(call, 1), *limit = json_object_get(how, "limit");
	const json_t *before = json_object_get(how, "before"),
		     *until = json_object_get(how, "until");
	struct read_config config;

	*listing = (struct listing){.limit = SIGNATURES_MAX};
	if (read_key(call_param(call, 0), listing->key, call->err) != 0 ||
	    call_config(call, 1, &config) != 0)
		return -1;
	listing->commitment = config.commitment;
	if (config.commitment == PROCESSED)
		return rpc_fail(call->err, RPC_INVALID_PARAMS,
		    "Method does not support commitment below `confirmed`");
	if (limit && (json_integer_value(limit) < 1 || json_integer_value(limit) > SIGNATURES_MAX))
		return rpc_fail(
		    call->err, RPC_INVALID_PARAMS, "Invalid limit; max %d", SIGNATURES_MAX);
	if (limit)
		listing->limit = (size_t)json_integer_value(limit);
	listing->has_before = json_is_string(before);
	listing->has_until = json_is_string(until);
	if (listing->has_before && read_signature(call, before, listing->before) != 0)
		return -1;
	return listing->has_until ? read_signature(call, until, listing->until) : 0;
}

static bool names(const struct landed *landed, const uint8_t *key)
{
	for (size_t i = 0; i < landed->nkeys; i++)
		if (memcmp(landed->keys + i * PUBKEY_LEN, key, PUBKEY_LEN) == 0)
			return true;
	return false;
}

static uint64_t time_of(const struct chain *chain, const struct node *node, uint64_t slot)
{
	for (uint64_t height = node_height(node, PROCESSED); height > 1; height--) {
		struct block block = chain_block(chain, height);
		if (block.slot <= slot)
			return block.time_ms / 1000;
	}
	return 0;
}

static void write_entry(struct call *call, const struct landed *landed)
{
	const struct node *node = call->rpc->node;
	char text[SIGNATURE_TEXT_MAX + 1];

	base58_encode(landed->signature, SIGNATURE_LEN, text, sizeof(text));
	evbuffer_add_printf(call->out,
	    "{\"blockTime\":%llu,\"confirmationStatus\":\"%s\",\"err\":%s,\"memo\":null,"
	    "\"signature\":\"%s\",\"slot\":%llu}",
	    (unsigned long long)time_of(node->chain, node, landed->slot),
	    level_of(node, landed->slot), landed->error[0] ? landed->error : "null", text,
	    (unsigned long long)node_told_slot(node, landed->slot));
}

int rpc_get_signatures_for_address(struct call *call)
{
	const struct node *node = call->rpc->node;
	const struct landed *all;
	struct listing listing;
	size_t n = chain_landed(node->chain, &all), written = 0;

	if (json_array_size(call->params) < 1)
		return call_missing(call, 1);
	if (read_listing(call, &listing) != 0)
		return -1;
	evbuffer_add_printf(call->out, "[");
	bool begun = !listing.has_before;
	for (size_t i = all ? n : 0; i-- > 0 && written < listing.limit;) {
		if (listing.has_until &&
		    memcmp(all[i].signature, listing.until, SIGNATURE_LEN) == 0)
			break;
		if (begun && names(&all[i], listing.key) &&
		    is_seen(node, &all[i], listing.commitment)) {
			evbuffer_add(call->out, ",", written++ > 0);
			write_entry(call, &all[i]);
		}
		begun |= memcmp(all[i].signature, listing.before, SIGNATURE_LEN) == 0;
	}
	evbuffer_add_printf(call->out, "]");
	return 0;
}
