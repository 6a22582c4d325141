#include "tests/devchain/control_fault.h"

#include <string.h>

#include "tests/devchain/control_args.h"

static struct endpoint *endpoint_of(const struct control_call *call)
{
	return call->devchain->endpoints[call->node - call->devchain->nodes];
}

int fault_ok(struct control_call *call, struct error *err)
{
	(void)err;
	node_reset(call->node);
	endpoint_release(endpoint_of(call));
	return 0;
}

int fault_silent(struct control_call *call, struct error *err)
{
	(void)err;
	call->node->faults.silent = true;
	return 0;
}

int fault_mute_push(struct control_call *call, struct error *err)
{
	(void)err;
	call->node->faults.mute_push = true;
	return 0;
}

int fault_drop_ws(struct control_call *call, struct error *err)
{
	(void)err;
	pubsub_drop(endpoint_pubsub(endpoint_of(call)));
	return 0;
}

int fault_refuse(struct control_call *call, struct error *err)
{
	struct faults *faults = &call->node->faults;

	faults->retry_after_s = 1;
	if (arg_u64(call, "retry_after", &faults->retry_after_s, err) != 0)
		return -1;
	faults->refuse_quiet = arg_bool(call, "quiet");
	faults->refuse = !faults->refuse_quiet;
	return 0;
}

int fault_html(struct control_call *call, struct error *err)
{
	(void)err;
	call->node->faults.html = true;
	return 0;
}

int fault_half_body(struct control_call *call, struct error *err)
{
	(void)err;
	call->node->faults.half_json = arg_bool(call, "json");
	call->node->faults.half_body = !call->node->faults.half_json;
	return 0;
}

int fault_wrong_id(struct control_call *call, struct error *err)
{
	(void)err;
	call->node->faults.wrong_id = true;
	return 0;
}

int fault_delay(struct control_call *call, struct error *err)
{
	call->node->faults.delay_ms = 1000;
	return arg_u64(call, "ms", &call->node->faults.delay_ms, err);
}

static int read_lag(struct control_call *call, uint64_t *lag, struct error *err)
{
	uint64_t slots = 200;

	if (arg_u64(call, "slots", &slots, err) != 0)
		return -1;
	if (slots > CHAIN_HISTORY_BLOCKS / 2)
		return error_set(err, ERR_INVALID, "at most %u slots", CHAIN_HISTORY_BLOCKS / 2);
	*lag = slots;
	return 0;
}

int fault_lag(struct control_call *call, struct error *err)
{
	return read_lag(call, &call->node->faults.lag, err);
}

int fault_lower_slot(struct control_call *call, struct error *err)
{
	return read_lag(call, &call->node->faults.lower, err);
}

int fault_freeze(struct control_call *call, struct error *err)
{
	(void)err;
	node_freeze(call->node);
	return 0;
}

int fault_skew_clock(struct control_call *call, struct error *err)
{
	call->node->faults.skew_s = 600;
	return arg_u64(call, "seconds", &call->node->faults.skew_s, err);
}

int fault_bad_slot(struct control_call *call, struct error *err)
{
	(void)err;
	call->node->faults.bad_slot = true;
	return 0;
}

int fault_lie(struct control_call *call, struct error *err)
{
	struct faults *faults = &call->node->faults;
	struct lie lie = {0};

	if (arg_key(call, "asset", lie.asset, err) != 0 ||
	    arg_key(call, "owner", lie.owner, err) != 0)
		return -1;
	for (size_t i = 0; i < faults->nlies; i++)
		if (memcmp(faults->lies[i].asset, lie.asset, PUBKEY_LEN) == 0) {
			memcpy(faults->lies[i].owner, lie.owner, PUBKEY_LEN);
			return 0;
		}
	if (faults->nlies == LIES_MAX)
		return error_set(err, ERR_BUSY, "at most %d lies", LIES_MAX);
	faults->lies[faults->nlies++] = lie;
	return 0;
}

json_t *fault_describe(const struct faults *faults)
{
	const struct {
		const char *name;
		bool on;
	} rows[] = {
	    {"silent", faults->silent},
	    {"mute_push", faults->mute_push},
	    {"refuse", faults->refuse || faults->refuse_quiet},
	    {"html", faults->html},
	    {"half_body", faults->half_body || faults->half_json},
	    {"wrong_id", faults->wrong_id},
	    {"delay", faults->delay_ms > 0},
	    {"lag", faults->lag > 0},
	    {"lower_slot", faults->lower > 0},
	    {"freeze", faults->freeze},
	    {"skew_clock", faults->skew_s > 0},
	    {"bad_slot", faults->bad_slot},
	    {"lie", faults->nlies > 0},
	};
	json_t *names = json_array();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].on)
			json_array_append_new(names, json_string(rows[i].name));
	return json_pack("{s:o}", "faults", names);
}
