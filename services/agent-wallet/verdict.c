#include "services/agent-wallet/verdict.h"

#include <stdio.h>
#include <string.h>

static void set_state(struct operation *op, const char *state)
{
	snprintf(op->state, sizeof(op->state), "%s", state);
}

static bool is(const char *text, const char *other)
{
	return strcmp(text, other) == 0;
}

static void land(struct operation *op, const struct states_item *status)
{
	op->landed = status->slot;
	memcpy(op->error, status->error, sizeof(op->error));
	if (status->error[0])
		set_state(op, "failed");
	else
		set_state(op, status->least);
}

static bool is_beyond(uint64_t height, uint64_t last_valid, uint64_t margin)
{
	return height > last_valid && height - last_valid > margin;
}

/* Does every node still know, unasked, of all blocks that it could have landed in? last_valid may be so much too high as build lets nodes differ. */
static bool is_recent(const struct operation *op, const struct verdict_look *look)
{
	return !is_beyond(look->highest, op->last_valid,
	    CHAIN_STATUS_BLOCKS - CHAIN_BLOCKHASH_LIFE - 2 * VERDICT_MARGIN);
}

static bool may_be_lost(const struct operation *op, const struct verdict_look *look)
{
	return is(op->most, "none") && look->silent == 0 &&
	       chain_is_vouched(look->nodes, look->of) &&
	       is_beyond(look->height, op->last_valid, VERDICT_MARGIN);
}

void verdict_take(
    struct operation *op, const struct states_item *status, const struct verdict_look *look)
{
	bool vouched = chain_is_vouched(look->nodes, look->of);
	if (verdict_is_final(op))
		return;
	snprintf(op->least, sizeof(op->least), "%s", vouched ? status->least : "none");
	memcpy(op->most, status->most, sizeof(op->most));
	op->differ = status->differ;
	if (status->differ)
		return;
	if (is(op->least, "confirmed") || is(op->least, "finalized"))
		land(op, status);
	else if (may_be_lost(op, look) && (look->history || is_recent(op, look)))
		set_state(op, "expired");
}

bool verdict_wants_history(const struct operation *op, const struct verdict_look *look)
{
	return !verdict_is_final(op) && !look->history && may_be_lost(op, look) &&
	       !is_recent(op, look);
}

bool verdict_is_final(const struct operation *op)
{
	return is(op->state, "finalized") || is(op->state, "failed") || is(op->state, "expired");
}

bool verdict_wants_sending(const struct operation *op, const struct verdict_look *look)
{
	/* a node that is that far behind is wrong, or lies: it would have it sent for ever */
	return !verdict_is_final(op) && is(op->least, "none") && look->height <= op->last_valid &&
	       !is_beyond(look->highest, op->last_valid, CHAIN_BLOCKHASH_LIFE);
}
