/* The chain as it is: blockhash, accounts, rent, what an owner holds, who may execute for an asset. */
#include "services/chain-oracle/chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/scoped.h"
#include "services/chain-oracle/rpc_json.h"

#define SMALL_BODY ((size_t)16 * 1024)
#define ACCOUNT_SPARE \
	512 /* bytes of JSON around an account's data, and room for members that nodes may add */

int chain_check_key(const char *text, struct error *err)
{
	uint8_t key[PUBKEY_LEN];
	if (pubkey_parse(text, key) < 0)
		return error_refuse(err, ERR_INVALID, "address_invalid", "not an address");
	return 0;
}

int chain_check_signature(const char *text, struct error *err)
{
	uint8_t signature[SIGNATURE_LEN];
	if (base58_decode(text, signature, sizeof(signature)) < 0)
		return error_refuse(err, ERR_INVALID, "signature_invalid", "not a signature");
	return 0;
}

/* ---- blockhash ---- */

int chain_read_latest(const struct asking_turn *turn, const struct rpc_answer *answer,
    struct chain_latest *latest_r, struct error *err)
{
	const json_t *value = rpc_answer_value(answer);
	if (asking_slot(turn, answer, &latest_r->slot, err) < 0)
		return -1;
	if (rpc_json_pubkey(json_object_get(value, "blockhash"), latest_r->blockhash) < 0 ||
	    rpc_json_u64(json_object_get(value, "lastValidBlockHeight"), &latest_r->last_valid) <
		0 ||
	    latest_r->last_valid < CHAIN_BLOCKHASH_LIFE)
		return error_set(err, ERR_INVALID, "no blockhash");
	latest_r->height = latest_r->last_valid - CHAIN_BLOCKHASH_LIFE;
	if (latest_r->height > latest_r->slot)
		return error_set(err, ERR_INVALID, "more blocks than slots");
	return 0;
}

static char *write_blockhash(const struct asking_turn *turn, uint64_t id)
{
	return turn->step == 0 ? rpc_request_blockhash(id, turn->min_slot) : NULL;
}

static int read_blockhash(
    struct asking_turn *turn, const struct rpc_answer *answer, struct error *err)
{
	struct chain_blockhash_rsp *rsp = turn->rsp;
	struct chain_latest latest;
	if (chain_read_latest(turn, answer, &latest, err) < 0)
		return -1;
	*rsp = (struct chain_blockhash_rsp){.last_valid = latest.last_valid,
	    .height = latest.height,
	    .slot = latest.slot,
	    .nodes = 1,
	    .of = turn->of};
	pubkey_text(latest.blockhash, rsp->blockhash);
	return 0;
}

static void merge_blockhash(void *arg, const struct asking_turn *turn, bool first)
{
	struct chain_blockhash_rsp *rsp = arg;
	const struct chain_blockhash_rsp *more = turn->rsp;
	if (first)
		return;
	rsp->nodes++;
	rsp->height = chain_lower(rsp->height, more->height);
	rsp->last_valid = chain_higher(rsp->last_valid, more->last_valid);
}

static const struct asking_kind blockhash_kind = {
    .whom = ASKING_HEALTHY,
    .rsp_size = sizeof(struct chain_blockhash_rsp),
    .body_max = SMALL_BODY,
    .write = write_blockhash,
    .read = read_blockhash,
    .merge = merge_blockhash,
};

void chain_blockhash(
    struct chain *self, const struct chain_blockhash_req *req, struct bus_request *request)
{
	asking_begin(&self->askings, &blockhash_kind, req, 0, request);
}

/* ---- accounts ---- */

json_t *chain_keys(size_t len, const struct keys_item *keys)
{
	json_t *list = json_array();
	bug_if(!list);
	for (size_t i = 0; i < len; i++)
		json_array_append_new(list, json_string(keys[i].key));
	return list;
}

static int read_item(const json_t *value, size_t slice, struct accounts_item *item)
{
	struct core_account account;
	bug_if(slice > sizeof(item->data.data));
	if (rpc_account_read_slice(value, item->data.data, slice, &account) < 0)
		return -1;
	item->exists = account.exists;
	if (!account.exists)
		return 0;
	item->lamports = account.lamports;
	item->executable = account.executable;
	item->space = account.space;
	item->data.len = account.len;
	pubkey_text(account.program, item->owner);
	return 0;
}

int chain_read_accounts(const json_t *value, size_t len, size_t slice,
    struct accounts_item *accounts_r, struct error *err)
{
	if (!json_is_array(value) || json_array_size(value) != len)
		return error_set(
		    err, ERR_INVALID, "%zu accounts instead of %zu", json_array_size(value), len);
	for (size_t i = 0; i < len; i++)
		if (read_item(json_array_get(value, i), slice, &accounts_r[i]) < 0)
			return error_set(err, ERR_INVALID, "account %zu cannot be read", i);
	return 0;
}

static char *write_account(const struct asking_turn *turn, uint64_t id)
{
	const struct chain_account_req *req = turn->req;
	if (turn->step > 0)
		return NULL;
	return rpc_request_data(id, json_pack("[s]", req->key), req->data_max, turn->min_slot);
}

static int read_account(
    struct asking_turn *turn, const struct rpc_answer *answer, struct error *err)
{
	const struct chain_account_req *req = turn->req;
	struct chain_account_rsp *rsp = turn->rsp;
	const json_t *value = rpc_answer_value(answer);
	struct core_account account;
	if (asking_slot(turn, answer, &rsp->slot, err) < 0)
		return -1;
	if (json_array_size(value) != 1 || rpc_account_read_slice(json_array_get(value, 0),
					       rsp->data.data, req->data_max, &account) < 0)
		return error_set(err, ERR_INVALID, "the account cannot be read");
	rsp->exists = account.exists;
	if (!account.exists)
		return 0;
	rsp->lamports = account.lamports;
	rsp->executable = account.executable;
	rsp->space = account.space;
	rsp->data.len = account.len;
	pubkey_text(account.program, rsp->owner);
	return 0;
}

static const struct asking_kind account_kind = {
    .whom = ASKING_ONE,
    .rsp_size = sizeof(struct chain_account_rsp),
    .body_max = (size_t)96 * 1024 + ACCOUNT_SPARE,
    .write = write_account,
    .read = read_account,
};

void chain_account(
    struct chain *self, const struct chain_account_req *req, struct bus_request *request)
{
	struct error err;
	if (chain_check_key(req->key, &err) < 0)
		bus_fail(request, &err);
	else
		asking_begin(&self->askings, &account_kind, req, req->min_slot, request);
}

static char *write_accounts(const struct asking_turn *turn, uint64_t id)
{
	const struct chain_accounts_req *req = turn->req;
	if (turn->step > 0)
		return NULL;
	return rpc_request_data(
	    id, chain_keys(req->keys.len, req->keys.item), req->data_max, turn->min_slot);
}

static int read_accounts(
    struct asking_turn *turn, const struct rpc_answer *answer, struct error *err)
{
	const struct chain_accounts_req *req = turn->req;
	struct chain_accounts_rsp *rsp = turn->rsp;
	rsp->accounts.len = req->keys.len;
	if (asking_slot(turn, answer, &rsp->slot, err) < 0)
		return -1;
	return chain_read_accounts(
	    rpc_answer_value(answer), req->keys.len, req->data_max, rsp->accounts.item, err);
}

static const struct asking_kind accounts_kind = {
    .whom = ASKING_ONE,
    .rsp_size = sizeof(struct chain_accounts_rsp),
    .body_max = 100 * (1024 / 3 * 4 + 4 + ACCOUNT_SPARE) + SMALL_BODY,
    .write = write_accounts,
    .read = read_accounts,
};

void chain_accounts(
    struct chain *self, const struct chain_accounts_req *req, struct bus_request *request)
{
	struct error err;
	for (size_t i = 0; i < req->keys.len; i++)
		if (chain_check_key(req->keys.item[i].key, &err) < 0) {
			bus_fail(request, &err);
			return;
		}
	asking_begin(&self->askings, &accounts_kind, req, req->min_slot, request);
}

/* ---- rent ---- */

static char *write_rent(const struct asking_turn *turn, uint64_t id)
{
	const struct chain_rent_req *req = turn->req;
	return turn->step < req->sizes.len ? rpc_request_rent(id, req->sizes.item[turn->step].size)
					   : NULL;
}

static int read_rent(struct asking_turn *turn, const struct rpc_answer *answer, struct error *err)
{
	struct chain_rent_rsp *rsp = turn->rsp;
	if (rpc_json_u64(answer->result, &rsp->rents.item[rsp->rents.len++].lamports) < 0)
		return error_set(err, ERR_INVALID, "no rent");
	return 0;
}

static const struct asking_kind rent_kind = {
    .whom = ASKING_ONE,
    .rsp_size = sizeof(struct chain_rent_rsp),
    .body_max = SMALL_BODY,
    .write = write_rent,
    .read = read_rent,
};

void chain_rent(struct chain *self, const struct chain_rent_req *req, struct bus_request *request)
{
	asking_begin(&self->askings, &rent_kind, req, 0, request);
}

/* ---- who may execute for an asset ---- */

#define RECORD_KEY 2
#define RECORD_PROFILE_AT 8
#define RECORD_AUTHORITY_AT 40

static char *write_records(const struct asking_turn *turn, uint64_t id)
{
	const struct chain_records_req *req = turn->req;
	return turn->step == 0 ? rpc_request_records(id, req->asset, turn->min_slot) : NULL;
}

static bool is_listed(const struct chain_records_rsp *rsp, const char *record)
{
	for (size_t i = 0; i < rsp->records.len; i++)
		if (strcmp(rsp->records.item[i].record, record) == 0)
			return true;
	return false;
}

static void list(struct chain_records_rsp *rsp, const struct records_item *item)
{
	if (is_listed(rsp, item->record))
		return;
	if (rsp->records.len == ARRAY_LEN(rsp->records.item))
		rsp->more = true;
	else
		rsp->records.item[rsp->records.len++] = *item;
}

/* A node that does not filter is held to the filters. */
static void put_record(
    void *arg, const uint8_t key[PUBKEY_LEN], const struct rpc_account *account, uint64_t slot)
{
	struct asking_turn *turn = arg;
	const struct chain_records_req *req = turn->req;
	struct records_item item = {.lamports = account->core.lamports};
	uint8_t program[PUBKEY_LEN], asset[PUBKEY_LEN];
	(void)slot;
	bug_if(pubkey_parse(RPC_RECORD_PROGRAM, program) < 0 ||
	       pubkey_parse(req->asset, asset) < 0 || CORE_SLICE < RPC_RECORD_LEN);
	if (memcmp(account->core.program, program, PUBKEY_LEN) != 0 ||
	    account->core.len != RPC_RECORD_LEN || account->bytes[0] != RECORD_KEY ||
	    memcmp(account->bytes + RPC_RECORD_ASSET_AT, asset, PUBKEY_LEN) != 0)
		return;
	pubkey_text(key, item.record);
	pubkey_text(account->bytes + RECORD_PROFILE_AT, item.profile);
	pubkey_text(account->bytes + RECORD_AUTHORITY_AT, item.authority);
	list(turn->rsp, &item);
}

static int read_records(
    struct asking_turn *turn, const struct rpc_answer *answer, struct error *err)
{
	struct chain_records_rsp *rsp = turn->rsp;
	size_t unread;
	rsp->nodes = 1;
	rsp->of = turn->of;
	if (asking_slot(turn, answer, &rsp->slot, err) < 0 ||
	    rpc_answer_collection(answer, put_record, turn, &unread, err) < 0)
		return -1;
	return unread > 0 ? error_set(err, ERR_INVALID, "%zu accounts cannot be read", unread) : 0;
}

static void merge_records(void *arg, const struct asking_turn *turn, bool first)
{
	struct chain_records_rsp *rsp = arg;
	const struct chain_records_rsp *more = turn->rsp;
	if (first)
		return;
	rsp->nodes++;
	rsp->slot = chain_lower(rsp->slot, more->slot);
	rsp->more |= more->more;
	for (size_t i = 0; i < more->records.len; i++)
		list(rsp, &more->records.item[i]);
}

static const struct asking_kind records_kind = {
    .whom = ASKING_HEALTHY,
    .rsp_size = sizeof(struct chain_records_rsp),
    .body_max = (size_t)256 * 1024,
    .write = write_records,
    .read = read_records,
    .merge = merge_records,
};

void chain_records(
    struct chain *self, const struct chain_records_req *req, struct bus_request *request)
{
	struct error err;
	if (chain_check_key(req->asset, &err) < 0)
		bus_fail(request, &err);
	else
		asking_begin(&self->askings, &records_kind, req, 0, request);
}
