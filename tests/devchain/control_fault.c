#include "tests/devchain/control_fault.h"

#include <string.h>

#include "tests/devchain/control_args.h"

#define FLAG(field) #field, true, offsetof(struct faults, field), 1, 1
#define DEGREE(name, field, usual, max) name, false, offsetof(struct faults, field), usual, max

static const struct field {
	const char *name;
	bool is_flag; /* a bool, else a uint64_t */
	size_t offset;
	uint64_t usual, max;
} fields[] = {
    {FLAG(silent)},
    {FLAG(mute_push)},
    {FLAG(refuse)},
    {FLAG(refuse_quiet)},
    {DEGREE("retry_after", retry_after_s, 1, 86400)},
    {FLAG(html)},
    {FLAG(half_body)},
    {FLAG(half_json)},
    {FLAG(wrong_id)},
    {DEGREE("delay", delay_ms, 1000, 600000)},
    {DEGREE("lag", lag, 200, CHAIN_HISTORY_BLOCKS / 4)},
    {DEGREE("lower_slot", lower, 200, CHAIN_HISTORY_BLOCKS / 4)},
    {FLAG(freeze)},
    {DEGREE("skew_clock", skew_s, 600, 1000000)},
    {FLAG(bad_slot)},
    {FLAG(lose_sent)},
    {FLAG(false_simulation)},
    {FLAG(other_status)},
    {FLAG(no_history)},
    {DEGREE("old_statuses", old_statuses, 100, CHAIN_HISTORY_BLOCKS / 4)},
    {DEGREE("ahead", ahead, 200, 1000000)},
    {DEGREE("high", high, 1000, INT64_MAX)},
};

static uint64_t get(const struct faults *faults, const struct field *field)
{
	const char *at = (const char *)faults + field->offset;

	return field->is_flag ? *(const bool *)at : *(const uint64_t *)(const void *)at;
}

static struct endpoint *endpoint_of(const struct control_call *call)
{
	return call->devchain->endpoints[call->node - call->devchain->nodes];
}

static int set(
    struct control_call *call, const struct field *field, uint64_t value, struct error *err)
{
	char *at = (char *)&call->node->faults + field->offset;

	if (value > field->max)
		return error_set(err, ERR_INVALID, "%s is at most %llu", field->name,
		    (unsigned long long)field->max);
	if (field->offset == offsetof(struct faults, freeze) && value)
		node_freeze(call->node);
	else if (field->is_flag)
		*(bool *)at = value;
	else
		*(uint64_t *)(void *)at = value;
	if (field->offset == offsetof(struct faults, refuse) && !call->node->faults.retry_after_s)
		call->node->faults.retry_after_s = 1;
	if (field->offset == offsetof(struct faults, silent) && !value)
		endpoint_release(endpoint_of(call));
	return 0;
}

/* a flag is a bool, or text of one; a degree is a number, or text of one */
static int set_from(
    struct control_call *call, const struct field *field, const char *param, struct error *err)
{
	uint64_t value = field->usual;

	if (!json_object_get(call->params, param))
		return set(call, field, value, err);
	if (field->is_flag)
		value = arg_bool(call, param);
	else if (arg_u64(call, param, &value, err) != 0)
		return -1;
	return set(call, field, value, err);
}

int fault_set(struct control_call *call, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (json_object_get(call->params, fields[i].name) &&
		    set_from(call, &fields[i], fields[i].name, err) != 0)
			return -1;
	return 0;
}

int fault_by_name(struct control_call *call, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (strcmp(fields[i].name, call->command) == 0)
			return set_from(call, &fields[i], "value", err);
	return error_set(err, ERR_NOT_FOUND, "no fault %s", call->command);
}

int fault_ok(struct control_call *call, struct error *err)
{
	(void)err;
	node_reset(call->node);
	endpoint_release(endpoint_of(call));
	return 0;
}

int fault_drop_ws(struct control_call *call, struct error *err)
{
	(void)err;
	pubsub_drop(endpoint_pubsub(endpoint_of(call)));
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
	json_t *on = json_object();

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		uint64_t value = get(faults, &fields[i]);

		if (value)
			json_object_set_new(on, fields[i].name,
			    fields[i].is_flag ? json_true() : json_integer((json_int_t)value));
	}
	if (faults->nlies)
		json_object_set_new(on, "lies", json_integer((json_int_t)faults->nlies));
	return json_pack("{s:o}", "faults", on);
}
