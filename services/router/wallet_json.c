#include "services/router/wallet_json.h"

#include <inttypes.h>
#include <stddef.h>
#include <sodium.h>
#include <string.h>

#include "common/base58.h"
#include "services/router/api.h"
#include "services/router/fields.h"

/* ---- what is asked for ---- */

enum member_bit {
	TO = 1 << 0,
	LAMPORTS = 1 << 1,
	AMOUNT = 1 << 2,
	MINT = 1 << 3,
	ACCOUNT = 1 << 4,
	NFT = 1 << 5,
	RECORD = 1 << 6,
	ACCOUNTS = 1 << 7,
	INSTRUCTIONS = 1 << 8,
	OFF_CURVE = 1 << 9,
	DANGEROUS = 1 << 10,
	PROOF = 1 << 11,
	PROOF_MESSAGE = 1 << 12,
};

/* What agent-wallet takes for each operation. `one_of`: one of these, and no two. */
static const struct operation {
	const char *name;
	unsigned must, may, one_of;
} operations[] = {
    {"transfer_sol", TO | LAMPORTS, OFF_CURVE, 0},
    {"transfer_token", TO | MINT | AMOUNT, ACCOUNT | OFF_CURVE, 0},
    {"transfer_nft", TO | NFT, OFF_CURVE, 0},
    {"close_accounts", ACCOUNTS, 0, 0},
    {"revoke_delegate", 0, 0, RECORD | ACCOUNT},
    {"instructions", INSTRUCTIONS | DANGEROUS | PROOF, PROOF_MESSAGE, 0},
};

struct member {
	const char *name;
	unsigned bit;
	int (*read)(const struct member *member, const json_t *value, struct wallet_build_req *req,
	    struct error *err);
	size_t at; /* in the request, of texts and flags */
};

static int refuse(const char *name, const char *what, struct error *err)
{
	return error_refuse(err, ERR_INVALID, "body_invalid", "%s is not %s", name, what);
}

static int copy_key(
    const char *name, const json_t *value, char to[PUBKEY_TEXT_MAX + 1], struct error *err)
{
	uint8_t key[PUBKEY_LEN];
	const char *text = json_string_value(value);

	if (!text || pubkey_parse(text, key) != 0)
		return error_refuse(err, ERR_INVALID, "address_invalid",
		    "%s is not an address: 32 bytes in base58", name);
	memcpy(to, text, strlen(text) + 1);
	return 0;
}

static int read_key(const struct member *member, const json_t *value, struct wallet_build_req *req,
    struct error *err)
{
	return copy_key(member->name, value, (char *)req + member->at, err);
}

/* Without sign, point, exponent or zeros before it. */
static bool parse_amount(const char *text, uint64_t *amount_r)
{
	*amount_r = 0;
	for (const char *at = text; *at; at++)
		if (*at < '0' || *at > '9' || __builtin_mul_overflow(*amount_r, 10, amount_r) ||
		    __builtin_add_overflow(*amount_r, (uint64_t)(*at - '0'), amount_r))
			return false;
	return text[0] && (text[0] != '0' || !text[1]);
}

static int read_amount(const struct member *member, const json_t *value,
    struct wallet_build_req *req, struct error *err)
{
	const char *text = json_string_value(value);

	if (json_is_integer(value) && json_integer_value(value) >= 0)
		req->amount = (uint64_t)json_integer_value(value);
	else if (text && strcmp(text, "all") == 0)
		req->all = true;
	else if (!text || !parse_amount(text, &req->amount))
		return refuse(member->name,
		    "a whole number from 0 to 18446744073709551615, as integer or in text, or "
		    "\"all\"",
		    err);
	return 0;
}

static int read_flag(const struct member *member, const json_t *value, struct wallet_build_req *req,
    struct error *err)
{
	if (!json_is_boolean(value))
		return refuse(member->name, "true or false", err);
	*(bool *)((char *)req + member->at) = json_is_true(value);
	return 0;
}

static int read_accounts(const struct member *member, const json_t *value,
    struct wallet_build_req *req, struct error *err)
{
	size_t n = json_array_size(value);

	if (n == 0 || n > ARRAY_LEN(req->keys.item))
		return refuse(member->name, "a list of 1 to 8 addresses", err);
	for (size_t i = 0; i < n; i++)
		if (copy_key("an account", json_array_get(value, i), req->keys.item[i].key, err) !=
		    0)
			return -1;
	req->keys.len = n;
	return 0;
}

/* {"address", "signer"?, "writable"?} */
static int read_meta(const json_t *value, struct wallet_build_req *req, struct error *err)
{
	const char *name;
	json_t *part;

	if (!json_is_object(value) || req->metas.len == ARRAY_LEN(req->metas.item))
		return refuse("accounts", "a list of objects, 40 in all instructions", err);
	struct metas_item *meta = &req->metas.item[req->metas.len++];
	/* jansson has no const iteration */
	json_object_foreach((json_t *)(uintptr_t)value, name, part)
	{
		bool is_signer = strcmp(name, "signer") == 0;
		if (strcmp(name, "address") == 0)
			continue;
		if (!json_is_boolean(part) || (!is_signer && strcmp(name, "writable") != 0))
			return refuse("an account", "{address, signer?, writable?}", err);
		*(is_signer ? &meta->signs : &meta->written) = json_is_true(part);
	}
	return copy_key("address", json_object_get(value, "address"), meta->key, err);
}

/* {"program", "accounts": [...], "data": base64} */
static int read_instruction(const json_t *value, struct wallet_build_req *req, struct error *err)
{
	struct instructions_item *to = &req->instructions.item[req->instructions.len++];
	const json_t *accounts = json_object_get(value, "accounts");
	const char *data = json_string_value(json_object_get(value, "data"));

	if (json_object_size(value) != 3 || !json_is_array(accounts) || !data)
		return refuse("an instruction", "{program, accounts, data} and nothing else", err);
	if (copy_key("program", json_object_get(value, "program"), to->program, err) != 0 ||
	    fields_base64("data", data, to->data.data, sizeof(to->data.data), &to->data.len, err) !=
		0)
		return -1;
	to->accounts = json_array_size(accounts);
	for (size_t i = 0; i < to->accounts; i++)
		if (read_meta(json_array_get(accounts, i), req, err) != 0)
			return -1;
	return 0;
}

static int read_instructions(const struct member *member, const json_t *value,
    struct wallet_build_req *req, struct error *err)
{
	size_t n = json_array_size(value);

	if (n == 0 || n > ARRAY_LEN(req->instructions.item))
		return refuse(member->name, "a list of 1 to 4 instructions", err);
	for (size_t i = 0; i < n; i++)
		if (read_instruction(json_array_get(value, i), req, err) != 0)
			return -1;
	return 0;
}

static int read_nonce(const struct member *member, const json_t *value,
    struct wallet_build_req *req, struct error *err)
{
	size_t len = json_string_length(value);

	if (len == 0 || len >= sizeof(req->nonce))
		return refuse(member->name, "text of 1 to 64 bytes", err);
	memcpy(req->nonce, json_string_value(value), len + 1);
	return 0;
}

static int read_signature(const struct member *member, const json_t *value,
    struct wallet_build_req *req, struct error *err)
{
	(void)member;
	req->signature.len = SIGNATURE_LEN;
	return fields_signature(
	    json_is_string(value) ? json_string_value(value) : "", req->signature.data, err);
}

static int read_message(const struct member *member, const json_t *value,
    struct wallet_build_req *req, struct error *err)
{
	if (!json_is_string(value))
		return refuse(member->name, "text", err);
	return fields_base64(member->name, json_string_value(value), req->signed_message.data,
	    sizeof(req->signed_message.data), &req->signed_message.len, err);
}

#define AT(name) offsetof(struct wallet_build_req, name)
static const struct member members[] = {
    {"to", TO, read_key, AT(to)},
    {"lamports", LAMPORTS, read_amount, 0},
    {"amount", AMOUNT, read_amount, 0},
    {"mint", MINT, read_key, AT(mint)},
    {"account", ACCOUNT, read_key, AT(account)},
    {"nft", NFT, read_key, AT(nft)},
    {"record", RECORD, read_key, AT(record)},
    {"accounts", ACCOUNTS, read_accounts, 0},
    {"instructions", INSTRUCTIONS, read_instructions, 0},
    {"allow_off_curve", OFF_CURVE, read_flag, AT(allow_off_curve)},
    {"dangerous", DANGEROUS, read_flag, AT(dangerous)},
    {"nonce", PROOF, read_nonce, 0},
    {"signature", PROOF, read_signature, 0},
    {"signed_message", PROOF_MESSAGE, read_message, 0},
};

static const struct operation *operation_of(const json_t *body)
{
	const char *name = json_string_value(json_object_get(body, "operation"));

	for (size_t i = 0; name && i < ARRAY_LEN(operations); i++)
		if (strcmp(operations[i].name, name) == 0)
			return &operations[i];
	return NULL;
}

int wallet_json_order(const json_t *body, struct wallet_build_req *req, struct error *err)
{
	const struct operation *operation = operation_of(body);
	size_t known = 1; /* the operation itself */
	unsigned chosen = 0;

	if (!operation)
		return error_refuse(err, ERR_INVALID, "operation_invalid",
		    "operation is none of transfer_sol, transfer_token, transfer_nft, "
		    "close_accounts, revoke_delegate, instructions");
	snprintf(req->operation, sizeof(req->operation), "%s", operation->name);
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const struct member *member = &members[i];
		const json_t *value = json_object_get(body, member->name);
		if (!value && operation->must & member->bit)
			return error_refuse(
			    err, ERR_INVALID, "body_invalid", "%s is missing", member->name);
		if (!value ||
		    !((operation->must | operation->may | operation->one_of) & member->bit))
			continue;
		known++;
		chosen += (operation->one_of & member->bit) != 0;
		if (member->read(member, value, req, err) != 0)
			return -1;
	}
	if (operation->one_of && chosen != 1)
		return error_refuse(
		    err, ERR_INVALID, "body_invalid", "either record or account is needed");
	if (json_object_size(body) != known)
		return error_refuse(
		    err, ERR_INVALID, "body_invalid", "a member that this operation does not have");
	return 0;
}

/* ---- what is answered ---- */

static json_t *text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

/* Never more than 20 digits. */
static json_t *amount(uint64_t n)
{
	return json_sprintf("%" PRIu64, n);
}

/* Slots, heights and units: jansson's numbers end earlier; none that is true is that large. */
static json_t *number(uint64_t n)
{
	return json_integer(n < INT64_MAX ? (json_int_t)n : INT64_MAX);
}

static json_t *time_or_null(uint64_t unix_ms)
{
	return unix_ms ? api_time(unix_ms) : json_null();
}

static json_t *lines_json(const struct lines_item *lines, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
		    json_pack("{s:s, s:b}", "text", lines[i].text, "warning", lines[i].warning));
	return list;
}

static json_t *token_json(const struct holdings_item *held)
{
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:b, s:b, s:o, s:o, s:o, s:o}", "account",
	    held->account, "mint", held->mint, "program", held->token_2022 ? "token-2022" : "token",
	    "amount", amount(held->amount), "decimals",
	    held->mint_known ? number(held->decimals) : json_null(), "frozen", held->frozen,
	    "wrapped_sol", held->wrapped, "lamports", amount(held->lamports), "delegate",
	    text_or_null(held->delegate), "delegated_amount", amount(held->delegated),
	    "close_authority", text_or_null(held->closer));
}

static json_t *delegate_json(const struct delegates_item *delegate)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "record", delegate->record, "authority",
	    delegate->authority, "profile", delegate->profile, "age", delegate->age, "warning",
	    delegate->warning);
}

json_t *wallet_json_shown(const struct wallet_show_rsp *shown, const char *hot)
{
	json_t *tokens = json_array(), *delegates = json_array();

	for (size_t i = 0; i < shown->holdings.len; i++)
		json_array_append_new(tokens, token_json(&shown->holdings.item[i]));
	for (size_t i = 0; i < shown->delegates.len; i++)
		json_array_append_new(delegates, delegate_json(&shown->delegates.item[i]));
	json_t *json =
	    json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:o, s:b, s:o}",
		"state", shown->state, "usable", shown->usable, "warnings",
		lines_json(shown->lines.item, shown->lines.len), "address",
		text_or_null(shown->address), "slot", number(shown->slot), "lamports",
		amount(shown->lamports), "rent_exempt_lamports", amount(shown->rent_exempt),
		"tokens", tokens, "more_tokens", shown->more, "identity", shown->identity,
		"execute_frozen", shown->execute_frozen, "delegates", delegates, "more_delegates",
		shown->more_delegates, "nodes", number(shown->nodes));
	if (json && hot)
		json_object_set_new(json, "hot_wallet",
		    hot[0] ? json_pack("{s:s, s:o}", "address", hot, "lamports",
				 amount(shown->hot_lamports))
			   : json_null());
	return json;
}

/* A node's log is text with newlines. */
static json_t *logs_json(const char *logs)
{
	json_t *list = json_array();

	for (size_t len; *logs; logs += len + (logs[len] == '\n')) {
		len = strcspn(logs, "\n");
		json_array_append_new(list, json_stringn(logs, len));
	}
	return list;
}

json_t *wallet_json_built(const struct wallet_build_rsp *built)
{
	char transaction[FIELDS_BASE64_SIZE(CHAIN_TRANSACTION_MAX)];

	sodium_bin2base64(transaction, sizeof(transaction), built->transaction.data,
	    built->transaction.len, sodium_base64_VARIANT_ORIGINAL);
	json_t *simulation = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "node_says",
	    built->sim_node, "error", text_or_null(built->sim_error), "why",
	    text_or_null(built->sim_why), "slot", number(built->sim_slot), "units",
	    number(built->sim_units), "logs", logs_json(built->sim_logs));
	return json_pack("{s:s, s:s, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", built->id,
	    "transaction", transaction, "summary", lines_json(built->lines.item, built->lines.len),
	    "warning", built->warning, "fee_lamports", amount(built->fee_lamports),
	    "execute_lamports", amount(built->execute_lamports), "rent_lamports",
	    amount(built->rent_lamports), "simulation", simulation, "last_valid_block_height",
	    number(built->last_valid), "block_height", number(built->height), "expires_at",
	    api_time(built->expires_ms));
}

json_t *wallet_json_state(const char *id, const struct wallet_status_rsp *state)
{
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o}", "id", id,
	    "operation", state->operation, "state", state->state, "signature",
	    text_or_null(state->signature), "error", text_or_null(state->error), "slot",
	    state->slot ? number(state->slot) : json_null(), "least", text_or_null(state->least),
	    "most", text_or_null(state->most), "nodes_differ", state->differ,
	    "last_valid_block_height", number(state->last_valid), "built_at",
	    api_time(state->built_ms), "sent_at", time_or_null(state->sent_ms));
}

json_t *wallet_json_recent(const struct wallet_recent_rsp *recent)
{
	json_t *list = json_array();

	for (size_t i = 0; i < recent->recents.len; i++) {
		const struct recents_item *r = &recent->recents.item[i];
		json_array_append_new(list,
		    json_pack("{s:s, s:o, s:o, s:o}", "signature", r->signature, "slot",
			number(r->slot), "at",
			r->at && r->at < UINT64_MAX / 1000 ? api_time(r->at * 1000) : json_null(),
			"error", text_or_null(r->error)));
	}
	return json_pack("{s:o}", "transactions", list);
}
