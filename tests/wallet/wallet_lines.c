/* wallet_lines - lets tests in other languages use what services and the command line compose, judge and tell: one JSON object a line in,
 * one out. Bytes are hex, keys base58, numbers above 2^53 not needed.
 *	{"op":"compose","version":"v0","payer":KEY,"blockhash":KEY,"instructions":[...]}	-> {"tx":HEX}
 *	{"op":"accept","built":HEX,"returned":HEX,"max_priority":N,"lighthouse":BOOL}	-> {"ok":true} or {"reason":..,"text":..}
 *	{"op":"summary","tx":HEX,"asset":KEY}	-> {"lines":[{"text":..,"warning":..}]}
 *	{"op":"addresses","wallet":KEY,"asset":KEY,"mint":KEY}	-> {"token":KEY,"token_2022":KEY,"signer":KEY,"profile":KEY,"record":KEY,"identity":KEY}
 * An instruction is {"do":"system_transfer",...} with the builder's arguments by name; "execute":{"asset":KEY,"collection":KEY,
 * "authority":KEY,"record":KEY} wraps it. Wrong input ends the program. */
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/pubkey.h"
#include "common/scoped.h"
#include "common/solana_ix_agent.h"
#include "common/solana_ix_budget.h"
#include "common/solana_ix_core.h"
#include "common/solana_ix_system.h"
#include "common/solana_ix_token.h"
#include "common/solana_message.h"
#include "common/solana_pda.h"
#include "common/solana_program.h"
#include "common/wallet_accept.h"
#include "common/wallet_summary.h"

#define INSTRUCTIONS_MAX 16

struct key {
	uint8_t bytes[PUBKEY_LEN];
	bool given;
};

static struct key key_of(const json_t *object, const char *name)
{
	struct key key = {.given = false};
	const char *text = json_string_value(json_object_get(object, name));

	if (text && pubkey_parse(text, key.bytes) != 0)
		fatal("%s is no key", name);
	key.given = text;
	return key;
}

static const uint8_t *optional(const struct key *key)
{
	return key->given ? key->bytes : NULL;
}

static uint64_t number_of(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

static size_t hex_of(const json_t *object, const char *name, uint8_t *bytes, size_t size)
{
	const char *hex = json_string_value(json_object_get(object, name));
	size_t len = 0;

	if (!hex || sodium_hex2bin(bytes, size, hex, strlen(hex), NULL, &len, NULL) != 0)
		fatal("%s is no hex or too long", name);
	return len;
}

static void token_transfer(const json_t *spec, struct solana_instruction *ix)
{
	struct key program = key_of(spec, "program"), mint = key_of(spec, "mint"),
		   source = key_of(spec, "source"), destination = key_of(spec, "destination"),
		   owner = key_of(spec, "owner");
	const struct solana_token_transfer transfer = {program.bytes, mint.bytes, source.bytes,
	    destination.bytes, owner.bytes, number_of(spec, "amount"),
	    (uint8_t)number_of(spec, "decimals")};

	solana_ix_token_transfer(&transfer, ix);
}

static void core_transfer(const json_t *spec, struct solana_instruction *ix)
{
	struct key asset = key_of(spec, "asset"), collection = key_of(spec, "collection"),
		   payer = key_of(spec, "payer"), authority = key_of(spec, "authority"),
		   new_owner = key_of(spec, "new_owner");
	const struct solana_core_transfer transfer = {
	    asset.bytes, optional(&collection), payer.bytes, optional(&authority), new_owner.bytes};

	solana_ix_core_transfer(&transfer, ix);
}

static void build(const json_t *spec, struct solana_instruction *ix)
{
	const char *what = json_string_value(json_object_get(spec, "do"));
	struct key a = key_of(spec, "from"), b = key_of(spec, "to"),
		   program = key_of(spec, "program"), account = key_of(spec, "account"),
		   owner = key_of(spec, "owner"), mint = key_of(spec, "mint"),
		   asset = key_of(spec, "asset");

	if (!what)
		fatal("an instruction without do");
	if (strcmp(what, "system_transfer") == 0)
		solana_ix_system_transfer(a.bytes, b.bytes, number_of(spec, "lamports"), ix);
	else if (strcmp(what, "token_transfer") == 0)
		token_transfer(spec, ix);
	else if (strcmp(what, "token_close") == 0)
		solana_ix_token_close(program.bytes, account.bytes, b.bytes, owner.bytes, ix);
	else if (strcmp(what, "token_revoke") == 0)
		solana_ix_token_revoke(program.bytes, account.bytes, owner.bytes, ix);
	else if (strcmp(what, "token_create_account") == 0)
		solana_ix_token_create_account(program.bytes, a.bytes, owner.bytes, mint.bytes, ix);
	else if (strcmp(what, "core_transfer") == 0)
		core_transfer(spec, ix);
	else if (strcmp(what, "agent_revoke") == 0)
		solana_ix_agent_revoke(account.bytes, asset.bytes, b.bytes, owner.bytes, ix);
	else if (strcmp(what, "budget_limit") == 0)
		solana_ix_budget_limit((uint32_t)number_of(spec, "units"), ix);
	else if (strcmp(what, "budget_price") == 0)
		solana_ix_budget_price(number_of(spec, "price"), ix);
	else
		fatal("no instruction %s", what);
}

static void build_wrapped(const json_t *spec, const uint8_t *payer, struct solana_instruction *ix)
{
	const json_t *wrap = json_object_get(spec, "execute");
	struct key asset = key_of(wrap, "asset"), collection = key_of(wrap, "collection"),
		   authority = key_of(wrap, "authority"), record = key_of(wrap, "record");
	const struct solana_core_execute execute = {
	    asset.bytes, optional(&collection), payer, optional(&authority), optional(&record)};
	struct solana_instruction inner;
	struct error err;

	if (!wrap) {
		build(spec, ix);
		return;
	}
	build(spec, &inner);
	if (solana_ix_core_execute(&execute, &inner, ix, &err) != 0)
		fatal("%s", err.text);
}

static json_t *compose(const json_t *request)
{
	static struct solana_instruction instructions[INSTRUCTIONS_MAX];
	struct key payer = key_of(request, "payer"), blockhash = key_of(request, "blockhash");
	const json_t *list = json_object_get(request, "instructions");
	const char *version = json_string_value(json_object_get(request, "version"));
	struct solana_message message = {.payer = payer.bytes,
	    .blockhash = blockhash.bytes,
	    .instructions = instructions,
	    .n_instructions = json_array_size(list)};
	char hex[2 * SOLANA_TX_MAX + 1];
	uint8_t tx[SOLANA_TX_MAX];
	struct error err;
	size_t len;

	message.version = version && strcmp(version, "v0") == 0 ? SOLANA_V0 : SOLANA_LEGACY;
	if (message.n_instructions > INSTRUCTIONS_MAX)
		fatal("too many instructions");
	for (size_t i = 0; i < message.n_instructions; i++)
		build_wrapped(json_array_get(list, i), payer.bytes, &instructions[i]);
	if (solana_message_compose(&message, tx, &len, &err) != 0)
		return json_pack("{ss ss}", "reason", err.reason, "text", err.text);
	return json_pack("{ss}", "tx", sodium_bin2hex(hex, sizeof(hex), tx, len));
}

static json_t *accept(const json_t *request)
{
	const struct wallet_terms terms = {number_of(request, "max_priority"),
	    json_is_true(json_object_get(request, "lighthouse"))};
	uint8_t built[2 * SOLANA_TX_MAX], returned[2 * SOLANA_TX_MAX];
	size_t built_len = hex_of(request, "built", built, sizeof(built)),
	       returned_len = hex_of(request, "returned", returned, sizeof(returned));
	struct solana_tx a, b;
	struct error err;

	if (solana_tx_parse(built, built_len, &a, &err) != 0)
		fatal("what was built: %s", err.text);
	if (solana_tx_parse(returned, returned_len, &b, &err) == 0 &&
	    wallet_accept(&a, &b, &terms, &err) == 0)
		return json_pack("{sb}", "ok", 1);
	return json_pack("{ss ss}", "reason", err.reason, "text", err.text);
}

static json_t *summary(const json_t *request)
{
	static struct wallet_summary told;
	struct key asset = key_of(request, "asset");
	const struct wallet_hints hints = {.asset = optional(&asset)};
	uint8_t bytes[2 * SOLANA_TX_MAX];
	size_t len = hex_of(request, "tx", bytes, sizeof(bytes));
	json_t *lines = json_array();
	struct solana_tx tx;
	struct error err;

	if (solana_tx_parse(bytes, len, &tx, &err) != 0)
		fatal("%s", err.text);
	wallet_summary_read(&tx, &hints, &told);
	for (size_t i = 0; i < told.n_lines; i++)
		json_array_append_new(lines, json_pack("{ss sb}", "text", told.lines[i].text,
						 "warning", told.lines[i].warning));
	return json_pack("{so}", "lines", lines);
}

static void put_key(json_t *answer, const char *name, const uint8_t key[PUBKEY_LEN])
{
	char text[PUBKEY_TEXT_MAX + 1];

	json_object_set_new(answer, name, json_string(pubkey_text(key, text)));
}

static json_t *addresses(const json_t *request)
{
	struct key wallet = key_of(request, "wallet"), asset = key_of(request, "asset"),
		   mint = key_of(request, "mint");
	uint8_t token[PUBKEY_LEN], token_2022[PUBKEY_LEN], signer[PUBKEY_LEN], profile[PUBKEY_LEN],
	    record[PUBKEY_LEN], identity[PUBKEY_LEN];
	json_t *answer = json_object();

	if (solana_pda_associated_token(
		wallet.bytes, solana_program_key(SOLANA_PROGRAM_TOKEN), mint.bytes, token) != 0 ||
	    solana_pda_associated_token(wallet.bytes, solana_program_key(SOLANA_PROGRAM_TOKEN_2022),
		mint.bytes, token_2022) != 0 ||
	    pubkey_asset_signer(asset.bytes, signer, NULL) != 0 ||
	    solana_pda_executive_profile(wallet.bytes, profile) != 0 ||
	    solana_pda_execution_delegate_record(profile, asset.bytes, record) != 0 ||
	    solana_pda_agent_identity(asset.bytes, identity) != 0)
		fatal("an address that cannot be derived");
	put_key(answer, "token", token);
	put_key(answer, "token_2022", token_2022);
	put_key(answer, "signer", signer);
	put_key(answer, "profile", profile);
	put_key(answer, "record", record);
	put_key(answer, "identity", identity);
	return answer;
}

static json_t *answer_to(const json_t *request)
{
	static const struct {
		const char *op;
		json_t *(*run)(const json_t *request);
	} ops[] = {{"compose", compose}, {"accept", accept}, {"summary", summary},
	    {"addresses", addresses}};
	const char *op = json_string_value(json_object_get(request, "op"));

	for (size_t i = 0; op && i < ARRAY_LEN(ops); i++)
		if (strcmp(op, ops[i].op) == 0)
			return ops[i].run(request);
	fatal("no operation %s", op ? op : "named");
}

int main(void)
{
	char line[16384];

	if (sodium_init() < 0)
		fatal("no libsodium");
	while (fgets(line, sizeof(line), stdin)) {
		scoped_json json_t *request = json_loads(line, 0, NULL);
		if (!request)
			fatal("a line that is no JSON");
		scoped_json json_t *answer = answer_to(request);
		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}
