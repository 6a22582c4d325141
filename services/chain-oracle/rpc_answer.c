#include "services/chain-oracle/rpc_answer.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/scoped.h"
#include "services/chain-oracle/rpc_json.h"

#define CLOCK_OWNER "Sysvar1111111111111111111111111111111111111"
#define CLOCK_SIZE 40 /* slot, epoch start, epoch, next epoch, unix time: 8 bytes each */
#define CLOCK_UNIX_AT 32

static const char *const outcome_texts[] = {
#define RPC_OUTCOME_TEXT(name, text) [RPC_##name] = (text),
    RPC_OUTCOMES(RPC_OUTCOME_TEXT)
#undef RPC_OUTCOME_TEXT
};

const char *rpc_outcome_text(enum rpc_outcome outcome)
{
	return outcome_texts[outcome];
}

/* Codes of JSON-RPC errors that mean something to us (solana-wire.md 4.3). any_id: sent by gateways, which do not know the request's id. */
static const struct {
	json_int_t code;
	enum rpc_outcome outcome;
	bool any_id;
} codes[] = {
    {-32016, RPC_BEHIND, false},
    {429, RPC_LIMITED, true},
    {-32429, RPC_LIMITED, true},
    {-32029, RPC_LIMITED, true},
    {403, RPC_REFUSED, true},
    {-32601, RPC_REFUSED, false},
    {-32010, RPC_REFUSED, false},
};

static void read_error(const json_t *error, bool same_id, struct rpc_answer *answer)
{
	const json_t *code = json_object_get(error, "code");
	const char *message = json_string_value(json_object_get(error, "message"));
	answer->outcome = same_id && json_is_integer(code) ? RPC_FAILED : RPC_BROKEN;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i].code == json_integer_value(code) && (same_id || codes[i].any_id))
			answer->outcome = codes[i].outcome;
	error_set(&answer->err, ERR_UNAVAILABLE, "error %lld: %.80s",
	    (long long)json_integer_value(code), message ? message : "");
	answer->code = json_integer_value(code);
	answer->data = json_incref(json_object_get(error, "data"));
	if (answer->outcome == RPC_BEHIND)
		(void)rpc_json_u64(
		    rpc_json_at(error, "data", "contextSlot", (char *)0), &answer->slot);
}

static void read_body(const struct http_answer *http, uint64_t id, struct rpc_answer *answer)
{
	answer->outcome = RPC_BROKEN;
	scoped_json json_t *body = rpc_json_parse(http->body, http->len, &answer->err);
	if (!body)
		return;
	uint64_t its_id;
	bool same_id = rpc_json_u64(json_object_get(body, "id"), &its_id) == 0 && its_id == id;
	json_t *result = json_object_get(body, "result");
	const json_t *error = json_object_get(body, "error");
	if (json_is_object(error)) {
		read_error(error, same_id, answer);
	} else if (!same_id) {
		error_set(&answer->err, ERR_UNAVAILABLE, "an answer to another request");
	} else if (!result || (error && !json_is_null(error))) {
		error_set(&answer->err, ERR_UNAVAILABLE, "neither result nor error");
	} else {
		answer->outcome = RPC_OK;
		answer->result = json_incref(result);
	}
}

void rpc_answer_read(const struct http_answer *http, const struct error *err, uint64_t id,
    struct rpc_answer *answer_r)
{
	memset(answer_r, 0, sizeof(*answer_r));
	if (!http) {
		answer_r->outcome = RPC_UNREACHABLE;
		answer_r->err = *err;
	} else if (http->status == 200) {
		read_body(http, id, answer_r);
	} else {
		answer_r->outcome = http->status == 429 ? RPC_LIMITED : RPC_UNREACHABLE;
		answer_r->retry_after_s = http->retry_after_s;
		error_set(&answer_r->err, ERR_UNAVAILABLE, "HTTP status %ld", http->status);
	}
}

void rpc_answer_wipe(struct rpc_answer *answer)
{
	json_decref(answer->result);
	json_decref(answer->data);
	answer->result = answer->data = NULL;
}

/* Length of what a base64 text stands for; -1 if no text of that length does. */
static int64_t base64_len(const char *text, size_t len)
{
	if (len % 4 != 0)
		return -1;
	if (len == 0)
		return 0;
	return (int64_t)(len / 4 * 3) - (text[len - 1] == '=') - (text[len - 2] == '=');
}

/* The first bytes of the data; more than we keep came from a node that does not know dataSlice. */
static int read_data(const json_t *data, const json_t *space, uint8_t *bytes, size_t slice,
    struct core_account *account)
{
	const json_t *text = json_array_get(data, 0);
	const char *encoding = json_string_value(json_array_get(data, 1));
	if (!json_is_string(text) || !encoding || strcmp(encoding, "base64") != 0)
		return -1;
	size_t len = json_string_length(text), kept = (slice + 2) / 3 * 4;
	int64_t full = base64_len(json_string_value(text), len);
	if (full < 0)
		return -1;
	if (kept > len)
		kept = len;
	scoped_free uint8_t *decoded = malloc(kept / 4 * 3 + 1);
	bug_if(!decoded);
	size_t n = 0;
	if (sodium_base642bin(decoded, kept / 4 * 3, json_string_value(text), kept, NULL, &n, NULL,
		sodium_base64_VARIANT_ORIGINAL) != 0)
		return -1;
	account->len = n < slice ? n : slice;
	memcpy(bytes, decoded, account->len);
	account->data = bytes;
	if (!space)
		account->space = (uint64_t)full == slice ? UINT64_MAX : (uint64_t)full;
	else if (rpc_json_u64(space, &account->space) < 0)
		return -1;
	/* fewer bytes than were asked for would read as another verdict; more than there are, a node contradicts itself */
	if (account->len > account->space)
		return -1;
	return account->len == slice || account->len == account->space ? 0 : -1;
}

int rpc_account_read_slice(
    const json_t *value, uint8_t *bytes, size_t slice, struct core_account *account_r)
{
	memset(account_r, 0, sizeof(*account_r));
	if (json_is_null(value))
		return 0;
	account_r->exists = true;
	account_r->executable = json_is_true(json_object_get(value, "executable"));
	if (!json_is_object(value) ||
	    rpc_json_pubkey(json_object_get(value, "owner"), account_r->program) < 0 ||
	    rpc_json_u64(json_object_get(value, "lamports"), &account_r->lamports) < 0)
		return -1;
	return read_data(json_object_get(value, "data"), json_object_get(value, "space"), bytes,
	    slice, account_r);
}

int rpc_account_read(const json_t *value, struct rpc_account *account_r)
{
	memset(account_r, 0, sizeof(*account_r));
	return rpc_account_read_slice(value, account_r->bytes, CORE_SLICE, &account_r->core);
}

int rpc_account_clock(const struct rpc_account *account, int64_t *unix_r)
{
	uint8_t owner[PUBKEY_LEN];
	bug_if(pubkey_parse(CLOCK_OWNER, owner) < 0);
	if (!account->core.exists || account->core.len < CLOCK_SIZE ||
	    memcmp(account->core.program, owner, PUBKEY_LEN) != 0)
		return -1;
	uint64_t unix_s = 0;
	for (int i = 7; i >= 0; i--)
		unix_s = unix_s << 8 | account->bytes[CLOCK_UNIX_AT + i];
	*unix_r = (int64_t)unix_s;
	return 0;
}

int rpc_answer_slot(const struct rpc_answer *answer, uint64_t *slot_r, struct error *err)
{
	if (rpc_json_u64(rpc_json_at(answer->result, "context", "slot", (char *)0), slot_r) < 0)
		return error_set(err, ERR_INVALID, "no slot");
	return 0;
}

json_t *rpc_answer_value(const struct rpc_answer *answer)
{
	return json_object_get(answer->result, "value");
}

static json_t *context_value(const struct rpc_answer *answer, uint64_t *slot_r, struct error *err)
{
	json_t *value = json_object_get(answer->result, "value");
	if (rpc_answer_slot(answer, slot_r, err) < 0)
		return NULL;
	if (!json_is_array(value))
		error_set(err, ERR_INVALID, "no list of accounts");
	return json_is_array(value) ? value : NULL;
}

int rpc_answer_accounts(const struct rpc_answer *answer, size_t len, struct rpc_account *accounts_r,
    uint64_t *slot_r, struct error *err)
{
	const json_t *value = context_value(answer, slot_r, err);
	if (!value)
		return -1;
	if (json_array_size(value) != len)
		return error_set(
		    err, ERR_INVALID, "%zu accounts instead of %zu", json_array_size(value), len);
	for (size_t i = 0; i < len; i++)
		if (rpc_account_read(json_array_get(value, i), &accounts_r[i]) < 0)
			return error_set(err, ERR_INVALID, "account %zu cannot be read", i);
	return 0;
}

int rpc_answer_collection(const struct rpc_answer *answer, rpc_each_account each, void *arg,
    size_t *unread_r, struct error *err)
{
	uint64_t slot;
	const json_t *value = context_value(answer, &slot, err);
	if (!value)
		return -1;
	*unread_r = 0;
	for (size_t i = 0; i < json_array_size(value); i++) {
		const json_t *entry = json_array_get(value, i);
		struct rpc_account account;
		uint8_t key[PUBKEY_LEN];
		if (rpc_json_pubkey(json_object_get(entry, "pubkey"), key) < 0 ||
		    rpc_account_read(json_object_get(entry, "account"), &account) < 0 ||
		    !account.core.exists)
			++*unread_r;
		else
			each(arg, key, &account, slot);
	}
	return 0;
}

int rpc_answer_genesis(
    const struct rpc_answer *answer, char text_r[PUBKEY_TEXT_MAX + 1], struct error *err)
{
	uint8_t hash[PUBKEY_LEN];
	if (rpc_json_pubkey(answer->result, hash) < 0)
		return error_set(err, ERR_INVALID, "not a genesis hash");
	pubkey_text(hash, text_r);
	return 0;
}

/* A name as Rust writes them; anything else could be taken for something that it is not. */
static bool is_word(const char *text)
{
	size_t len = text ? strlen(text) : 0;
	for (size_t i = 0; i < len; i++)
		if (!(text[i] >= '0' && text[i] <= '9') &&
		    !((text[i] | 0x20) >= 'a' && (text[i] | 0x20) <= 'z'))
			return false;
	return len > 0 && len <= 48;
}

/* The only member of an object; NULL: it has another number of them. */
static const char *only_member(const json_t *object, json_t **value_r)
{
	void *at = json_object_iter((json_t *)(uintptr_t)object);
	*value_r = at ? json_object_iter_value(at) : NULL;
	return json_object_size(object) == 1 ? json_object_iter_key(at) : NULL;
}

/* {"InstructionError":[2,"Name"]}, [2,{"Custom":26}], [2,{"BorshIoError":"what"}] */
static int instruction_error(const json_t *value, char *text, size_t size)
{
	const json_t *why = json_array_get(value, 1);
	const char *name = json_string_value(why);
	json_t *more = NULL;
	uint64_t index, code;
	if (json_is_object(why))
		name = only_member(why, &more);
	if (rpc_json_u64(json_array_get(value, 0), &index) < 0 || !is_word(name))
		return -1;
	if (rpc_json_u64(more, &code) == 0)
		snprintf(text, size, "InstructionError %" PRIu64 " %s %" PRIu64, index, name, code);
	else
		snprintf(text, size, "InstructionError %" PRIu64 " %s", index, name);
	return 0;
}

void rpc_transaction_error(const json_t *error, char text_r[RPC_TRANSACTION_ERROR_MAX + 1])
{
	const size_t size = RPC_TRANSACTION_ERROR_MAX + 1;
	json_t *value = NULL;
	const char *name =
	    json_is_object(error) ? only_member(error, &value) : json_string_value(error);
	uint64_t index;
	snprintf(text_r, size, "Unknown");
	if (!error || json_is_null(error)) {
		text_r[0] = '\0';
	} else if (!is_word(name)) {
		return;
	} else if (strcmp(name, "InstructionError") == 0) {
		(void)instruction_error(value, text_r, size);
	} else if (!value) {
		snprintf(text_r, size, "%s", name);
	} else if (rpc_json_u64(value, &index) == 0 ||
		   rpc_json_u64(json_object_get(value, "account_index"), &index) == 0) {
		snprintf(text_r, size, "%s %" PRIu64, name, index);
	}
}
