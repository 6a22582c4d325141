#include "services/chain-oracle/push_message.h"

#include <stdio.h>
#include <string.h>

#include "common/scoped.h"
#include "services/chain-oracle/rpc_json.h"

static int read_reply(const json_t *body, struct push_message *message, struct error *err)
{
	const json_t *result = json_object_get(body, "result");
	const json_t *error = json_object_get(body, "error");
	if (rpc_json_u64(json_object_get(body, "id"), &message->id) < 0)
		return error_set(err, ERR_INVALID, "a reply without an id");
	if (json_is_object(error)) {
		const char *why = json_string_value(json_object_get(error, "message"));
		message->kind = PUSH_REFUSAL;
		snprintf(message->text, sizeof(message->text), "%.70s", why ? why : "");
		return 0;
	}
	message->kind = PUSH_REPLY;
	if (json_is_boolean(result) || rpc_json_u64(result, &message->subscription) == 0)
		return 0;
	return error_set(err, ERR_INVALID, "a reply without a subscription");
}

static int read_account(const json_t *result, struct push_message *message, struct error *err)
{
	if (rpc_json_u64(rpc_json_at(result, "context", "slot", (char *)0), &message->slot) < 0)
		return error_set(err, ERR_INVALID, "a notification without a slot");
	const json_t *account = json_object_get(result, "value");
	if (message->kind == PUSH_PROGRAM) {
		if (rpc_json_pubkey(json_object_get(account, "pubkey"), message->key) < 0)
			return error_set(err, ERR_INVALID, "a notification without a key");
		account = json_object_get(account, "account");
	}
	if (rpc_account_read(account, &message->account) < 0 || !message->account.core.exists)
		return error_set(err, ERR_INVALID, "a notification whose account cannot be read");
	return 0;
}

static int read_notification(
    const json_t *body, const char *method, struct push_message *message, struct error *err)
{
	const json_t *params = json_object_get(body, "params");
	if (rpc_json_u64(json_object_get(params, "subscription"), &message->subscription) < 0)
		return error_set(err, ERR_INVALID, "a notification without a subscription");
	if (strcmp(method, "slotNotification") == 0)
		message->kind = PUSH_SLOT;
	else if (strcmp(method, "accountNotification") == 0)
		message->kind = PUSH_ACCOUNT;
	else if (strcmp(method, "programNotification") == 0)
		message->kind = PUSH_PROGRAM;
	if (message->kind == PUSH_ACCOUNT || message->kind == PUSH_PROGRAM)
		return read_account(json_object_get(params, "result"), message, err);
	return 0;
}

int push_message_read(
    const char *text, size_t len, struct push_message *message_r, struct error *err)
{
	memset(message_r, 0, sizeof(*message_r));
	message_r->kind = PUSH_OTHER;
	scoped_json json_t *body = rpc_json_parse(text, len, err);
	if (!body)
		return -1;
	if (!json_is_object(body))
		return error_set(err, ERR_INVALID, "not an object");
	const char *method = json_string_value(json_object_get(body, "method"));
	return method ? read_notification(body, method, message_r, err)
		      : read_reply(body, message_r, err);
}
