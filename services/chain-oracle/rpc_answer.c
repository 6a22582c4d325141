#include "services/chain-oracle/rpc_answer.h"

#include <sodium.h>
#include <string.h>

#include "common/scoped.h"
#include "services/chain-oracle/rpc_json.h"

#define CLOCK_OWNER "Sysvar1111111111111111111111111111111111111"
#define CLOCK_SIZE 40 /* slot, epoch start, epoch, next epoch, unix time: 8 bytes each */
#define CLOCK_UNIX_AT 32
#define BASE64_SLICE ((CORE_SLICE + 2) / 3 * 4)

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
	answer->result = NULL;
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
static int read_data(const json_t *data, const json_t *space, struct rpc_account *account)
{
	const json_t *text = json_array_get(data, 0);
	const char *encoding = json_string_value(json_array_get(data, 1));
	if (!json_is_string(text) || !encoding || strcmp(encoding, "base64") != 0)
		return -1;
	size_t len = json_string_length(text);
	int64_t full = base64_len(json_string_value(text), len);
	if (full < 0)
		return -1;
	uint8_t bytes[BASE64_SLICE / 4 * 3];
	size_t n = 0;
	if (sodium_base642bin(bytes, sizeof(bytes), json_string_value(text),
		len < BASE64_SLICE ? len : BASE64_SLICE, NULL, &n, NULL,
		sodium_base64_VARIANT_ORIGINAL) != 0)
		return -1;
	account->core.len = n < CORE_SLICE ? n : CORE_SLICE;
	memcpy(account->bytes, bytes, account->core.len);
	account->core.data = account->bytes;
	if (!space)
		account->core.space = full == CORE_SLICE ? UINT64_MAX : (uint64_t)full;
	else if (rpc_json_u64(space, &account->core.space) < 0)
		return -1;
	/* fewer bytes than were asked for would read as another verdict; more than there are, a node contradicts itself */
	if (account->core.len > account->core.space)
		return -1;
	return account->core.len == CORE_SLICE || account->core.len == account->core.space ? 0 : -1;
}

int rpc_account_read(const json_t *value, struct rpc_account *account_r)
{
	memset(account_r, 0, sizeof(*account_r));
	if (json_is_null(value))
		return 0;
	account_r->core.exists = true;
	if (!json_is_object(value) ||
	    rpc_json_pubkey(json_object_get(value, "owner"), account_r->core.program) < 0 ||
	    rpc_json_u64(json_object_get(value, "lamports"), &account_r->core.lamports) < 0)
		return -1;
	return read_data(
	    json_object_get(value, "data"), json_object_get(value, "space"), account_r);
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
