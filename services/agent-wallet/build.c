/* wallet.build - composes what an owner wants done, explains it from its own bytes, asks a node to try it, and keeps it until it is signed or forgotten. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "common/wallet_summary.h"
#include "services/agent-wallet/asking.h"
#include "services/agent-wallet/compose.h"
#include "services/agent-wallet/operations.h"
#include "services/agent-wallet/verdict.h"

#define ACT "raw_instructions"
#define DATA_MAX 1024
#define ANSWER_MS 500 /* kept of the caller's time, to store and answer */

struct building {
	struct asking asking; /* first */
	const struct wallet_build_req *req;
	struct order order;
	struct accounts_item accounts[ORDER_ACCOUNTS_MAX];
	struct compose_facts facts;
	struct composed composed;
	struct wallet_build_rsp rsp;
};

static struct building *building_of(struct asking *asking)
{
	return (struct building *)asking;
}

/* ---- 7. kept */

static void on_kept(void *arg, const struct operation *op, const struct error *err)
{
	struct building *building = arg;
	struct wallet *wallet = building->asking.wallet;
	if (err) {
		asking_refuse(&building->asking, err);
		return;
	}
	building->rsp.expires_ms = op->built_ms + wallet->build_ttl_s * 1000;
	metric_add(wallet->built, 1);
	log_audit("wallet", "act", "build", "operation", op->operation, "asset", op->asset, "id",
	    op->id, "trace", bus_request_trace(building->asking.request));
	asking_reply(&building->asking, &building->rsp);
}

static void keep(struct building *building)
{
	struct wallet *wallet = building->asking.wallet;
	const struct composed *composed = &building->composed;
	uint8_t id[WALLET_ID_LEN / 2];
	randombytes_buf(id, sizeof(id));
	sodium_bin2hex(building->rsp.id, sizeof(building->rsp.id), id, sizeof(id));
	struct operation op = {.slot = building->asking.slot,
	    .built_len = composed->len,
	    .last_valid = building->rsp.last_valid};
	memcpy(op.id, building->rsp.id, sizeof(op.id));
	memcpy(op.asset, building->asking.asset, sizeof(op.asset));
	memcpy(op.wallet, building->asking.owner, sizeof(op.wallet));
	memcpy(op.operation, building->req->operation, sizeof(op.operation));
	memcpy(op.built, composed->bytes, composed->len);
	operations_put(wallet->process->redis, &op, wallet->build_ttl_s * 1000, wallet->builds_kept,
	    on_kept, building);
}

/* ---- 6. tried by a node, whose word it is */

static void on_simulated(void *arg, const void *message, const struct error *err)
{
	struct building *building = arg;
	const struct chain_simulate_rsp *simulated = message;
	struct wallet_build_rsp *rsp = &building->rsp;
	if (err) {
		snprintf(rsp->sim_node, sizeof(rsp->sim_node), "none");
		snprintf(rsp->sim_why, sizeof(rsp->sim_why), "%s",
		    err->reason[0] ? err->reason : error_name(err->code));
	} else {
		snprintf(rsp->sim_node, sizeof(rsp->sim_node), "%s",
		    simulated->error[0] ? "fails" : "passes");
		rsp->sim_slot = simulated->slot;
		rsp->sim_units = simulated->units;
		memcpy(rsp->sim_error, simulated->error, sizeof(rsp->sim_error));
		memcpy(rsp->sim_logs, simulated->logs, sizeof(rsp->sim_logs));
	}
	keep(building);
}

static void simulate(struct building *building)
{
	struct chain_simulate_req req = {.transaction.len = building->composed.len};
	memcpy(req.transaction.data, building->composed.bytes, building->composed.len);
	/* a node that lets it wait does not keep the owner from an answer */
	bus_send(building->asking.wallet->oracles, &chain_simulate_call, &req,
	    bus_request_deadline(building->asking.request) - ANSWER_MS,
	    bus_request_trace(building->asking.request), on_simulated, building);
}

/* ---- 5. composed and explained */

/* The bytes do not have it: by the mint's account, as a node shows it. */
static void warn_of_fee(unsigned bps, struct wallet_build_rsp *rsp)
{
	struct lines_item *line = &rsp->lines.item[rsp->lines.len++];
	bug_if(rsp->lines.len > ARRAY_LEN(rsp->lines.item));
	snprintf(line->text, sizeof(line->text),
	    "The token's program withholds up to %u.%02u %% of it: the recipient gets less, one "
	    "node says",
	    bps / 100, bps % 100);
	line->warning = rsp->warning = true;
}

static void explain(struct building *building)
{
	const struct composed *composed = &building->composed;
	const struct order *order = &building->order;
	const uint8_t *wallets[ORDER_ACCOUNTS_MAX];
	scoped_free struct wallet_summary *summary = calloc(1, sizeof(*summary));
	struct wallet_build_rsp *rsp = &building->rsp;
	struct solana_tx tx;
	struct error err;
	bug_if(!summary || solana_tx_parse(composed->bytes, composed->len, &tx, &err) != 0);
	/* whose token accounts the recipient's may be */
	for (size_t i = 0; i < order->n_keys; i++)
		wallets[i] = order->keys[i];
	const struct wallet_hints hints = {
	    .asset = order->owner.asset, .wallets = wallets, .n_wallets = order->n_keys};
	wallet_summary_read(&tx, &hints, summary);
	rsp->warning = summary->warning;
	rsp->lines.len = summary->n_lines;
	for (size_t i = 0; i < summary->n_lines; i++) {
		rsp->lines.item[i].warning = summary->lines[i].warning;
		snprintf(rsp->lines.item[i].text, sizeof(rsp->lines.item[i].text), "%s",
		    summary->lines[i].text);
	}
	if (composed->fee_bps > 0)
		warn_of_fee(composed->fee_bps, rsp);
	rsp->transaction.len = composed->len;
	memcpy(rsp->transaction.data, composed->bytes, composed->len);
	rsp->fee_lamports = composed->fee_lamports;
	rsp->execute_lamports = composed->execute_lamports;
	rsp->rent_lamports = composed->rent_lamports;
}

/* Until when it can land decides what is called lost, so that is no one node's word of several. One that names a block which others are far from could keep it
 * from ever coming to an end, or have it called lost when it is no longer remembered. */
static int check_latest(
    const struct chain_blockhash_rsp *latest, uint8_t *blockhash_r, struct error *err)
{
	const char *bad = NULL;
	if (!chain_is_vouched(latest->nodes, latest->of))
		bad = "only one node names the block height";
	else if (latest->last_valid > latest->height &&
		 latest->last_valid - latest->height > CHAIN_BLOCKHASH_LIFE + VERDICT_MARGIN)
		bad = "nodes name different block heights";
	else if (pubkey_parse(latest->blockhash, blockhash_r) != 0)
		bad = "a malformed blockhash";
	if (!bad)
		return 0;
	error_refuse(err, ERR_UNAVAILABLE, "chain_unavailable", "%s", bad);
	err->retry_after_s = 1;
	return -1;
}

static void on_blockhash(void *arg, const void *message, const struct error *err)
{
	struct building *building = arg;
	const struct chain_blockhash_rsp *latest = message;
	struct error bad;
	if (err) {
		asking_refuse(&building->asking, err);
		return;
	}
	building->rsp.last_valid = latest->last_valid;
	building->rsp.height = latest->height;
	if (check_latest(latest, building->facts.blockhash, &bad) != 0) {
		asking_refuse(&building->asking, &bad);
	} else if (compose(&building->order, &building->facts, &building->composed, &bad) != 0) {
		asking_refuse(&building->asking, &bad);
	} else {
		explain(building);
		simulate(building);
	}
}

/* ---- 4. what the chain says */

static void on_rent(void *arg, const void *message, const struct error *err)
{
	struct building *building = arg;
	const struct chain_rent_rsp *rent = message;
	const struct chain_blockhash_req req = {};
	struct error bad;
	if (err) {
		asking_refuse(&building->asking, err);
		return;
	}
	if (rent->rents.len != 3) {
		error_refuse(&bad, ERR_UNAVAILABLE, "chain_unavailable", "a rent is missing");
		asking_refuse(&building->asking, &bad);
		return;
	}
	building->facts.rent_zero = rent->rents.item[0].lamports;
	building->facts.rent_seven = rent->rents.item[1].lamports;
	building->facts.rent_created = rent->rents.item[2].lamports;
	asking_ask(&building->asking, &chain_blockhash_call, &req, on_blockhash);
}

static void on_accounts(void *arg, const void *message, const struct error *err)
{
	struct building *building = arg;
	const struct chain_accounts_rsp *read = message;
	struct error bad;
	if (err) {
		asking_refuse(&building->asking, err);
		return;
	}
	if (read->accounts.len != building->order.n_keys) {
		error_refuse(&bad, ERR_UNAVAILABLE, "chain_unavailable", "an account is missing");
		asking_refuse(&building->asking, &bad);
		return;
	}
	memcpy(building->accounts, read->accounts.item,
	    read->accounts.len * sizeof(building->accounts[0]));
	building->facts.accounts = building->accounts;
	struct chain_rent_req req = {.sizes.len = 3};
	req.sizes.item[1].size = 7;
	req.sizes.item[2].size = compose_created_size(&building->order, building->accounts);
	asking_ask(&building->asking, &chain_rent_call, &req, on_rent);
}

static void read_chain(struct asking *asking)
{
	struct building *building = building_of(asking);
	const struct order *order = &building->order;
	scoped_free struct chain_accounts_req *req = calloc(1, sizeof(*req));
	bug_if(!req);
	req->keys.len = order->n_keys;
	req->data_max = DATA_MAX;
	req->min_slot = asking->slot;
	for (size_t i = 0; i < order->n_keys; i++)
		pubkey_text(order->keys[i], req->keys.item[i].key);
	asking_ask(asking, &chain_accounts_call, req, on_accounts);
}

/* ---- 3. signed for (security rule 33: raw instructions) */

static void on_confirmed(void *arg, const void *message, const struct error *err)
{
	struct building *building = arg;
	(void)message;
	if (err)
		asking_refuse(&building->asking, err);
	else
		read_chain(&building->asking); /* the owner was read with it */
}

static void confirm(struct building *building)
{
	const struct wallet_build_req *req = building->req;
	struct asking *asking = &building->asking;
	struct auth_confirm_req out = {.act = ACT};
	memcpy(out.asset, asking->asset, sizeof(out.asset));
	memcpy(out.wallet, asking->owner, sizeof(out.wallet));
	memcpy(out.nonce, req->nonce, sizeof(out.nonce));
	out.signature.len = req->signature.len;
	memcpy(out.signature.data, req->signature.data, sizeof(out.signature.data));
	out.signed_message.len = req->signed_message.len;
	memcpy(out.signed_message.data, req->signed_message.data, sizeof(out.signed_message.data));
	memcpy(out.ip, req->ip, sizeof(out.ip));
	bus_send(asking->wallet->auths, &auth_confirm_call, &out,
	    bus_request_deadline(asking->request), bus_request_trace(asking->request), on_confirmed,
	    building);
}

/* ---- 2. understood */

static void begin(struct asking *asking)
{
	struct building *building = building_of(asking);
	const struct order_owner owner = {.asset = asking->asset_key,
	    .payer = asking->owner_key,
	    .wallet = asking->pda_key,
	    .collection = asking->wallet->collection};
	struct error err;
	if (order_read(building->req, &owner, &building->order, &err) != 0)
		asking_refuse(asking, &err);
	else if (building->order.kind == ORDER_INSTRUCTIONS)
		confirm(building);
	else
		asking_read_owner(asking, read_chain);
}

void wallet_build(
    struct wallet *self, const struct wallet_build_req *req, struct bus_request *request)
{
	struct building *building = calloc(1, sizeof(*building));
	bug_if(!building);
	building->asking =
	    (struct asking){.wallet = self, .request = request, .is_build = true, .next = begin};
	building->req = req;
	asking_begin(&building->asking, req->token);
}
