#include "services/router/problem.h"

#include <string.h>

/* clang-format off */
static const struct problem by_reason[] = {
    {"nonce_unknown", 401, 0, "The nonce was never issued, has expired or was used already. Ask for a new challenge."},
    {"signature_invalid", 401, 0, "The signature is not one of this wallet over this message."},
    {"message_mismatch", 401, 0, "What was signed is not the text that was issued."},
    {"session_missing", 401, 0, "Sign in first."},
    {"session_invalid", 401, 0, "The session cookie is not one of ours."},
    {"session_expired", 401, 0, "The session has expired. Sign in again."},
    {"session_revoked", 401, 0, "The session was ended. Sign in again."},
    {"ticket_unknown", 401, 0, "This link was used already or is older than 30 seconds. Open the agent again from the console."},
    {"not_owner", 403, 0, "This wallet does not own the asset."},
    {"asset_refused", 403, 0, "The asset is of another collection, burned, not a Core asset, or owned by a program."},
    {"banned", 403, 0, "This wallet is not allowed to sign in."},
    {"origin_refused", 403, 0, "The request comes from a page of another origin."},
    {"asset_required", 409, 0, "The wallet owns several assets. Ask for a challenge that names one."},
    {"wallet_invalid", 400, 0, "wallet is not a base58 public key."},
    {"asset_invalid", 400, 0, "asset is not a base58 address."},
    {"body_invalid", 400, 0, "The body is not the JSON object that this request needs."},
    {"query_invalid", 400, 0, "The query is not what this request needs."},
    {"client_address_missing", 400, 0, "The client's address is unknown."},
    {"recipient_invalid", 400, 0, "recipient is not an X25519 public key that the answer can be sealed to."},
    {"secret_name_invalid", 400, 0, "The kind is llm, bot or custom, the name 1 to 64 of a-z 0-9 _ -."},
    {"secret_value_invalid", 400, 0, "The value is empty, too long, or not text without NUL."},
    {"provider_unknown", 400, 0, "There is no such provider."},
    {"delivery_invalid", 400, 0, "The delivery is gateway or file, and of a provider's key alone."},
    {"delivery_unavailable", 400, 0, "The gateway does not offer this provider: its key is of use with the delivery file alone."},
    {"secrets_exhausted", 409, 0, "There are 1,000 secrets, or 4,000 names were used, deleted ones included. Delete one, or use a name again."},
    {"already_revealed", 409, 0, "The hot wallet was made before, and its secret key is shown only once."},
    {"secret_undecryptable", 500, 0, "A stored secret cannot be opened. It was not passed over; the operator has to look."},
    {"secret_rolled_back", 500, 0, "A stored secret is older than one that was there. The operator has to look."},
    {"vault_period_destroyed", 409, 0, "What this owner kept was destroyed. Sign in again to begin anew."},
    {"vault_period_locked", 503, 1, "What this owner keeps is locked until the chain was looked at again."},
    {"vault_sealed", 503, 10, "Secrets are not open at this moment."},
    {"vault_foreign_key", 503, 10, "What is stored is sealed with a key that is not here at this moment."},
    {"storage_busy", 503, 1, "Too many requests wait for the storage of secrets."},
    {"storage_unavailable", 503, 5, "Secrets cannot be stored or read at this moment."},
    {"storage_refused", 500, 0, "The storage of secrets refused what was asked of it. The operator has to look."},
    {"storage_damaged", 500, 0, "What is stored is not what was written. The operator has to look."},
    {"secret_found", 422, 0, "A file holds one of this agent's secrets. Nothing was saved; the snapshot before stays. Take it out of the file, or exclude the file by custom/snapshot-exclude."},
    {"snapshot_empty", 422, 0, "There are no files to save, and the snapshot before has some. It stays."},
    {"nothing_to_save", 422, 0, "There are no files to save."},
    {"snapshot_too_large", 413, 0, "The files are larger than a snapshot may be. Nothing was saved; the snapshot before stays."},
    {"snapshot_busy", 409, 0, "The agent is being saved or restored, or is starting. Try again when that is done."},
    {"snapshot_unknown", 404, 0, "No snapshot of this number is kept."},
    {"root_invalid", 400, 0, "A root is not a folder below /data."},
    {"agent_not_running", 409, 0, "The agent does not run now, or was never started by its present owner. Start it first."},
    {"snapshot_newest", 409, 0, "The newest snapshot cannot be deleted."},
    {"snapshot_overtaken", 409, 0, "Another host has saved the agent since. The newest snapshot has to be restored first."},
    {"snapshot_damaged", 409, 0, "This snapshot was found damaged. Restore another one."},
    {"exclude_invalid", 422, 0, "custom/snapshot-exclude has a line that is no path below /data."},
    {"snapshot_failed", 503, 30, "The snapshot could not be made. The one before stays."},
    {"operation_invalid", 400, 0, "There is no such operation, or it lacks something."},
    {"address_invalid", 400, 0, "An address is not 32 bytes in base58."},
    {"amount_zero", 400, 0, "The amount is zero."},
    {"transaction_invalid", 400, 0, "These bytes are no transaction."},
    {"amount_too_much", 422, 0, "The wallet has less than that."},
    {"amount_leaves_rent", 422, 0, "What stays with the wallet would be between 1 lamport and what an account must hold."},
    {"amount_below_rent", 422, 0, "What the recipient would have is less than what an account must hold."},
    {"payer_too_poor", 422, 0, "The owner's wallet cannot pay the fees."},
    {"recipient_off_curve", 422, 0, "The recipient is a program's address: nobody has its key. allow_off_curve sends it there nevertheless."},
    {"recipient_self", 422, 0, "The recipient is the agent's wallet itself."},
    {"recipient_refused", 422, 0, "The recipient is no wallet."},
    {"mint_refused", 422, 0, "This is no token that can be sent."},
    {"token_refused", 422, 0, "This token account is not one of the wallet's, or not in the state that this needs."},
    {"nft_refused", 422, 0, "The wallet does not hold this NFT."},
    {"delegate_refused", 422, 0, "There is no such delegate."},
    {"signature_missing", 422, 0, "The owner's signature is missing or wrong."},
    {"transaction_changed", 422, 0, "This is not the transaction that was built. It was not sent."},
    {"fee_too_high", 422, 0, "The wallet added a priority fee that is higher than is accepted. It was not sent."},
    {"dangerous", 403, 0, "Raw instructions need dangerous and a fresh signature for them."},
    {"wallet_captured", 409, 0, "The agent's wallet was turned into something else: it can send nothing. Do not fund it."},
    {"operation_unknown", 404, 0, "No such transaction is known. One that was not signed is forgotten after minutes."},
    {"already_submitted", 409, 0, "It was submitted before: signed otherwise, or as an equal order. To do that twice, build it anew."},
    {"operation_expired", 409, 0, "It is too old to be sent. Build it anew."},
    {"not_found", 404, 0, "There is nothing here."},
    {"method_not_allowed", 405, 0, "This path does not know this method."},
    {"body_too_large", 413, 0, "The body is larger than 64 KiB."},
    {"rate_limited", 429, 10, "Too many requests. Try again later."},
    {"streams_exhausted", 429, 30, "Too many event streams are open."},
    {"chain_unavailable", 503, 5, "The chain cannot be read reliably at this moment."},
    {"host_full", 503, 30, "There is no room for another agent at this moment."},
    {"agent_host_unavailable", 503, 2, "The machine that has the agent does not answer at this moment."},
    {"service_unavailable", 503, 2, "A part of the service does not answer at this moment."},
};

/* Replies of services that gave no reason. */
static const struct {
	enum error_code code;
	struct problem problem;
} by_code[] = {
    {ERR_INVALID, {"invalid", 400, 0, "The request is wrong."}},
    {ERR_UNAUTHENTICATED, {"unauthenticated", 401, 0, "Sign in first."}},
    {ERR_DENIED, {"denied", 403, 0, "Not allowed."}},
    {ERR_NOT_FOUND, {"not_found", 404, 0, "There is nothing here."}},
    {ERR_CONFLICT, {"conflict", 409, 0, "The request does not fit the present state."}},
    {ERR_BUSY, {"rate_limited", 429, 10, "Too many requests. Try again later."}},
    {ERR_TIMEOUT, {"service_unavailable", 503, 2, "A part of the service did not answer in time."}},
    {ERR_UNAVAILABLE, {"service_unavailable", 503, 2, "A part of the service does not answer at this moment."}},
    {ERR_INTERNAL, {"internal", 500, 0, "Something went wrong on our side."}},
};
/* clang-format on */

const struct problem *problem_of(const struct error *err)
{
	for (size_t i = 0; err->reason[0] && i < ARRAY_LEN(by_reason); i++)
		if (strcmp(by_reason[i].code, err->reason) == 0)
			return &by_reason[i];
	for (size_t i = 0; i < ARRAY_LEN(by_code); i++)
		if (by_code[i].code == err->code)
			return &by_code[i].problem;
	return &by_code[ARRAY_LEN(by_code) - 1].problem;
}

const struct problem *problem_named(const char *code)
{
	for (size_t i = 0; i < ARRAY_LEN(by_reason); i++)
		if (strcmp(by_reason[i].code, code) == 0)
			return &by_reason[i];
	error_bug(__FILE__, __LINE__, code);
}

const char *problem_detail(const struct error *err)
{
	static const char behind[] = ": invalid: ";
	if (err->code != ERR_INVALID || !err->text[0])
		return problem_of(err)->detail;
	size_t call = strspn(err->text, "abcdefghijklmnopqrstuvwxyz_.");
	bool is_told = strncmp(err->text + call, behind, strlen(behind)) == 0;
	return is_told ? err->text + call + strlen(behind) : err->text;
}

void problem_reply(struct http_request *request, const struct error *err)
{
	const struct problem *problem = problem_of(err);
	http_reply_problem(request, problem->status, problem->code, problem_detail(err),
	    err->retry_after_s ? err->retry_after_s : problem->retry_after_s);
}

void problem_reply_named(struct http_request *request, const char *code)
{
	const struct problem *problem = problem_named(code);
	http_reply_problem(
	    request, problem->status, problem->code, problem->detail, problem->retry_after_s);
}

void problem_reply_more(
    struct http_request *request, const char *code, const char *detail, json_t *more)
{
	const struct problem *problem = problem_named(code);
	http_reply_problem_more(request, problem->status, problem->code,
	    detail ? detail : problem->detail, problem->retry_after_s, more);
}
