/* The first byte chooses what was asked; the rest is the body of a node's answer (or, bit 7, the text of a push message). Accounts that are read lie inside their bytes, and
 * a number that is read says the same when it is written down again. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/chain-oracle/push_message.h"
#include "services/chain-oracle/rpc_answer.h"
#include "services/chain-oracle/rpc_json.h"

#define ID 7
#define ACCOUNTS 2

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return sodium_init() < 0 ? -1 : 0;
}

static void check_account(const struct rpc_account *account)
{
	const uint8_t collection[PUBKEY_LEN] = {0};
	struct core_asset asset;
	int64_t unix_s;
	if (account->core.len > CORE_SLICE || account->core.len > account->core.space)
		abort();
	core_account_read(&account->core, collection, &asset);
	(void)rpc_account_clock(account, &unix_s);
}

static void check_each(
    void *arg, const uint8_t key[PUBKEY_LEN], const struct rpc_account *account, uint64_t slot)
{
	(void)arg;
	(void)key;
	(void)slot;
	check_account(account);
}

static void check_number(const char *text, size_t len)
{
	uint64_t n, again;
	char written[32];
	scoped_json json_t *value = rpc_json_parse(text, len, NULL);
	if (!value || rpc_json_u64(value, &n) < 0)
		return;
	int written_len = snprintf(written, sizeof(written), "%llu", (unsigned long long)n);
	scoped_json json_t *same = rpc_json_parse(written, (size_t)written_len, NULL);
	if (!same || rpc_json_u64(same, &again) < 0 || again != n)
		abort();
}

static void check_answer(const char *text, size_t len)
{
	struct http_answer http = {200, text, len, 0};
	struct rpc_account accounts[ACCOUNTS];
	char genesis[PUBKEY_TEXT_MAX + 1];
	struct rpc_answer answer;
	struct error err;
	uint64_t slot;
	size_t unread;
	rpc_answer_read(&http, NULL, ID, &answer);
	if ((answer.outcome == RPC_OK) != (answer.result != NULL))
		abort();
	if (answer.result && rpc_answer_accounts(&answer, ACCOUNTS, accounts, &slot, &err) == 0)
		for (size_t i = 0; i < ACCOUNTS; i++)
			check_account(&accounts[i]);
	if (answer.result) {
		(void)rpc_answer_collection(&answer, check_each, NULL, &unread, &err);
		(void)rpc_answer_genesis(&answer, genesis, &err);
	}
	/* whatever it is taken for, what comes out is words */
	char words[RPC_TRANSACTION_ERROR_MAX + 1];
	rpc_transaction_error(answer.result ? answer.result : answer.data, words);
	if (strspn(words, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ") !=
	    strlen(words))
		abort();
	rpc_answer_wipe(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct push_message message;
	struct error err;
	if (size < 1)
		return 0;
	/* of exactly that size, so that a read behind it is seen */
	size_t len = size - 1;
	scoped_free char *text = malloc(len + !len);
	memcpy(text, bytes + 1, len);
	if (bytes[0] & 128) {
		if (push_message_read(text, len, &message, &err) == 0 &&
		    message.account.core.exists)
			check_account(&message.account);
	} else {
		check_number(text, len);
		check_answer(text, len);
	}
	return 0;
}
