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

void verdict_take(struct operation *op, const struct states_item *status, uint64_t height)
{
	if (verdict_is_final(op))
		return;
	memcpy(op->least, status->least, sizeof(op->least));
	memcpy(op->most, status->most, sizeof(op->most));
	op->differ = status->differ;
	if (status->differ)
		return;
	if (is(status->least, "confirmed") || is(status->least, "finalized"))
		land(op, status);
	else if (is(status->most, "none") && height > op->last_valid &&
		 height - op->last_valid > VERDICT_MARGIN)
		set_state(op, "expired");
}

bool verdict_is_final(const struct operation *op)
{
	return is(op->state, "finalized") || is(op->state, "failed") || is(op->state, "expired");
}

bool verdict_wants_sending(const struct operation *op, uint64_t height)
{
	return !verdict_is_final(op) && is(op->least, "none") && height <= op->last_valid;
}
