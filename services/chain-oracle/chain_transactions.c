/* Transactions: what one would do, giving one to the nodes, what became of those that were given. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/scoped.h"
#include "common/solana_tx.h"
#include "services/chain-oracle/chain.h"
#include "services/chain-oracle/rpc_json.h"

#define SIMULATION_BODY ((size_t)512 * 1024)
#define SMALL_BODY ((size_t)16 * 1024)
#define STATUSES_BODY ((size_t)256 * 1024)
#define RECENT_BODY ((size_t)512 * 1024) /* memos and errors can be long */

_Static_assert(RPC_TRANSACTION_ERROR_MAX == CHAIN_ERROR_MAX, "proto and node say the same words");

/* ---- simulate ---- */

static char *write_simulate(const struct asking_turn *turn, uint64_t id)
{
	const struct chain_simulate_req *req = turn->req;
	if (turn->step > 0)
		return NULL;
	return rpc_request_simulate(id, req->transaction.data, req->transaction.len,
	    chain_keys(req->keys.len, req->keys.item), turn->min_slot);
}

/* As much of a line as fits, never half a character. */
static size_t put_line(char *text, size_t at, size_t size, const char *line)
{
	size_t len = strlen(line);
	if (at > 0 && at + 1 < size)
		text[at++] = '\n';
	if (len > size - 1 - at)
		len = size - 1 - at;
	while (len > 0 && ((unsigned char)line[len] & 0xc0) == 0x80)
		len--;
	for (size_t i = 0; i < len; i++)
		text[at++] = (unsigned char)line[i] < 0x20 || line[i] == 0x7f ? '?' : line[i];
	text[at] = '\0';
	return at;
}

static void put_logs(char *text, size_t size, const json_t *logs)
{
	size_t at = 0;
	for (size_t i = 0; i < json_array_size(logs) && at + 1 < size; i++) {
		const char *line = json_string_value(json_array_get(logs, i));
		if (line)
			at = put_line(text, at, size, line);
	}
}

/* The node sends whole accounts, whatever their size; what is kept of one is its beginning. */
static int read_after(const struct chain_simulate_req *req, struct chain_simulate_rsp *rsp,
    const json_t *value, struct error *err)
{
	const json_t *accounts = json_object_get(value, "accounts");
	if (req->keys.len == 0 || !accounts || json_is_null(accounts))
		return rsp->error[0] || req->keys.len == 0
			   ? 0
			   : error_set(err, ERR_INVALID, "no accounts in the simulation");
	rsp->accounts.len = req->keys.len;
	return chain_read_accounts(accounts, req->keys.len, sizeof(rsp->accounts.item[0].data.data),
	    rsp->accounts.item, err);
}

static int read_simulate(
    struct asking_turn *turn, const struct rpc_answer *answer, struct error *err)
{
	struct chain_simulate_rsp *rsp = turn->rsp;
	const json_t *value = rpc_answer_value(answer);
	if (asking_slot(turn, answer, &rsp->slot, err) < 0)
		return -1;
	if (!json_is_object(value) || !json_object_get(value, "err"))
		return error_set(err, ERR_INVALID, "no simulation");
	rpc_transaction_error(json_object_get(value, "err"), rsp->error);
	(void)rpc_json_u64(json_object_get(value, "unitsConsumed"), &rsp->units);
	put_logs(rsp->logs, sizeof(rsp->logs), json_object_get(value, "logs"));
	return read_after(turn->req, rsp, value, err);
}

static const struct asking_kind simulate_kind = {
    .whom = ASKING_ONE,
    .rsp_size = sizeof(struct chain_simulate_rsp),
    .body_max = SIMULATION_BODY,
    .write = write_simulate,
    .read = read_simulate,
};

void chain_simulate(
    struct chain *self, const struct chain_simulate_req *req, struct bus_request *request)
{
	struct error err;
	for (size_t i = 0; i < req->keys.len; i++)
		if (chain_check_key(req->keys.item[i].key, &err) < 0) {
			bus_fail(request, &err);
			return;
		}
	asking_begin(&self->askings, &simulate_kind, req, req->min_slot, request);
}

/* ---- send ---- */

/* The first signature names the transaction. */
static int signature_of(
    const struct chain_send_req *req, char text[SIGNATURE_TEXT_MAX + 1], struct error *err)
{
	struct solana_tx tx;
	if (solana_tx_parse(req->transaction.data, req->transaction.len, &tx, err) < 0)
		return -1;
	base58_encode(tx.signatures, SIGNATURE_LEN, text, SIGNATURE_TEXT_MAX + 1);
	return 0;
}

static char *write_send(const struct asking_turn *turn, uint64_t id)
{
	const struct chain_send_req *req = turn->req;
	return turn->step == 0 ? rpc_request_send(id, req->transaction.data, req->transaction.len,
				     req->skip_preflight)
			       : NULL;
}

static const char *outcome_of_error(const struct rpc_answer *answer, char *error)
{
	if (answer->code == -32002) {
		rpc_transaction_error(json_object_get(answer->data, "err"), error);
		return strcmp(error, "AlreadyProcessed") == 0 ? "already" : "refused";
	}
	if (answer->code == -32003)
		return "signature";
	if (answer->code == -32602 || answer->code == -32600 || answer->code == -32013 ||
	    answer->code == -32015)
		return "malformed";
	return answer->outcome == RPC_REFUSED ? "not_served" : rpc_outcome_text(answer->outcome);
}

static int read_send(struct asking_turn *turn, const struct rpc_answer *answer, struct error *err)
{
	struct chain_send_rsp *rsp = turn->rsp;
	struct relays_item *relay = &rsp->relays.item[rsp->relays.len++];
	const char *said = json_string_value(answer->result), *outcome = "accepted";
	bug_if(signature_of(turn->req, rsp->signature, err) < 0);
	if (answer->outcome != RPC_OK)
		outcome = outcome_of_error(answer, relay->error);
	else if (!said || strcmp(said, rsp->signature) != 0)
		outcome = "other_signature";
	snprintf(relay->outcome, sizeof(relay->outcome), "%s", outcome);
	rsp->of = turn->of;
	rsp->accepted = strcmp(outcome, "accepted") == 0 || strcmp(outcome, "already") == 0;
	return 0;
}

static void merge_send(void *arg, const struct asking_turn *turn, bool first)
{
	struct chain_send_rsp *rsp = arg;
	const struct chain_send_rsp *more = turn->rsp;
	if (first)
		return;
	rsp->accepted += more->accepted;
	rsp->relays.item[rsp->relays.len++] = more->relays.item[0];
}

static const struct asking_kind send_kind = {
    .whom = ASKING_ALL,
    .rsp_size = sizeof(struct chain_send_rsp),
    .body_max = (size_t)256 * 1024, /* a preflight's failure comes with its logs */
    .keeps_errors = true,
    .is_kept_for = true,
    .write = write_send,
    .read = read_send,
    .merge = merge_send,
};

void chain_send(struct chain *self, const struct chain_send_req *req, struct bus_request *request)
{
	char signature[SIGNATURE_TEXT_MAX + 1];
	struct error err;
	if (signature_of(req, signature, &err) < 0)
		bus_fail(request, &err);
	else
		asking_begin(&self->askings, &send_kind, req, 0, request);
}

/* ---- statuses ---- */

static const char *const levels[] = {"none", "processed", "confirmed", "finalized"};
#define CONFIRMED_LEVEL 2

static size_t level_of(const char *text)
{
	for (size_t i = 0; text && i < ARRAY_LEN(levels); i++)
		if (strcmp(levels[i], text) == 0)
			return i;
	return ARRAY_LEN(levels);
}

static void set_level(char *text, size_t size, const char *level)
{
	snprintf(text, size, "%s", level);
}

static char *write_statuses(const struct asking_turn *turn, uint64_t id)
{
	const struct chain_statuses_req *req = turn->req;
	if (turn->step == 0)
		return rpc_request_blockhash(id, turn->min_slot);
	if (turn->step > 1)
		return NULL;
	json_t *signatures = json_array();
	bug_if(!signatures);
	for (size_t i = 0; i < req->signatures.len; i++)
		json_array_append_new(signatures, json_string(req->signatures.item[i].signature));
	return rpc_request_statuses(id, signatures, req->history);
}

static int read_state(const json_t *status, struct states_item *state)
{
	const char *level = json_string_value(json_object_get(status, "confirmationStatus"));
	if (json_is_null(status)) {
		level = "none";
	} else {
		if (rpc_json_u64(json_object_get(status, "slot"), &state->slot) < 0 ||
		    level_of(level) == ARRAY_LEN(levels) || !json_object_get(status, "err"))
			return -1;
		rpc_transaction_error(json_object_get(status, "err"), state->error);
	}
	set_level(state->least, sizeof(state->least), level);
	set_level(state->most, sizeof(state->most), level);
	return 0;
}

/* The height first, and what is known in a slot not below it: what had not landed then cannot have been overlooked for an older view. */
static int read_height(struct asking_turn *turn, const struct rpc_answer *answer, struct error *err)
{
	struct chain_statuses_rsp *rsp = turn->rsp;
	struct chain_latest latest;
	if (chain_read_latest(turn, answer, &latest, err) < 0)
		return -1;
	turn->min_slot = chain_higher(turn->min_slot, latest.slot);
	rsp->height = rsp->highest = latest.height;
	return 0;
}

static int read_statuses(
    struct asking_turn *turn, const struct rpc_answer *answer, struct error *err)
{
	const struct chain_statuses_req *req = turn->req;
	struct chain_statuses_rsp *rsp = turn->rsp;
	const json_t *value = rpc_answer_value(answer);
	uint64_t slot;
	if (turn->step == 0)
		return read_height(turn, answer, err);
	rsp->nodes = 1;
	rsp->of = turn->of;
	rsp->states.len = req->signatures.len;
	if (asking_slot(turn, answer, &slot, err) < 0)
		return -1;
	if (json_array_size(value) != req->signatures.len)
		return error_set(err, ERR_INVALID, "another number of statuses");
	for (size_t i = 0; i < req->signatures.len; i++)
		if (read_state(json_array_get(value, i), &rsp->states.item[i]) < 0)
			return error_set(err, ERR_INVALID, "status %zu cannot be read", i);
	return 0;
}

/* Below confirmed it may have landed twice, in two forks. */
static bool differ(const struct states_item *a, const struct states_item *b)
{
	return level_of(a->most) >= CONFIRMED_LEVEL && level_of(b->most) >= CONFIRMED_LEVEL &&
	       (a->slot != b->slot || strcmp(a->error, b->error) != 0);
}

static void merge_state(struct states_item *state, const struct states_item *more)
{
	state->differ |= differ(state, more);
	if (level_of(more->least) < level_of(state->least))
		set_level(state->least, sizeof(state->least), more->least);
	if (level_of(more->most) > level_of(state->most)) {
		set_level(state->most, sizeof(state->most), more->most);
		state->slot = more->slot;
		memcpy(state->error, more->error, sizeof(state->error));
	}
}

static void merge_statuses(void *arg, const struct asking_turn *turn, bool first)
{
	struct chain_statuses_rsp *rsp = arg;
	const struct chain_statuses_rsp *more = turn->rsp;
	if (first)
		return;
	rsp->nodes++;
	rsp->height = chain_lower(rsp->height, more->height);
	rsp->highest = chain_higher(rsp->highest, more->highest);
	for (size_t i = 0; i < rsp->states.len; i++)
		merge_state(&rsp->states.item[i], &more->states.item[i]);
}

static void count_statuses(void *arg, uint64_t silent)
{
	struct chain_statuses_rsp *rsp = arg;
	rsp->silent = silent;
}

static const struct asking_kind statuses_kind = {
    .whom = ASKING_HEALTHY,
    .is_kept_for = true,
    .rsp_size = sizeof(struct chain_statuses_rsp),
    .body_max = STATUSES_BODY,
    .write = write_statuses,
    .read = read_statuses,
    .merge = merge_statuses,
    .count = count_statuses,
};

void chain_statuses(
    struct chain *self, const struct chain_statuses_req *req, struct bus_request *request)
{
	struct error err;
	for (size_t i = 0; i < req->signatures.len; i++)
		if (chain_check_signature(req->signatures.item[i].signature, &err) < 0) {
			bus_fail(request, &err);
			return;
		}
	asking_begin(&self->askings, &statuses_kind, req, 0, request);
}

/* ---- recent ---- */

static char *write_recent(const struct asking_turn *turn, uint64_t id)
{
	const struct chain_recent_req *req = turn->req;
	return turn->step == 0
		   ? rpc_request_recent(id, req->address, req->limit, req->before, turn->min_slot)
		   : NULL;
}

static int read_entry(const json_t *entry, struct recents_item *item)
{
	const char *text = json_string_value(json_object_get(entry, "signature"));
	uint8_t signature[SIGNATURE_LEN];
	if (!text || base58_decode(text, signature, sizeof(signature)) < 0 ||
	    rpc_json_u64(json_object_get(entry, "slot"), &item->slot) < 0)
		return -1;
	snprintf(item->signature, sizeof(item->signature), "%s", text);
	(void)rpc_json_u64(json_object_get(entry, "blockTime"), &item->at);
	rpc_transaction_error(json_object_get(entry, "err"), item->error);
	return 0;
}

static int read_recent(struct asking_turn *turn, const struct rpc_answer *answer, struct error *err)
{
	const struct chain_recent_req *req = turn->req;
	struct chain_recent_rsp *rsp = turn->rsp;
	if (!json_is_array(answer->result) || json_array_size(answer->result) > req->limit)
		return error_set(err, ERR_INVALID, "no list of signatures, or more than wanted");
	for (size_t i = 0; i < json_array_size(answer->result); i++)
		if (read_entry(json_array_get(answer->result, i), &rsp->recents.item[i]) < 0)
			return error_set(err, ERR_INVALID, "signature %zu cannot be read", i);
	rsp->recents.len = json_array_size(answer->result);
	return 0;
}

static const struct asking_kind recent_kind = {
    .whom = ASKING_ONE,
    .rsp_size = sizeof(struct chain_recent_rsp),
    .body_max = RECENT_BODY,
    .write = write_recent,
    .read = read_recent,
};

void chain_recent(
    struct chain *self, const struct chain_recent_req *req, struct bus_request *request)
{
	struct error err;
	if (chain_check_key(req->address, &err) < 0 ||
	    (req->before[0] && chain_check_signature(req->before, &err) < 0))
		bus_fail(request, &err);
	else
		asking_begin(&self->askings, &recent_kind, req, 0, request);
}
