#include "services/agent-wallet/order.h"

#include <string.h>

#include "common/pubkey.h"
#include "common/solana_pda.h"
#include "common/solana_program.h"

enum {
	FIELD_TO = 1,
	FIELD_AMOUNT = 2,
	FIELD_MINT = 4,
	FIELD_ACCOUNT = 8,
	FIELD_NFT = 16,
	FIELD_RECORD = 32,
	FIELD_KEYS = 64,
	FIELD_RAW = 128,
	FIELD_PROOF = 256
};

static const struct operation_kind {
	const char *name;
	enum order_kind kind;
	unsigned must, may;
} kinds[] = {
    {"transfer_sol", ORDER_TRANSFER_SOL, FIELD_TO | FIELD_AMOUNT, 0},
    {"transfer_token", ORDER_TRANSFER_TOKEN, FIELD_TO | FIELD_AMOUNT | FIELD_MINT, FIELD_ACCOUNT},
    {"transfer_nft", ORDER_TRANSFER_NFT, FIELD_TO | FIELD_NFT, 0},
    {"close_accounts", ORDER_CLOSE_ACCOUNTS, FIELD_KEYS, 0},
    {"revoke_delegate", ORDER_REVOKE_RECORD, FIELD_RECORD, 0},
    {"revoke_delegate", ORDER_REVOKE_ACCOUNT, FIELD_ACCOUNT, 0},
    {"instructions", ORDER_INSTRUCTIONS, FIELD_RAW | FIELD_PROOF, 0},
};

/* amount: of one that is 0 nothing can be told from its absence; it is refused by its number later */
static unsigned fields_of(const struct wallet_build_req *req)
{
	return (req->to[0] ? FIELD_TO : 0u) | (req->amount || req->all ? FIELD_AMOUNT : 0u) |
	       (req->mint[0] ? FIELD_MINT : 0u) | (req->account[0] ? FIELD_ACCOUNT : 0u) |
	       (req->nft[0] ? FIELD_NFT : 0u) | (req->record[0] ? FIELD_RECORD : 0u) |
	       (req->keys.len ? FIELD_KEYS : 0u) |
	       (req->instructions.len || req->metas.len ? FIELD_RAW : 0u) |
	       (req->nonce[0] || req->signature.len || req->signed_message.len ? FIELD_PROOF : 0u);
}

static int read_kind(const struct wallet_build_req *req, enum order_kind *kind_r, struct error *err)
{
	unsigned fields = fields_of(req);
	bool known = false;
	if (req->amount && req->all)
		return error_refuse(
		    err, ERR_INVALID, "operation_invalid", "an amount, or all, not both");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct operation_kind *kind = &kinds[i];
		if (strcmp(kind->name, req->operation) != 0)
			continue;
		known = true;
		/* told apart from fields that are missing */
		if (kind->kind == ORDER_INSTRUCTIONS &&
		    (!req->dangerous || !(fields & FIELD_PROOF)))
			return error_refuse(err, ERR_DENIED, "dangerous",
			    "raw instructions can give the wallet away: say dangerous, and sign "
			    "for it");
		if ((kind->must & FIELD_AMOUNT) && !(fields & FIELD_AMOUNT))
			return error_refuse(
			    err, ERR_INVALID, "amount_zero", "an amount of 0 moves nothing");
		if ((fields & kind->must) == kind->must && !(fields & ~(kind->must | kind->may))) {
			*kind_r = kind->kind;
			return 0;
		}
	}
	return error_refuse(err, ERR_INVALID, "operation_invalid",
	    known ? "fields are missing, or belong to another operation" : "no such operation");
}

/* ---- the accounts to look at */

static void look_at(struct order *order, const uint8_t key[PUBKEY_LEN])
{
	bug_if(order->n_keys == ORDER_ACCOUNTS_MAX);
	memcpy(order->keys[order->n_keys++], key, PUBKEY_LEN);
}

static int look_at_text(struct order *order, const char *text, const char *what, struct error *err)
{
	uint8_t key[PUBKEY_LEN];
	if (pubkey_parse(text, key) != 0)
		return error_refuse(err, ERR_INVALID, "address_invalid", "%s is no address", what);
	look_at(order, key);
	return 0;
}

static int look_at_recipient(struct order *order, struct error *err)
{
	if (look_at_text(order, order->req->to, "the recipient", err) != 0)
		return -1;
	const uint8_t *to = order->keys[order->n_keys - 1];
	if (memcmp(to, order->owner.wallet, PUBKEY_LEN) == 0)
		return error_refuse(
		    err, ERR_INVALID, "recipient_self", "the recipient is this wallet itself");
	if (memcmp(to, order->owner.asset, PUBKEY_LEN) == 0)
		return error_refuse(err, ERR_INVALID, "recipient_refused",
		    "the recipient is the NFT's account: what it gets is lost");
	if (solana_program_of(to) != SOLANA_PROGRAM_OTHER)
		return error_refuse(
		    err, ERR_INVALID, "recipient_refused", "the recipient is a program");
	if (!pubkey_is_on_curve(to) && !order->req->allow_off_curve)
		return error_refuse(err, ERR_INVALID, "recipient_off_curve",
		    "the recipient is a program's address: nobody has its key");
	return 0;
}

/* Where it would be with either token program: which of the two owns the mint is not known yet. */
static int look_at_associated(struct order *order, const uint8_t wallet[PUBKEY_LEN],
    const uint8_t mint[PUBKEY_LEN], struct error *err)
{
	static const enum solana_program programs[] = {
	    SOLANA_PROGRAM_TOKEN, SOLANA_PROGRAM_TOKEN_2022};
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		uint8_t account[PUBKEY_LEN];
		if (solana_pda_associated_token(
			wallet, solana_program_key(programs[i]), mint, account) != 0)
			return error_refuse(err, ERR_INVALID, "mint_refused",
			    "there is no associated account for that mint");
		look_at(order, account);
	}
	return 0;
}

static int read_token(struct order *order, struct error *err)
{
	const struct wallet_build_req *req = order->req;
	if (look_at_recipient(order, err) != 0 ||
	    look_at_text(order, req->mint, "the mint", err) != 0)
		return -1;
	const uint8_t *to = order->keys[ORDER_AT_TOKEN_TO], *mint = order->keys[ORDER_AT_MINT];
	if (req->account[0]) {
		for (int i = 0; i < 2; i++)
			if (look_at_text(order, req->account, "the token account", err) != 0)
				return -1;
	} else if (look_at_associated(order, order->owner.wallet, mint, err) != 0) {
		return -1;
	}
	return look_at_associated(order, to, mint, err);
}

static int read_close(struct order *order, struct error *err)
{
	const struct wallet_build_req *req = order->req;
	for (size_t i = 0; i < req->keys.len; i++) {
		if (look_at_text(order, req->keys.item[i].key, "a token account", err) != 0)
			return -1;
		for (size_t j = 0; j < i; j++)
			if (memcmp(order->keys[ORDER_AT_FIRST + j], order->keys[ORDER_AT_FIRST + i],
				PUBKEY_LEN) == 0)
				return error_refuse(err, ERR_INVALID, "operation_invalid",
				    "an account is named twice");
	}
	return 0;
}

int order_read(const struct wallet_build_req *req, const struct order_owner *owner,
    struct order *order_r, struct error *err)
{
	memset(order_r, 0, sizeof(*order_r));
	order_r->req = req;
	order_r->owner = *owner;
	if (read_kind(req, &order_r->kind, err) != 0)
		return -1;
	look_at(order_r, owner->wallet);
	look_at(order_r, owner->payer);
	switch (order_r->kind) {
	case ORDER_TRANSFER_SOL:
		return look_at_recipient(order_r, err);
	case ORDER_TRANSFER_TOKEN:
		return read_token(order_r, err);
	case ORDER_TRANSFER_NFT:
		return look_at_text(order_r, req->nft, "the NFT", err) == 0
			   ? look_at_recipient(order_r, err)
			   : -1;
	case ORDER_CLOSE_ACCOUNTS:
		return read_close(order_r, err);
	case ORDER_REVOKE_RECORD:
		return look_at_text(order_r, req->record, "the record", err);
	case ORDER_REVOKE_ACCOUNT:
		return look_at_text(order_r, req->account, "the token account", err);
	case ORDER_INSTRUCTIONS:
		return 0;
	}
	return 0;
}
